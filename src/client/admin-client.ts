/**
 * Typed client of the admin API, for Node and browsers. Every call ends by its timeout, and every failure is a PlatformError
 * that says what to do. Called by the commands of the CLI.
 */
import { type ActionResult, ADMIN_HEADER, type ModelList, type SystemStatus } from '../contract/admin-api.ts';
import { ERROR_SPECS, type ErrorCode, PlatformError } from '../contract/errors.ts';
import type { Fact } from '../contract/facts.ts';
import type { IncidentEvidence, IncidentReport, IncidentSummary } from '../contract/incident-report.ts';
import type { SuspectRecord } from '../contract/suspects.ts';

export interface AdminClientOptions {
  /** Origin of the admin API, such as `http://127.0.0.1:8081`. */
  url: string;
  /** Bearer key, where `admin.keys` are set. */
  key?: string;
  /** Longest wait for an answer. Default 10 s. */
  timeoutMs?: number;
  /** Longest wait for an action, which may include a drain. Default 120 s. */
  actionTimeoutMs?: number;
}

export interface AdminClient {
  readonly url: string;
  status(signal?: AbortSignal): Promise<SystemStatus>;
  facts(limit: number, signal?: AbortSignal): Promise<Fact[]>;
  drainReplica(id: string): Promise<ActionResult>;
  restartReplica(id: string): Promise<ActionResult>;
  restartPool(model: string): Promise<ActionResult>;
  models(signal?: AbortSignal): Promise<ModelList>;
  /** `entry`: as in `models` of the configuration. */
  loadModel(entry: Readonly<Record<string, unknown>>): Promise<ActionResult>;
  unloadModel(model: string): Promise<ActionResult>;
  scaleModel(model: string, replicas: unknown): Promise<ActionResult>;
  /** `move`: takes it over from another model. */
  setAlias(model: string, alias: string, move: boolean): Promise<ActionResult>;
  removeAlias(model: string, alias: string): Promise<ActionResult>;
  setAdapter(model: string, adapter: string, path: string): Promise<ActionResult>;
  removeAdapter(model: string, adapter: string): Promise<ActionResult>;
  suspects(): Promise<SuspectRecord[]>;
  /** The beginning of a fingerprint will do. */
  suspect(fingerprint: string): Promise<SuspectRecord>;
  releaseSuspect(fingerprint: string): Promise<ActionResult>;
  /** Newest first; `limit` at most 200. */
  incidents(limit: number, signal?: AbortSignal): Promise<IncidentSummary[]>;
  /** The beginning of an id will do. */
  incident(id: string): Promise<IncidentReport>;
  incidentReport(id: string, form: 'markdown' | 'text'): Promise<string>;
  incidentEvidence(id: string): Promise<IncidentEvidence>;
  restartGateway(): Promise<ActionResult>;
  restartNode(): Promise<ActionResult>;
  stop(immediate: boolean): Promise<ActionResult>;
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** Answers larger than this are refused; the largest real one, facts, is far smaller. */
const ANSWER_CHARACTERS_MAX = 16_777_216;

export function createAdminClient(options: AdminClientOptions): AdminClient {
  const url = options.url.replace(/\/+$/, '');
  const timeoutMs = options.timeoutMs ?? 10_000;
  const actionTimeoutMs = options.actionTimeoutMs ?? 120_000;

  async function call<T>(method: Method, path: string, body?: unknown, signal?: AbortSignal) {
    return send(method, path, { body, signal }, (response, text) => readAnswer<T>(response, text, url));
  }

  async function send<T>(
    method: Method,
    path: string,
    { body, signal }: { body?: unknown; signal?: AbortSignal | undefined },
    read: (response: Response, text: string) => T,
  ): Promise<T> {
    const acts = method !== 'GET';
    const limitMs = acts ? actionTimeoutMs : timeoutMs;
    const limit = AbortSignal.timeout(limitMs);
    const headers: Record<string, string> = { accept: 'application/json' };
    if (acts) headers['content-type'] = 'application/json';
    if (options.key !== undefined) headers.authorization = `Bearer ${options.key}`;
    try {
      const response = await fetch(`${url}${path}`, {
        method,
        headers,
        body: acts ? JSON.stringify(body ?? {}) : null,
        redirect: 'error',
        signal: signal === undefined ? limit : AbortSignal.any([limit, signal]),
      });
      return read(response, await response.text());
    } catch (error) {
      throw explain(error, { url, limitMs, timedOut: limit.aborted });
    }
  }

  const change = (method: Method, path: string, body?: unknown) =>
    call<ActionResult>(method, `/api/v1${path}`, body);
  const act = (path: string, body?: unknown) => change('POST', path, body);
  const model = (name: string, kind?: 'aliases' | 'adapters', other = '') =>
    `/models/${encodeURIComponent(name)}${kind === undefined ? '' : `/${kind}/${encodeURIComponent(other)}`}`;
  return {
    url,
    status: (signal) => call<SystemStatus>('GET', '/api/v1/status', undefined, signal),
    facts: async (limit, signal) =>
      (await call<{ facts: Fact[] }>('GET', `/api/v1/facts?limit=${limit}`, undefined, signal)).facts,
    drainReplica: (id) => act(`${replicaPath(id)}/drain`),
    restartReplica: (id) => act(`${replicaPath(id)}/restart`),
    restartPool: (model) => act(`/pools/${encodeURIComponent(model)}/restart`),
    models: (signal) => call<ModelList>('GET', '/api/v1/models', undefined, signal),
    loadModel: (entry) => act('/models', entry),
    unloadModel: (name) => change('DELETE', model(name)),
    scaleModel: (name, replicas) => change('PATCH', model(name), { replicas }),
    setAlias: (name, alias, move) => change('PUT', model(name, 'aliases', alias), { move }),
    removeAlias: (name, alias) => change('DELETE', model(name, 'aliases', alias)),
    setAdapter: (name, adapter, path) => change('PUT', model(name, 'adapters', adapter), { path }),
    removeAdapter: (name, adapter) => change('DELETE', model(name, 'adapters', adapter)),
    suspects: async () => (await call<{ suspects: SuspectRecord[] }>('GET', '/api/v1/suspects')).suspects,
    suspect: (fingerprint) =>
      call<SuspectRecord>('GET', `/api/v1/suspects/${encodeURIComponent(fingerprint)}`),
    releaseSuspect: (fingerprint) => act(`/suspects/${encodeURIComponent(fingerprint)}/release`),
    incidents: async (limit, signal) =>
      (
        await call<{ incidents: IncidentSummary[] }>(
          'GET',
          `/api/v1/incidents?limit=${limit}`,
          undefined,
          signal,
        )
      ).incidents,
    incident: (id) => call<IncidentReport>('GET', incidentPath(id)),
    incidentReport: (id, form) =>
      send('GET', `${incidentPath(id)}/report.${form === 'markdown' ? 'md' : 'txt'}`, {}, (response, text) =>
        // Whatever is not the report is read as the error that it is.
        response.ok && response.headers.has(ADMIN_HEADER) ? text : readAnswer<string>(response, text, url),
      ),
    incidentEvidence: (id) => call<IncidentEvidence>('GET', `${incidentPath(id)}/evidence`),
    restartGateway: () => act('/gateway/restart'),
    restartNode: () => act('/node/restart'),
    stop: (immediate) => act('/stop', { immediate }),
  };
}

function incidentPath(id: string): string {
  return `/api/v1/incidents/${encodeURIComponent(id)}`;
}

/** `<pool>/<ordinal>`, where the pool may hold slashes itself. */
export function replicaPath(id: string): string {
  const slash = id.lastIndexOf('/');
  if (slash <= 0 || !/^\d+$/.test(id.slice(slash + 1))) {
    throw new PlatformError(
      'invalid_request',
      `found replica "${id}"; would be right: POOL/NUMBER, such as inference-ops-demo/0`,
    );
  }
  return `/replicas/${encodeURIComponent(id.slice(0, slash))}/${id.slice(slash + 1)}`;
}

function readAnswer<T>({ status, headers }: Response, text: string, url: string): T {
  let body: unknown;
  try {
    if (!headers.has(ADMIN_HEADER)) throw new Error(`it sends no ${ADMIN_HEADER}`);
    if (text.length > ANSWER_CHARACTERS_MAX) throw new Error('too long');
    body = JSON.parse(text);
  } catch (error) {
    throw new PlatformError(
      'not_running',
      `what answers at ${url} is not the admin API of autoglm (HTTP ${status}); name the right address with --admin-url, by default http://127.0.0.1:8081`,
      { cause: error },
    );
  }
  if (status >= 200 && status < 300) return body as T;
  const error = (body as { error?: { code?: unknown; message?: unknown } }).error;
  const code = typeof error?.code === 'string' && error.code in ERROR_SPECS ? error.code : 'internal';
  const message = typeof error?.message === 'string' ? error.message : `HTTP ${status}`;
  const hint = code === 'invalid_api_key' ? ' (name it with --admin-key or AUTOGLM_ADMIN_KEY)' : '';
  throw new PlatformError(code as ErrorCode, `${message}${hint}`);
}

function explain(
  error: unknown,
  { url, limitMs, timedOut }: { url: string; limitMs: number; timedOut: boolean },
) {
  if (error instanceof PlatformError) return error;
  if (timedOut) {
    const message = `${url} did not answer within ${limitMs / 1000} s`;
    return new PlatformError('upstream_timeout', message, { cause: error });
  }
  if (error instanceof Error && error.name === 'AbortError') {
    return new PlatformError('client_closed', 'the call was given up', { cause: error });
  }
  return new PlatformError('not_running', `nothing answers at ${url}; start it with \`autoglm serve\``, {
    cause: error,
  });
}
