/**
 * KServe over gRPC. Models that send one answer are asked by ModelInfer, decoupled ones by ModelStreamInfer, which ModelInfer
 * refuses. Ending a call cancels it, which the engine learns at once.
 */
import { Code, ConnectError } from '@connectrpc/connect';
import { PlatformError } from '../../contract/errors.ts';
import { inferMessage, readInferMessage, signatureFromMessages } from '../../wire/kserve/infer-protobuf.ts';
import type { ModelSignature } from '../../wire/kserve/model-signature.ts';
import type { ModelConfig, ModelInferRequest } from '../../wire/kserve/proto/inference_pb.ts';
import { type Backend, BackendError, type BackendEvents, type BackendRun, type Peer } from './backend.ts';
import { backendError, type GrpcSession, type InferenceClient, openGrpcSession } from './grpc-sessions.ts';

export function createGrpcBackend(): Backend {
  const sessions = new Map<string, GrpcSession>();
  const sessionOf = (origin: string): GrpcSession => {
    let session = sessions.get(origin);
    if (session === undefined) {
      session = openGrpcSession(origin);
      sessions.set(origin, session);
    }
    return session;
  };
  return {
    describe: (peer, signal) => describe(sessionOf(peer.origin), peer, signal),
    run: (peer, { request, decoupled }, events) => {
      const message = inferMessage(peer.model, peer.requestId, request, decoupled);
      return new GrpcRun(sessionOf(peer.origin), peer, message, decoupled, events);
    },
    forget: (origin) => {
      sessions.get(origin)?.close();
      sessions.delete(origin);
    },
    close: async () => {
      for (const session of sessions.values()) session.close();
      sessions.clear();
    },
  };
}

async function describe(session: GrpcSession, peer: Peer, signal: AbortSignal): Promise<ModelSignature> {
  const question = { name: peer.model };
  const options = { signal, headers: peer.headers };
  try {
    await session.connect(peer.connectTimeoutMs, signal);
    const metadata = await session.client.modelMetadata(question, options);
    return signatureFromMessages(metadata, await configOf(session.client, question, options));
  } catch (thrown) {
    if (thrown instanceof PlatformError) throw thrown;
    signal.throwIfAborted();
    throw backendError(thrown);
  }
}

/** Only Triton says how many answers a model sends. */
async function configOf(
  client: InferenceClient,
  question: { name: string },
  options: { signal: AbortSignal; headers: Record<string, string> },
): Promise<ModelConfig | undefined> {
  try {
    return (await client.modelConfig(question, options)).config;
  } catch (thrown) {
    if (ConnectError.from(thrown).code === Code.Unimplemented) return undefined;
    throw thrown;
  }
}

class GrpcRun implements BackendRun {
  readonly #abort = new AbortController();
  readonly #events: BackendEvents;
  #over = false;
  #resumed: Promise<void> | null = null;
  #resume: () => void = () => {};

  constructor(
    session: GrpcSession,
    peer: Peer,
    message: ModelInferRequest,
    decoupled: boolean,
    events: BackendEvents,
  ) {
    this.#events = events;
    const run = decoupled ? this.#stream(session, peer, message) : this.#unary(session, peer, message);
    run.then(
      () => this.#finish(() => events.onEnd()),
      (thrown: unknown) =>
        this.#finish(() => events.onError(thrown instanceof PlatformError ? thrown : backendError(thrown))),
    );
  }

  /** Answers that have come already wait in the stream, whose window holds the engine back. */
  pause(): void {
    this.#resumed ??= new Promise((resolve) => {
      this.#resume = resolve;
    });
  }

  resume(): void {
    this.#resume();
    this.#resumed = null;
  }

  abort(): void {
    this.#over = true;
    this.#abort.abort();
    this.resume();
  }

  async #unary(session: GrpcSession, peer: Peer, message: ModelInferRequest): Promise<void> {
    const { signal } = this.#abort;
    await session.connect(peer.connectTimeoutMs, signal);
    const response = await session.client.modelInfer(message, { signal, headers: peer.headers });
    if (!this.#over) this.#events.onReply(readInferMessage(response));
  }

  async #stream(session: GrpcSession, peer: Peer, message: ModelInferRequest): Promise<void> {
    const { signal } = this.#abort;
    await session.connect(peer.connectTimeoutMs, signal);
    // With this an error closes the stream by its own status; without, it is a text in an answer.
    const headers = { ...peer.headers, triton_grpc_error: 'true' };
    const responses = session.client.modelStreamInfer(once(message), { signal, headers });
    for await (const { errorMessage, inferResponse } of responses) {
      if (this.#resumed !== null) await this.#resumed;
      if (this.#over) return;
      if (errorMessage !== '')
        throw new BackendError({ kind: 'refused', status: 500, message: errorMessage });
      if (inferResponse !== undefined) this.#events.onReply(readInferMessage(inferResponse));
    }
  }

  #finish(tell: () => void): void {
    if (this.#over) return;
    this.#over = true;
    tell();
  }
}

async function* once(message: ModelInferRequest): AsyncGenerator<ModelInferRequest> {
  yield message;
}
