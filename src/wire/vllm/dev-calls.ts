/** The calls of vLLM that VLLM_SERVER_DEV_MODE=1 opens, as far as a supervisor has use for them. */
import { PlatformError } from '../../contract/errors.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { parseJsonObject } from '../json/parse-object.ts';
import type { DialectParts, Read } from './dialect-variant.ts';
import { refuse } from './request-fields.ts';
import { sendJson } from './send-json.ts';

const BODY_BYTES_MAX = 1024 * 1024;

export function devCalls({ core, running }: DialectParts): Record<string, Read> {
  return {
    '/reset_prefix_cache': (exchange) => sendJson(exchange, { success: core.clearCache?.() ?? false }),
    '/pause': async (exchange) => {
      const mode = new URLSearchParams(exchange.query).get('mode') ?? 'abort';
      if (mode !== 'abort' && mode !== 'wait')
        throw refuse('mode', mode, '"abort" or "wait": this engine cannot freeze requests');
      running.paused = true;
      if (mode === 'abort') running.abort('all');
      await running.untilIdle();
      sendJson(exchange, { status: 'paused' });
    },
    '/resume': (exchange) => {
      running.paused = false;
      sendJson(exchange, { status: 'resumed' });
    },
    '/is_paused': (exchange) => sendJson(exchange, { is_paused: running.paused }),
    '/abort_requests': async (exchange) => {
      const ids = (await bodyOf(exchange)).request_ids ?? [];
      if (!Array.isArray(ids) || !ids.every((id) => typeof id === 'string'))
        throw new PlatformError('invalid_request', 'request_ids: expected an array of strings');
      // Ids carry the prefix of their end point.
      const wanted = ids.map((id) => id.replace(/^(chatcmpl|cmpl)-/, ''));
      sendJson(exchange, {
        status: 'aborted',
        aborted: running.abort(wanted.length === 0 ? 'all' : wanted),
      });
    },
  };
}

export async function bodyOf(exchange: HttpExchange): Promise<Record<string, unknown>> {
  const body = await exchange.readBody(BODY_BYTES_MAX);
  return body.length === 0 ? {} : parseJsonObject(body);
}
