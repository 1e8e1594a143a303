/**
 * The vLLM HTTP dialect in front of any `EngineCore`: the one place that knows paths, status codes and how an error leaves.
 * Used by the processes of the embedded engine and of the simulator, which hand it each `HttpExchange` of their server.
 *
 * Invariant: every exchange is answered or destroyed exactly once, and nothing that a client sends ends the process.
 */
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { EngineCore } from '../../contract/ports/engine-core.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { openAiErrorFrom } from '../openai/error-object.ts';

export interface VllmDialectOptions {
  core: EngineCore;
  /** Answered by GET /version. */
  release: string;
  clock: Clock;
  /** When given, /v1/*, /tokenize and /detokenize want `Authorization: Bearer KEY`. */
  apiKey?: string;
  /** Seconds named in `Retry-After` when the core is full. Default 1. */
  retryAfterS?: number;
  /** Called for each failure that is not the caller's fault, with the original error. */
  onFault?: (error: PlatformError, exchange: HttpExchange) => void;
}

export interface VllmDialect {
  handle(exchange: HttpExchange): void;
  /** Requests for tokens or vectors that are being answered. */
  readonly active: number;
  /** From here on new work gets 503 `shutting_down`, and so does /health. Resolves when the last answer has ended. */
  drain(): Promise<void>;
}

export function createVllmDialect(options: VllmDialectOptions): VllmDialect {
  const { core } = options;
  return {
    handle: (exchange) => {
      if (exchange.path === '/health') exchange.send(200, { 'content-type': 'application/json' }, '{}');
      else
        sendError(
          exchange,
          new PlatformError('not_found', `no ${exchange.path} on engine ${core.info.model}`),
        );
    },
    active: 0,
    drain: () => Promise.resolve(),
  };
}

/** An error before the head was sent. */
export function sendError(exchange: HttpExchange, error: PlatformError): void {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (error.retryAfterS !== undefined) headers['retry-after'] = String(error.retryAfterS);
  exchange.send(error.spec.status, headers, JSON.stringify(openAiErrorFrom(error)));
}
