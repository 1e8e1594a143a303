/**
 * Port: HTTP to engines. One call is one attempt; the transport never retries, follows no redirects and sends just the
 * headers it is given. In the contract: exactly one of `onEnd` and `onError` is called, once, and nothing after it;
 * `onError` carries how far the attempt came; `abort()` closes the connection at once.
 */
import type { AttemptFailure } from '../facts.ts';
import type { ChatTemplate, EngineProtocol } from '../fleet.ts';

export interface UpstreamRequest {
  /** Origin of the engine, such as `http://127.0.0.1:40123`. */
  origin: string;
  method: 'GET' | 'POST' | 'DELETE';
  path: string;
  headers: Record<string, string>;
  body: Uint8Array | null;
  connectTimeoutMs: number;
  /** The engine does not speak OpenAI's dialect, in which path and body are written: they are translated on the way. */
  kserve?: KServeTarget;
}

export interface KServeTarget {
  protocol: Exclude<EngineProtocol, 'openai'>;
  /** The name by which the engine knows the model. */
  model: string;
  chatTemplate?: ChatTemplate;
}

export interface UpstreamHandler {
  onHead(status: number, headers: Record<string, string | string[] | undefined>): void;
  /** The bytes may be kept. */
  onData(chunk: Buffer): void;
  onEnd(): void;
  onError(
    failure: Extract<AttemptFailure, 'connect-refused' | 'connect-timeout' | 'connection-lost'>,
    cause: Error,
  ): void;
}

export interface UpstreamCall {
  /** Stops reading from the socket until `resume`. */
  pause(): void;
  resume(): void;
  /** Ends the call and its connection; no callback follows. */
  abort(): void;
}

export interface Transport {
  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall;
  /** Lets go of idle connections to an origin that is no longer in the fleet. */
  forget(origin: string): void;
  close(): Promise<void>;
}
