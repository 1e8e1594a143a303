/**
 * `autoglm.yaml`: one zod schema gives the type, the JSON Schema for editors and the reference page. Keys are strict and in
 * snake_case, units come last. Loaded only by processes that read files, never by gateway workers.
 */
import { z } from 'zod';
import { Secret } from '../base/secret.ts';
import { BUILTIN_MODEL_NAME } from './builtin-model.ts';
import { CACHE_ENDPOINTS, ENGINE_KINDS, ENGINE_PROTOCOLS } from './fleet.ts';
import { keyLimitsSchema, modelLimitsSchema } from './limits-schema.ts';
import { DEFAULT_PRIORITY, DEFAULT_STRATEGY, PRIORITY_NAMES, STRATEGY_NAMES } from './scheduling.ts';

/** Secrets become a type that prints as `[secret]` the moment they are validated. */
const secret = (lengthMin: number, text: string) =>
  z
    .string()
    .min(lengthMin)
    .max(4096)
    .describe(text)
    .transform((written) => new Secret(written));

const keyList = (text: string) =>
  z
    .array(
      z.strictObject({
        name: z.string().min(1).max(200).describe('Whose key it is; appears in logs.'),
        key: secret(8, 'The key itself, at least 8 characters. `${NAME}` reads the environment.'),
      }),
    )
    .max(10_000)
    .default([])
    .describe(text);

const clientKeys = z
  .array(
    z.strictObject({
      name: z
        .string()
        .min(1)
        .max(200)
        .describe('Whose key it is; appears in logs, and is whom queue and limits are fair to.'),
      key: secret(8, 'The key itself, at least 8 characters. `${NAME}` reads the environment.'),
      weight: z
        .number()
        .min(0.01)
        .max(1000)
        .default(1)
        .describe('Share of served tokens against other keys while requests wait.'),
      priority: z
        .enum(PRIORITY_NAMES)
        .default(DEFAULT_PRIORITY)
        .describe(
          'Of its requests in the queue. A request may ask for less urgency with the header `x-autoglm-priority`, never for more.',
        ),
      limits: keyLimitsSchema,
      explain: z
        .boolean()
        .default(false)
        .describe(
          'Whether it may see how requests are shared out: the header `x-autoglm-explain`, and /autoglm/scheduling.',
        ),
    }),
  )
  .max(10_000)
  .default([])
  .describe('Keys that clients may use. AUTOGLM_API_KEYS (comma-separated) adds to them.');

const port = z.number().int().min(0).max(65535);
const milliseconds = z.number().int().min(1).max(86_400_000);
const positiveMs = (defaultMs: number, text: string) =>
  milliseconds.default(defaultMs).describe(`${text} Milliseconds, 1 to 86400000.`);

/** How answers are kept for others; each model may say otherwise than the section for all. */
const cacheMode = z.enum(['never', 'by-header', 'always']);
const cacheTtl = z.number().int().min(1).max(31_536_000);
const cacheEndpoints = z.array(z.enum(CACHE_ENDPOINTS)).min(1);

const engineUrl = z.url({ protocol: /^(https?|grpcs?)$/ });
const urlEntry = z.union([
  engineUrl,
  z.strictObject({
    url: engineUrl.describe('Origin, or origin with /v1.'),
    served_model_name: z
      .string()
      .min(1)
      .optional()
      .describe('The name by which this engine knows the model. Default: that of the model.'),
    api_key: secret(1, 'Bearer key that this engine wants. Default: that of the model.').optional(),
    max_batch_size: z
      .number()
      .int()
      .min(1)
      .max(4096)
      .optional()
      .describe('Requests in flight at this engine. Default: that of the model.'),
    weight: z
      .number()
      .min(0.01)
      .max(1000)
      .optional()
      .describe('Share of the requests that this engine gets against the others of the model. Default: 1.'),
  }),
]);

export const modelSchema = z
  .strictObject({
    model_name: z.string().min(1).max(200).describe('The name that clients send as `model`.'),
    engine: z
      .enum(ENGINE_KINDS)
      .default('embedded')
      .describe(
        'What serves the model (docs/engines.md). `embedded` needs nothing else installed; `openai` is any OpenAI-compatible endpoint.',
      ),
    model: z
      .string()
      .min(1)
      .optional()
      .describe(
        'For engines that we start: path of a GGUF file, `hf:` address, or the name the engine understands. Relative to this file. Default with `embedded`: the built-in model, which has the name inference-ops-demo.',
      ),
    served_model_name: z
      .string()
      .min(1)
      .optional()
      .describe('The name by which the engine itself knows the model, where it differs from `model_name`.'),
    aliases: z.array(z.string().min(1)).default([]).describe('Further names for the model.'),
    fallbacks: z
      .array(z.string().min(1))
      .max(16)
      .default([])
      .describe(
        'Models to ask instead, in this order, when no replica of this one can serve or all attempts failed before the first token. Never after a 4xx of the engine.',
      ),
    strategy: z
      .enum(STRATEGY_NAMES)
      .default(DEFAULT_STRATEGY)
      .describe(
        'How requests are shared out over the replicas (docs/scheduling.md). `prefix-cache` sends a prompt where its beginning was seen before, `session` keeps a conversation on one replica, `dynamic-weighted` needs `gpu_metrics_url`.',
      ),
    limits: modelLimitsSchema,
    lora_adapters: z
      .array(
        z.strictObject({
          name: z.string().min(1).max(200).describe('The name that clients send as `model`.'),
          path: z
            .string()
            .min(1)
            .describe('Where the engine finds it: a path, or a name that the engine understands.'),
        }),
      )
      .max(256)
      .default([])
      .describe(
        'LoRA adapters: each is a model of its own for clients, served by the replicas of this one. vllm, sglang and llama-server.',
      ),
    replicas: z.number().int().min(1).max(64).default(1).describe('Engines to start. Ignored with `urls`.'),
    protocol: z
      .enum(ENGINE_PROTOCOLS)
      .optional()
      .describe(
        'How a Triton server is spoken to: by its OpenAI front end, or by KServe v2 over HTTP or gRPC. Default: openai. Only with engine triton.',
      ),
    chat_template: z
      .string()
      .min(1)
      .optional()
      .describe(
        'How chats become text for a KServe model: chatml, llama3, mistral, plain, or a file, relative to this one: a Jinja template or a tokenizer_config.json. Default: none, and chats are refused. Only with protocol kserve-http or kserve-grpc.',
      ),
    metrics_url: z
      .string()
      .regex(/^https?:\/\/.+/, 'expected an http address such as http://{host}:8002/metrics')
      .optional()
      .describe(
        'Where a Triton server publishes its metrics; {host} is the host of each engine. Default: /metrics of port 8002 beside ports 8000 and 8001, else of the next port. Only with engine triton.',
      ),
    urls: z
      .array(urlEntry)
      .min(1)
      .optional()
      .describe(
        'Engines that run already: they are watched and used, never started or stopped. Origin, or origin with /v1 (grpc://host:8001 is http:// for protocol kserve-grpc); or a map with `url` and what sets this engine apart: `served_model_name`, `api_key`, `max_batch_size`.',
      ),
    api_key: secret(1, 'Bearer key that the engine wants. `${NAME}` reads the environment.').optional(),
    command: z
      .array(z.string())
      .min(1)
      .optional()
      .describe(
        'Program and arguments that start the engine; {port}, {host}, {model}, {model_name}, {max_batch_size}, {max_seq_length}, {quantize} and {tensor_parallel_size} are filled in. No shell.',
      ),
    args: z
      .array(z.string())
      .default([])
      .describe('Further arguments for an engine that we start, in its own words, after ours.'),
    env: z
      .record(z.string(), z.string())
      .default({})
      .describe('Environment of the engine, beside PATH, HOME and the like.'),
    gpu_metrics_url: z
      .string()
      .regex(/^https?:\/\/.+/, 'expected an http address such as http://{host}:9400/metrics')
      .optional()
      .describe(
        'Where an exporter publishes load and memory of the GPUs that each engine uses, as NVIDIA DCGM names them; {host} and {port} are those of the engine.',
      ),
    max_batch_size: z
      .number()
      .int()
      .min(1)
      .max(4096)
      .optional()
      .describe(
        'Requests in flight per replica; the rest waits in our queue. Default: 16 embedded, 8 llama-server, 4 ollama, 128 tgi, 256 others.',
      ),
    max_seq_length: z
      .number()
      .int()
      .min(64)
      .max(10_000_000)
      .optional()
      .describe('Context in tokens. Default: what the model was trained for (embedded: at most 8192).'),
    quantize: z
      .string()
      .min(1)
      .max(64)
      .optional()
      .describe(
        'Quantization of the weights: `INT8`, `INT4` or `FP8` where the engine can, or a word of its own; upper and lower case are the same. What each engine can do: docs/engines.md.',
      ),
    tensor_parallel_size: z
      .number()
      .int()
      .min(1)
      .max(64)
      .optional()
      .describe('GPUs that one replica is split over: vllm, sglang and tgi.'),
    threads: z
      .number()
      .int()
      .min(1)
      .max(512)
      .optional()
      .describe('Processor threads per embedded replica. Default: 1.'),
    start_timeout_ms: positiveMs(600_000, 'Longest time from start to ready.'),
    cache: z
      .strictObject({
        mode: cacheMode.optional().describe('As `cache.mode`, for this model. Default: `cache.mode`.'),
        ttl_s: cacheTtl.optional().describe('As `cache.ttl_s`, for this model. Default: `cache.ttl_s`.'),
        sampled: z
          .boolean()
          .optional()
          .describe('As `cache.sampled`, for this model. Default: `cache.sampled`.'),
        endpoints: cacheEndpoints
          .optional()
          .describe('As `cache.endpoints`, for this model. Default: `cache.endpoints`.'),
        semantic: z
          .strictObject({
            embedding_model: z
              .string()
              .min(1)
              .max(200)
              .describe(
                'The model of this system, served with embeddings, that says how near two questions are.',
              ),
            threshold: z
              .number()
              .min(0.5)
              .max(1)
              .default(0.95)
              .describe('How near (cosine) two questions must be to be given one answer.'),
          })
          .optional()
          .describe(
            'Chats only: give the answer to a question that means the same, too, where all but the last message of the user is equal. Default: off.',
          ),
        revision: z
          .string()
          .min(1)
          .max(200)
          .optional()
          .describe(
            'Any text. Change it when the weights were replaced under the same name or address, so that answers of the former ones are not found any more. All else that answers depend on is looked at anyway.',
          ),
      })
      .optional()
      .describe('Answers of this model that are given to more than one request (docs/cache.md).'),
  })
  .superRefine((model, context) => {
    if (model.urls === undefined && model.engine === 'openai' && model.command === undefined) {
      context.addIssue({
        code: 'custom',
        path: ['urls'],
        message: 'missing: engine "openai" needs `urls:` of a running engine or a `command:` that starts one',
      });
    }
    if (model.urls !== undefined && model.command !== undefined) {
      context.addIssue({
        code: 'custom',
        path: ['command'],
        message:
          'found together with `urls`; give `urls` for engines that run already or `command` for engines to start',
      });
    }
    if (model.urls !== undefined && model.engine === 'embedded') {
      context.addIssue({
        code: 'custom',
        path: ['engine'],
        message:
          'found "embedded" with `urls`; say which engine runs there: vllm, sglang, tgi, llama-server, ollama, triton or openai',
      });
    }
    if (model.strategy === 'dynamic-weighted' && model.gpu_metrics_url === undefined) {
      context.addIssue({
        code: 'custom',
        path: ['strategy'],
        message:
          'found "dynamic-weighted" without `gpu_metrics_url`; it weighs replicas by the load and memory of their GPUs, so say where an exporter publishes them, such as http://{host}:9400/metrics',
      });
    }
    for (const issue of tritonIssues(model)) context.addIssue({ code: 'custom', ...issue });
  });

/** Keys that only Triton's ways of speaking have. */
function tritonIssues(model: {
  engine: string;
  protocol?: string | undefined;
  chat_template?: string | undefined;
  metrics_url?: string | undefined;
  urls?: z.output<typeof urlEntry>[] | undefined;
  command?: string[] | undefined;
  model?: string | undefined;
}): { path: string[]; message: string }[] {
  const issues: { path: string[]; message: string }[] = [];
  const isTriton = model.engine === 'triton';
  const speaksKServe = isTriton && model.protocol?.startsWith('kserve-') === true;
  for (const key of ['protocol', 'metrics_url'] as const) {
    if (model[key] !== undefined && !isTriton)
      issues.push({
        path: [key],
        message: `found with engine "${model.engine}"; only engine "triton" has it`,
      });
  }
  if (model.chat_template !== undefined && !speaksKServe) {
    const found = `found with engine "${model.engine}" and protocol "${model.protocol ?? 'openai'}"`;
    const right =
      'only protocols "kserve-http" and "kserve-grpc" of engine "triton" need it, others template chats themselves';
    issues.push({ path: ['chat_template'], message: `${found}; ${right}` });
  }
  if (isTriton && model.urls === undefined && model.command === undefined && model.model === undefined) {
    issues.push({
      path: ['model'],
      message:
        'missing: engine "triton" needs the path of a model repository, `urls:` of running servers or a `command:`',
    });
  }
  const grpc = model.urls
    ?.map((entry) => (typeof entry === 'string' ? entry : entry.url))
    .find((url) => /^grpcs?:/.test(url));
  if (grpc !== undefined && model.protocol !== 'kserve-grpc') {
    issues.push({
      path: ['urls'],
      message: `found ${grpc}; would be right with \`protocol: kserve-grpc\` only`,
    });
  }
  return issues;
}

export const configSchema = z.strictObject({
  state_dir: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Records, logs and sockets. Default: $AUTOGLM_STATE_DIR, else $XDG_STATE_HOME/autoglm, else ~/.local/state/autoglm.',
    ),
  gateway: z
    .strictObject({
      host: z
        .string()
        .default('127.0.0.1')
        .describe(
          'Address to listen on. Any address but loopback needs keys. The environment variable AUTOGLM_HOST goes before this.',
        ),
      port: port
        .default(8080)
        .describe('0 chooses a free port. The environment variable PORT goes before this.'),
      workers: z
        .number()
        .int()
        .min(1)
        .max(128)
        .optional()
        .describe('Worker threads. Default: processor cores, at least 2.'),
      keys: clientKeys,
      allow_unauthenticated: z
        .boolean()
        .default(false)
        .describe(
          'Serve without keys on an address that is not loopback. Only behind something that authenticates.',
        ),
      body_bytes_max: z
        .number()
        .int()
        .min(1024)
        .max(1_073_741_824)
        .default(8_388_608)
        .describe('Largest request body, bytes.'),
      queue_size: z
        .number()
        .int()
        .min(0)
        .max(1_000_000)
        .default(1024)
        .describe(
          'Requests that may wait, per model. From 80 % on, those that are least urgent are refused with 429 and a Retry-After that can be kept.',
        ),
      queue_adaptive: z
        .boolean()
        .default(true)
        .describe(
          'Whether queues are made shorter, down to a tenth, while the gateway itself can not keep up: its event loops stall, its processors are all in use, or requests wait nearly as long as they may.',
        ),
      queue_timeout_ms: positiveMs(30_000, 'Longest wait in the queue.'),
      retry_attempts: z
        .number()
        .int()
        .min(0)
        .max(5)
        .default(2)
        .describe('Further attempts before the first token.'),
      retry_budget: z
        .number()
        .min(0)
        .max(1)
        .default(0.2)
        .describe('Share of requests in flight that may be retries.'),
      continuations: z
        .number()
        .int()
        .min(0)
        .max(10)
        .default(3)
        .describe('Times one stream may be continued on another replica.'),
      breaker_failures: z
        .number()
        .int()
        .min(0)
        .max(1000)
        .default(5)
        .describe(
          'Failed attempts in a row after which a replica is left out, for 5 s the first time and longer after that, until one request shows that it is well. At least half of the replicas of a model stay in. 0: never.',
        ),
      slow_start_ms: z
        .number()
        .int()
        .min(0)
        .max(3_600_000)
        .default(10_000)
        .describe(
          'A replica that comes back while others serve takes a tenth of its requests at first, and all after so long. Milliseconds; 0: all at once.',
        ),
      ejection_ms: z
        .number()
        .int()
        .min(0)
        .max(60_000)
        .default(500)
        .describe('How long a replica that refused or lost a connection gets nothing new. Milliseconds.'),
      keep_alive_ms: z
        .number()
        .int()
        .min(0)
        .max(3_600_000)
        .default(10_000)
        .describe(
          'A stream whose first token is late gets its headers and a comment each time so long has passed without a byte, so that proxies and clients do not give it up. Milliseconds; 0: none.',
        ),
      replay_bytes_max: z
        .number()
        .int()
        .min(65_536)
        .max(1_073_741_824)
        .default(4_194_304)
        .describe('Bytes of a stream kept for its continuation.'),
      responses_ttl_h: z
        .number()
        .min(0)
        .max(87_600)
        .default(720)
        .describe('How long a response that was stored can be read and continued. 0 stores none. Hours.'),
      responses_bytes_max: z
        .number()
        .int()
        .min(1_048_576)
        .max(1_099_511_627_776)
        .default(1_073_741_824)
        .describe('Stored responses together; the oldest give way. Bytes.'),
      idempotency_ttl_h: z
        .number()
        .min(0)
        .max(8_760)
        .default(24)
        .describe(
          'How long the answer to a request with an `Idempotency-Key` is kept. 0 ignores such keys. Hours.',
        ),
      idempotency_bytes_max: z
        .number()
        .int()
        .min(1_048_576)
        .max(1_099_511_627_776)
        .default(268_435_456)
        .describe('Answers kept under an `Idempotency-Key` together; the oldest give way. Bytes.'),
    })
    .prefault({}),
  timeouts: z
    .strictObject({
      connect_ms: positiveMs(5_000, 'Longest connect to an engine.'),
      first_token_ms: positiveMs(300_000, 'From the start of an attempt to its first token.'),
      stall_ms: positiveMs(60_000, 'Longest silence inside an answer.'),
      inference_timeout_ms: positiveMs(3_600_000, 'From admission to the end of the answer.'),
      write_stall_ms: positiveMs(60_000, 'A client that reads nothing for so long is dropped.'),
      drain_ms: positiveMs(30_000, 'How long a stopping process waits for what runs.'),
    })
    .prefault({}),
  files: z
    .strictObject({
      file_bytes_max: z
        .number()
        .int()
        .min(1024)
        .max(1_099_511_627_776)
        .default(209_715_200)
        .describe('Largest file that a client may upload, bytes.'),
      total_bytes_max: z
        .number()
        .int()
        .min(1024)
        .max(1_125_899_906_842_624)
        .default(10_737_418_240)
        .describe(
          'All files together, bytes. Beyond it uploads are refused; files that batches write are written all the same.',
        ),
      batch_ttl_h: z
        .number()
        .min(0.01)
        .max(87_600)
        .default(720)
        .describe('How long files for batches are kept when the upload names no time. Hours.'),
    })
    .prefault({}),
  batches: z
    .strictObject({
      window_ms: positiveMs(86_400_000, 'How long a batch has, whatever `completion_window` says.'),
      lines_max: z.number().int().min(1).max(1_000_000).default(50_000).describe('Lines of one batch.'),
      open_max: z
        .number()
        .int()
        .min(1)
        .max(10_000)
        .default(100)
        .describe('Batches that one key may have running or waiting.'),
      in_flight: z
        .number()
        .int()
        .min(1)
        .max(4096)
        .default(64)
        .describe('Lines of all batches together that may be under way at once.'),
      line_timeout_ms: milliseconds
        .optional()
        .describe(
          'From the sending of a line to the end of its answer; one that has none by then is tried again, three times in all. Default: a minute more than `timeouts.inference_timeout_ms`, by which the gateway ends it itself. Milliseconds, 1 to 86400000.',
        ),
      filler_share: z
        .number()
        .min(0)
        .max(1)
        .default(0.5)
        .describe(
          "Share of a replica's places left free by clients that lines of batches may fill. 0: only replicas that are idle.",
        ),
    })
    .prefault({}),
  cache: z
    .strictObject({
      mode: cacheMode
        .default('never')
        .describe(
          'Whether answers are given to more than one request (docs/cache.md). by-header: to requests that say so with `x-autoglm-cache: on`; always: to all whose answer would be the same, unless they say otherwise.',
        ),
      cache_capacity_gb: z
        .number()
        .min(0.001)
        .max(1024)
        .default(0.25)
        .describe(
          'Answers kept in the memory of a gateway process; what was used longest ago goes first. GB.',
        ),
      store: z
        .enum(['memory', 'redis'])
        .default('memory')
        .describe(
          'redis: gateways that use the same Redis (`redis.url`) share their answers; each keeps those that it gave last in its memory too.',
        ),
      ttl_s: cacheTtl.default(3600).describe('How long an answer is kept. Seconds.'),
      sampled: z
        .boolean()
        .default(false)
        .describe(
          'Keep answers that chance decides (no temperature 0, no seed that the engine honours) too: who asks again gets the same one.',
        ),
      endpoints: cacheEndpoints
        .default([...CACHE_ENDPOINTS])
        .describe('Whose answers are kept. Messages and responses of the other APIs count as chat.'),
    })
    .prefault({}),
  limits: z
    .strictObject({
      store: z
        .enum(['memory', 'redis'])
        .default('memory')
        .describe(
          'redis: gateways that use the same Redis (`redis.url`) keep to limits of requests and tokens together. memory: each gateway keeps to them for itself.',
        ),
    })
    .prefault({})
    .describe('Where limits of keys and models are counted (docs/limits.md).'),
  redis: z
    .strictObject({
      url: z
        .string()
        .max(4096)
        .regex(/^(rediss?:\/\/.+)?$/, 'expected an address such as redis://user:password@host:6379')
        .transform((written) => (written === '' ? undefined : new Secret(written)))
        .optional()
        .describe(
          'Address of the Redis that gateways of several machines share. Default: the environment variable REDIS_URL, or REDIS_HOST with REDIS_PORT, REDIS_USERNAME and REDIS_PASSWORD. Alone it does nothing: what uses it says so.',
        ),
      deadline_ms: z
        .number()
        .int()
        .min(1)
        .max(10_000)
        .default(50)
        .describe(
          'Longest wait for an answer of Redis. Without one, requests go on as if there were no Redis. Milliseconds.',
        ),
      key_prefix: z
        .string()
        .regex(/^[\w.{}:-]{1,64}$/, 'expected 1 to 64 letters, digits or . _ - : { }')
        .default('autoglm')
        .describe(
          'Begins the name of every key in Redis. Installations that share a Redis but nothing else have different ones.',
        ),
    })
    .prefault({}),
  admin: z
    .strictObject({
      host: z
        .string()
        .default('127.0.0.1')
        .describe('Address of admin API and status page. Any address but loopback needs `admin.keys`.'),
      port: port.default(8081).describe('0 chooses a free port.'),
      keys: keyList(
        'Keys for the admin API, the status page and `/metrics`. Empty: none is needed, which only loopback allows.',
      ),
    })
    .prefault({}),
  supervisor: z
    .strictObject({
      restarts_max: z
        .number()
        .int()
        .min(1)
        .max(1000)
        .default(5)
        .describe('Restarts of a replica within the window before quarantine.'),
      restart_window_ms: positiveMs(60_000, 'The window of `restarts_max`.'),
      backoff_initial_ms: positiveMs(
        500,
        'Wait before the first restart; doubles each time, with jitter of 20 %.',
      ),
      backoff_max_ms: positiveMs(
        30_000,
        'Longest wait before a restart. A replica that stayed ready for so long begins with the shortest again.',
      ),
      probe_interval_ms: positiveMs(5_000, 'Time between health probes of a ready replica.'),
      probe_timeout_ms: positiveMs(2_000, 'Longest wait for a health probe.'),
      probe_failures: z
        .number()
        .int()
        .min(1)
        .max(100)
        .default(3)
        .describe('Failed probes in a row before a replica leaves rotation.'),
    })
    .prefault({}),
  models: z
    .array(modelSchema)
    .min(1)
    .prefault([{ model_name: BUILTIN_MODEL_NAME, engine: 'embedded', replicas: 2 }])
    .describe('The models to serve. Default: the built-in demo model, two replicas.'),
});

/** What the user wrote, validated, with every default filled. */
export type Config = z.output<typeof configSchema>;
export type ModelConfig = z.output<typeof modelSchema>;
/** What a user may write. */
export type ConfigInput = z.input<typeof configSchema>;
