/**
 * What clients say about themselves beside their request, in headers that SDKs send unasked. Only hints: a value that can not
 * be read counts as absent. Called once per request, for every dialect.
 */
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';

export interface ClientHints {
  /** How many times the client has sent this request before; 0 when it does not say. */
  retries: number;
  /** The client gives up so long after it sent the request; null when it does not say. */
  timeoutMs: number | null;
}

const RETRIES_MAX = 1000;
const TIMEOUT_MS_MAX = 86_400_000;
/** In seconds. The first two are sent by the SDKs of OpenAI and Anthropic (JavaScript, Python), the last by users of LiteLLM. */
const TIMEOUT_HEADERS = [
  'x-stainless-timeout',
  'x-stainless-read-timeout',
  'x-request-timeout',
  'x-litellm-timeout',
];

export function clientHints(headers: HttpExchange['headers']): ClientHints {
  return { retries: retriesIn(headers), timeoutMs: timeoutIn(headers) };
}

function retriesIn(headers: HttpExchange['headers']): number {
  const text = headers['x-stainless-retry-count'];
  return text !== undefined && /^\d{1,4}$/.test(text) ? Math.min(Number(text), RETRIES_MAX) : 0;
}

function timeoutIn(headers: HttpExchange['headers']): number | null {
  for (const name of TIMEOUT_HEADERS) {
    const text = headers[name];
    if (text === undefined || !/^\d{1,8}(\.\d{1,6})?$/.test(text)) continue;
    const timeoutMs = Number(text) * 1000;
    // SDKs round down to whole seconds, so that 0 means less than one.
    if (timeoutMs > 0) return Math.min(timeoutMs, TIMEOUT_MS_MAX);
  }
  return null;
}
