/** The little of the batches API that `autoglm batches` needs. Failures are PlatformErrors that say what to do. */
import { ERROR_SPECS, type ErrorCode, PlatformError } from '../contract/errors.ts';

/** As the gateway shows it; fields that are not needed here are left out. */
export interface BatchSummary {
  id: string;
  status: string;
  endpoint: string;
  created_at: number;
  expires_at: number;
  request_counts: { total: number; completed: number; failed: number };
  output_file_id: string | null;
  error_file_id: string | null;
  errors: { data: { code: string; message: string; line: number | null }[] } | null;
}

export interface BatchClient {
  /** Newest first. */
  list(limit: number): Promise<BatchSummary[]>;
  show(id: string): Promise<BatchSummary>;
  cancel(id: string): Promise<BatchSummary>;
}

const TIMEOUT_MS = 10_000;

export function createBatchClient({ url, key }: { url: string; key: string | undefined }): BatchClient {
  async function call<T>(method: 'GET' | 'POST', path: string): Promise<T> {
    const headers: Record<string, string> = { accept: 'application/json' };
    if (key !== undefined) headers.authorization = `Bearer ${key}`;
    let response: Response;
    try {
      response = await fetch(`${url}${path}`, { method, headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
    } catch (error) {
      const message = `nothing answers at ${url}; start it with \`autoglm serve\``;
      throw new PlatformError('not_running', message, { cause: error });
    }
    const body = (await response.json().catch(() => null)) as T | null;
    if (response.ok && body !== null) return body;
    throw refusal(body, response.status, url);
  }

  return {
    list: async (limit) => (await call<{ data: BatchSummary[] }>('GET', `/v1/batches?limit=${limit}`)).data,
    show: (id) => call('GET', `/v1/batches/${encodeURIComponent(id)}`),
    cancel: (id) => call('POST', `/v1/batches/${encodeURIComponent(id)}/cancel`),
  };
}

function refusal(body: unknown, status: number, url: string): PlatformError {
  const error = (body as { error?: { code?: unknown; message?: unknown } } | null)?.error;
  if (typeof error?.message !== 'string') {
    const message = `what answers at ${url} is not the gateway of autoglm (HTTP ${status}); name the right address with --url`;
    return new PlatformError('not_running', message);
  }
  const known = typeof error.code === 'string' && error.code in ERROR_SPECS;
  const hint = status === 401 ? ' (name it with --key or AUTOGLM_KEY)' : '';
  return new PlatformError(known ? (error.code as ErrorCode) : 'internal', `${error.message}${hint}`);
}
