/**
 * What the two ways of speaking KServe have in common: ask a model what it is, and run one request on it. Inside this folder
 * only. In the contract: exactly one of `onEnd` and `onError` is called, once, and nothing after it or after `abort`.
 */
import type { UpstreamHandler } from '../../contract/ports/transport.ts';
import type { ModelSignature } from '../../wire/kserve/model-signature.ts';
import type { InferReply, InferRequest } from '../../wire/kserve/tensor.ts';

/**
 * Of the whole answer to one request, in one piece or many. Vectors of some thousand dimensions as JSON have some ten thousand
 * bytes; nothing of a language model has more than this.
 */
export const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

export interface Peer {
  /** Origin of the engine. */
  origin: string;
  model: string;
  requestId: string;
  /** Key and trace of the request; nothing else of it reaches the engine. */
  headers: Record<string, string>;
  connectTimeoutMs: number;
}

export type LostConnection = Parameters<UpstreamHandler['onError']>[0];

/** Why there is no answer: the connection, or the engine with a status of HTTP. */
export type BackendFailure =
  | { kind: 'lost'; failure: LostConnection; cause: Error }
  | { kind: 'refused'; status: number; message: string };

export class BackendError extends Error {
  readonly failure: BackendFailure;

  constructor(failure: BackendFailure) {
    super(failure.kind === 'lost' ? failure.cause.message : failure.message);
    this.name = 'BackendError';
    this.failure = failure;
  }
}

export interface BackendEvents {
  onReply(reply: InferReply): void;
  /** No more answers, and the engine said so properly. */
  onEnd(): void;
  /** A `BackendError`, or a `PlatformError` for an answer that can not be read. */
  onError(error: Error): void;
}

export interface BackendRun {
  pause(): void;
  resume(): void;
  /** Reaches the engine at once: the connection is closed, or the call cancelled. */
  abort(): void;
}

export interface Backend {
  /** Rejects with `BackendError` or `PlatformError`. */
  describe(peer: Peer, signal: AbortSignal): Promise<ModelSignature>;
  run(
    peer: Peer,
    call: { request: InferRequest; stream: boolean; decoupled: boolean },
    events: BackendEvents,
  ): BackendRun;
  forget(origin: string): void;
  close(): Promise<void>;
}
