/**
 * One small HTTP exchange with an engine, for probes: a connection of its own, a bounded body, never an exception. What went
 * wrong is said in words that a person understands.
 */
import { connect } from 'node:net';
import { Agent, request } from 'undici';
import type { EngineTarget, ProbeResult } from '../../contract/ports/engine-driver.ts';

export type ProbeResponse = { status: number; body: string } | { failure: string };

/** Lists of models and metrics are far smaller. */
const BODY_BYTES_MAX = 4 * 1024 * 1024;
const DETAIL_CHARACTERS_MAX = 200;

/** Without keep-alive (`pipelining: 0`): a probe must see whether the engine accepts connections now. */
const agent = new Agent({ pipelining: 0, allowH2: false, headersTimeout: 0, bodyTimeout: 0 });

export interface ProbeRequest {
  path: string;
  /** JSON body; makes it a POST. */
  body?: unknown;
}

export async function exchange(
  target: EngineTarget,
  { path, body }: ProbeRequest,
  signal: AbortSignal,
): Promise<ProbeResponse> {
  try {
    const response = await request(`${target.url}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        ...(target.engineKey !== undefined && { authorization: `Bearer ${target.engineKey}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      dispatcher: agent,
      signal,
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > BODY_BYTES_MAX) return { failure: `the answer has more than ${BODY_BYTES_MAX} bytes` };
      chunks.push(chunk);
    }
    return { status: response.statusCode, body: Buffer.concat(chunks).toString('utf8') };
  } catch (error) {
    return { failure: failureText(error, signal) };
  }
}

/** Whether the port accepts connections. */
export function connectTo(target: EngineTarget, signal: AbortSignal): Promise<ProbeResult> {
  const url = new URL(target.url);
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const onAbort = () => finish({ ok: false, detail: failureText(signal.reason, signal) });
    const finish = (result: ProbeResult) => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      resolve(result);
    };
    socket.once('connect', () => finish({ ok: true, detail: `port ${port} is open` }));
    socket.on('error', (error) => finish({ ok: false, detail: failureText(error, signal) }));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}

/** "HTTP 503 Loading model" */
export function statusText({ status, body }: { status: number; body: string }): string {
  const message = messageIn(body).replaceAll(/\s+/g, ' ').trim().slice(0, DETAIL_CHARACTERS_MAX);
  return message === '' ? `HTTP ${status}` : `HTTP ${status} ${message}`;
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Engines put the message at `error.message`, `message`, `detail` or nowhere. */
function messageIn(body: string): string {
  const value = parseJson(body);
  if (typeof value !== 'object' || value === null) return body;
  const { error, message, detail } = value as Record<string, unknown>;
  const inner =
    typeof error === 'object' && error !== null ? (error as { message?: unknown }).message : error;
  return [inner, message, detail].find((text) => typeof text === 'string') ?? body;
}

function failureText(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return 'no answer in time';
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ECONNREFUSED':
      return 'connection refused';
    case 'ECONNRESET':
    case 'UND_ERR_SOCKET':
      return 'connection closed by the engine';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'host name not found';
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'ETIMEDOUT':
      return 'no connection in time';
    default:
      return message || String(error);
  }
}
