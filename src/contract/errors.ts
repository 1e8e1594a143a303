/**
 * The one error class, and the one table that says for each code what it means outside: HTTP status, OpenAI error type,
 * whose fault it is, whether trying again is safe, and what to do. `docs/reference/errors.md` is generated from it.
 * `cause` is for the log and never reaches a client.
 */
export interface ErrorSpec {
  /** HTTP status of the response. */
  status: number;
  /** The `type` of the OpenAI error object. */
  type: string;
  fault: 'caller' | 'platform' | 'engine';
  /** Whether the same request may be sent again. */
  retryable: boolean;
  /** One sentence: when it happens. */
  meaning: string;
  /** One sentence: what to do about it. */
  remedy: string;
}

const spec = (
  status: number,
  type: string,
  fault: ErrorSpec['fault'],
  retryable: boolean,
  meaning: string,
  remedy: string,
): ErrorSpec => ({ status, type, fault, retryable, meaning, remedy });

export const ERROR_SPECS = {
  invalid_json: spec(
    400,
    'invalid_request_error',
    'caller',
    false,
    'The body is not valid JSON.',
    'Send a JSON object; the message says what was found.',
  ),
  invalid_request: spec(
    400,
    'invalid_request_error',
    'caller',
    false,
    'A field is missing, has the wrong type or a value out of range.',
    'Change the field that `param` names; the message says what was found and what would have been right.',
  ),
  context_length_exceeded: spec(
    400,
    'invalid_request_error',
    'caller',
    false,
    'The prompt does not fit into the context of the model.',
    'Shorten the prompt or use a model with a longer context; the message states both numbers.',
  ),
  previous_response_not_found: spec(
    400,
    'invalid_request_error',
    'caller',
    false,
    'The response that `previous_response_id` names, or one before it, is not kept (any more).',
    'Send the conversation as `input`; keep responses longer with `gateway.responses_ttl_h`.',
  ),
  response_not_found: spec(
    404,
    'invalid_request_error',
    'caller',
    false,
    'No response of this caller is kept under this id.',
    'Responses are kept for `gateway.responses_ttl_h`, unless they were created with `store: false` or deleted.',
  ),
  idempotency_key_reused: spec(
    422,
    'invalid_request_error',
    'caller',
    false,
    'The `Idempotency-Key` was used for another request.',
    'Use a new key for each request; send the same body when you repeat one.',
  ),
  request_quarantined: spec(
    422,
    'invalid_request_error',
    'caller',
    false,
    'Engines died while this request ran, or one that says the same, so it is not sent to another one for a time.',
    'Change the request; or show what is known of it with `autoglm suspects show FINGERPRINT` (the message names it), have the engine repaired, and let it in again with `autoglm suspects release FINGERPRINT`. docs/suspects.md says how requests are judged.',
  ),
  idempotency_conflict: spec(
    409,
    'conflict_error',
    'caller',
    true,
    'The request with this `Idempotency-Key` still runs.',
    'Send it again after `Retry-After`; the answer is given as soon as it is there.',
  ),
  invalid_api_key: spec(
    401,
    'authentication_error',
    'caller',
    false,
    'The key is missing or unknown.',
    'Send `Authorization: Bearer KEY` with a key from `autoglm.yaml` or AUTOGLM_API_KEYS.',
  ),
  forbidden: spec(
    403,
    'permission_error',
    'caller',
    false,
    'The caller is known but may not do this.',
    'Use a key that is allowed to, or ask its owner.',
  ),
  model_not_found: spec(
    404,
    'invalid_request_error',
    'caller',
    false,
    'No pool serves a model of this name.',
    'Use one of the models that `GET /v1/models` lists.',
  ),
  not_found: spec(
    404,
    'invalid_request_error',
    'caller',
    false,
    'There is nothing at this path; or no file, batch, model, alias, adapter or replica of this name (files and batches of another key count as none).',
    'Correct what the message names; docs/reference/http-api.md and docs/reference/admin-api.md list the paths, the lists of the API and `autoglm models` and `autoglm status` the names.',
  ),
  method_not_allowed: spec(
    405,
    'invalid_request_error',
    'caller',
    false,
    'The path exists, but not with this method.',
    'Use the method that the `Allow` header names.',
  ),
  queue_timeout: spec(
    408,
    'timeout_error',
    'platform',
    true,
    'The request waited in the queue until its deadline.',
    'Try again after `Retry-After`; add replicas when it happens often.',
  ),
  request_timeout: spec(
    408,
    'timeout_error',
    'caller',
    true,
    'Headers or body of the request did not arrive in time.',
    'Send the whole request without long pauses.',
  ),
  conflict: spec(
    409,
    'conflict_error',
    'caller',
    false,
    'The thing is in a state that does not allow this: a batch that is over, a file that a batch still reads, a name that is taken, a stream that was read already, a system that is being stopped.',
    'The message names the state; read it anew (`GET /v1/batches/{id}`, `autoglm models`, `autoglm status`) and do what it allows.',
  ),
  body_too_large: spec(
    413,
    'invalid_request_error',
    'caller',
    false,
    'The body is larger than the configured limit.',
    'Send less, or raise `gateway.body_bytes_max`.',
  ),
  unsupported_media_type: spec(
    415,
    'invalid_request_error',
    'caller',
    false,
    'The content type or encoding of the body is not supported.',
    'Send `Content-Type: application/json` without `Content-Encoding`.',
  ),
  headers_too_large: spec(
    431,
    'invalid_request_error',
    'caller',
    false,
    'The request headers are too large.',
    'Send fewer or shorter headers.',
  ),
  rate_limit_exceeded: spec(
    429,
    'rate_limit_error',
    'caller',
    true,
    'A limit of the key or the model is used up: requests or tokens per minute, or requests at once.',
    'Try again after `Retry-After`; the message names the limit, and the `x-ratelimit-*` headers of every answer say what is left of it.',
  ),
  tokens_exceed_limit: spec(
    400,
    'invalid_request_error',
    'caller',
    false,
    'The prompt and the longest answer that the request allows are more tokens than the limit of a whole minute; waiting does not help.',
    'Send a shorter prompt or a smaller `max_tokens`, or raise `tokens_per_minute` of the key or the model.',
  ),
  saturated: spec(
    429,
    'rate_limit_error',
    'platform',
    true,
    'There is no place for more: the queue of the pool is full, or as many uploads, background responses, readers of their streams or open batches as may be are under way.',
    'Try again after `Retry-After`; the message names the limit. Add replicas when queues are full often, or raise `batches.open_max`.',
  ),
  client_closed: spec(
    499,
    'cancelled',
    'caller',
    true,
    'The client closed the connection before the answer was complete. Appears in logs only.',
    'Nothing.',
  ),
  internal: spec(
    500,
    'server_error',
    'platform',
    true,
    'A bug of the platform.',
    'Report it with the `x-request-id` of the response.',
  ),
  not_supported: spec(
    501,
    'not_supported_error',
    'engine',
    false,
    'The engine or the model cannot do this.',
    'Use a model that can; the message says what is missing.',
  ),
  engine_failed: spec(
    502,
    'upstream_error',
    'engine',
    true,
    'The engine died, or its answer was broken, and no other replica could take over.',
    'Try again; look at `autoglm status` for the incident.',
  ),
  stream_interrupted: spec(
    502,
    'upstream_error',
    'engine',
    true,
    'The engine died in the middle of a stream that could not be continued elsewhere (tier D).',
    'Send the request again; docs/continuation.md says which requests can be continued.',
  ),
  no_replica: spec(
    503,
    'service_unavailable',
    'platform',
    true,
    'The model is known, but none of its replicas is ready.',
    'Try again after `Retry-After`; `autoglm status` says why the replicas are not ready.',
  ),
  engine_full: spec(
    503,
    'service_unavailable',
    'engine',
    true,
    'All slots of this engine are taken and its queue is full.',
    'Try again after `Retry-After`; through the gateway, requests wait in its queue instead.',
  ),
  shutting_down: spec(
    503,
    'service_unavailable',
    'platform',
    true,
    'This process is being stopped or replaced.',
    'Try again; another process answers.',
  ),
  storage_unavailable: spec(
    503,
    'service_unavailable',
    'platform',
    true,
    'The state directory or the database in it cannot be used: a full or hanging disk, a damaged file, one of a newer release, or missing rights.',
    'Read the message and the log; requests that keep nothing are served all the same.',
  ),
  storage_full: spec(
    507,
    'insufficient_storage',
    'platform',
    false,
    'There is no room for what should be kept: the disk is full, or all files together would be larger than they may be. Nothing was changed.',
    'Free space, delete files (`DELETE /v1/files/{id}`), or raise `files.total_bytes_max`.',
  ),
  upstream_timeout: spec(
    504,
    'timeout_error',
    'engine',
    true,
    'The engine did not send the first token, or the next one, in time.',
    'Try again; raise `timeouts` of the configuration when prompts are long.',
  ),
  config_invalid: spec(
    400,
    'invalid_request_error',
    'caller',
    false,
    'The configuration file is not valid.',
    'Correct the path that the message names; `autoglm validate` checks the file.',
  ),
  model_file_invalid: spec(
    500,
    'server_error',
    'caller',
    false,
    'The model file is missing, truncated or not a GGUF file.',
    'Check path, size and checksum that the message names, and copy the file again.',
  ),
  engine_binary_missing: spec(
    500,
    'server_error',
    'caller',
    false,
    'The program of the engine is not installed, or has no build for this platform.',
    'Install it, or point `urls:` of the model at an engine that runs elsewhere.',
  ),
  port_in_use: spec(
    500,
    'server_error',
    'caller',
    false,
    'Another process listens on the port.',
    'Stop that process or choose another port; `autoglm doctor` names it.',
  ),
  already_running: spec(
    409,
    'conflict_error',
    'caller',
    false,
    'Another `autoglm serve` holds the state directory.',
    'Use the running one, stop it, or choose another `state_dir`.',
  ),
  not_running: spec(
    503,
    'service_unavailable',
    'caller',
    true,
    'Nothing answers at the admin address.',
    'Start it with `autoglm serve`, or name the right address with `--admin-url`.',
  ),
} as const satisfies Record<string, ErrorSpec>;

export type ErrorCode = keyof typeof ERROR_SPECS;

export interface PlatformErrorOptions {
  /** The request field at fault, as the OpenAI error object names it. */
  param?: string;
  /** Seconds after which trying again makes sense, fractions too; becomes `Retry-After` and `retry-after-ms`. */
  retryAfterS?: number;
  /** Methods that the path does take; become `Allow`. */
  allow?: readonly string[];
  cause?: unknown;
}

export class PlatformError extends Error {
  readonly code: ErrorCode;
  readonly param: string | undefined;
  readonly retryAfterS: number | undefined;
  readonly allow: readonly string[] | undefined;

  constructor(code: ErrorCode, message: string, options: PlatformErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'PlatformError';
    this.code = code;
    this.param = options.param;
    this.retryAfterS = options.retryAfterS;
    this.allow = options.allow;
  }

  get spec(): ErrorSpec {
    return ERROR_SPECS[this.code];
  }

  /** Called where foreign code ends: whatever was thrown becomes a `PlatformError`, with the original as `cause`. */
  static from(thrown: unknown, code: ErrorCode = 'internal', message?: string): PlatformError {
    if (thrown instanceof PlatformError) return thrown;
    const detail = thrown instanceof Error ? thrown.message : String(thrown);
    return new PlatformError(code, message ?? detail, { cause: thrown });
  }
}
