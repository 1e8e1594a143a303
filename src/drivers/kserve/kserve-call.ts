/**
 * One request on its way through a KServe backend: reads the OpenAI body, learns what the model takes, runs its request or
 * requests, and tells the handler what an OpenAI engine would have sent. Owner of the handler until it has ended once.
 */
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../contract/errors.ts';
import type {
  KServeTarget,
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
} from '../../contract/ports/transport.ts';
import { parseJsonObject } from '../../wire/json/parse-object.ts';
import { engineError } from '../../wire/kserve/engine-error.ts';
import type { ModelSignature } from '../../wire/kserve/model-signature.ts';
import { OpenAiAnswer } from '../../wire/kserve/openai-answer.ts';
import { type InferPlan, type KServeEndpoint, planInference } from '../../wire/kserve/openai-request.ts';
import type { InferReply, InferRequest } from '../../wire/kserve/tensor.ts';
import { openAiErrorFrom } from '../../wire/openai/error-object.ts';
import { sseData } from '../../wire/sse/parse-event.ts';
import { ANSWER_BYTES_MAX, type Backend, BackendError, type BackendRun, type Peer } from './backend.ts';

const ENDPOINTS: Readonly<Record<string, KServeEndpoint>> = {
  '/v1/chat/completions': 'chat',
  '/v1/completions': 'completions',
  '/v1/embeddings': 'embeddings',
};

/** What a tensor takes beside its values, roughly; counted, so that empty answers cannot come for ever. */
const TENSOR_BYTES = 256;
const NUMBER_BYTES = 8;

export interface KServeCallParts {
  request: UpstreamRequest;
  target: KServeTarget;
  handler: UpstreamHandler;
  backend: Backend;
  clock: Clock;
  signatureOf(peer: Peer, signal: AbortSignal): Promise<ModelSignature>;
  /** The model has answered in a way that does not fit what it said of itself. */
  forgetSignature(peer: Peer): void;
}

export class KServeCall implements UpstreamCall {
  readonly #parts: KServeCallParts;
  readonly #peer: Peer;
  readonly #abort = new AbortController();
  #run: BackendRun | null = null;
  #paused = false;
  #over = false;
  #headSent = false;

  constructor(parts: KServeCallParts) {
    this.#parts = parts;
    this.#peer = peerOf(parts);
    this.#serve().catch((thrown: unknown) => this.#fail(thrown));
  }

  pause(): void {
    this.#paused = true;
    this.#run?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#run?.resume();
  }

  abort(): void {
    if (this.#over) return;
    this.#over = true;
    this.#abort.abort();
    this.#run?.abort();
  }

  async #serve(): Promise<void> {
    const { request, target, signatureOf, clock } = this.#parts;
    const endpoint = ENDPOINTS[request.path];
    if (endpoint === undefined || request.method !== 'POST')
      throw new PlatformError(
        'not_found',
        `${request.method} ${request.path} is not served by engines that speak KServe`,
      );
    const fields = parseJsonObject(Buffer.from(request.body ?? []));
    const signature = await signatureOf(this.#peer, this.#abort.signal);
    const plan = planInference(endpoint, fields, signature, target.chatTemplate);
    const answer = new OpenAiAnswer(plan, signature, {
      requestId: this.#peer.requestId,
      createdS: Math.floor(clock.wallMs() / 1000),
      model: target.model,
    });
    if (plan.stream) await this.#streamed(plan, answer, signature.decoupled);
    else await this.#whole(plan, answer, signature.decoupled);
  }

  async #whole(plan: InferPlan, answer: OpenAiAnswer, decoupled: boolean): Promise<void> {
    const replies: InferReply[] = [];
    // One after the other: the engine batches over requests, and the client may leave in between.
    for (const request of plan.requests) {
      let bytes = 0;
      await this.#infer(request, { stream: false, decoupled }, (reply) => {
        if (reply.outputs.size === 0) return;
        bytes += bytesOf(reply);
        if (bytes > ANSWER_BYTES_MAX) return this.#failTooLarge();
        replies.push(reply);
      });
    }
    const body = Buffer.from(JSON.stringify(answer.whole(replies)));
    this.#answer(200, 'application/json', body);
  }

  async #streamed(plan: InferPlan, answer: OpenAiAnswer, decoupled: boolean): Promise<void> {
    const { handler } = this.#parts;
    for (const request of plan.requests) {
      await this.#infer(request, { stream: true, decoupled }, (reply) => {
        this.#sendHead(200, 'text/event-stream; charset=utf-8');
        const events = answer.events(reply);
        if (events !== '' && !this.#over) handler.onData(Buffer.from(events));
      });
    }
    if (this.#over) return;
    if (answer.saysFinish && !answer.finished) {
      const cause = new Error('the engine ended the stream before its end');
      throw new BackendError({ kind: 'lost', failure: 'connection-lost', cause });
    }
    this.#sendHead(200, 'text/event-stream; charset=utf-8');
    handler.onData(Buffer.from(answer.closing()));
    this.#end();
  }

  /** Resolves when the model has sent its last answer; never, once the call was aborted. */
  #infer(
    request: InferRequest,
    how: { stream: boolean; decoupled: boolean },
    onReply: (reply: InferReply) => void,
  ): Promise<void> {
    if (this.#over) return new Promise(() => {});
    return new Promise((resolve, reject) => {
      this.#run = this.#parts.backend.run(
        this.#peer,
        { request, ...how },
        {
          onReply: (reply) => {
            if (!this.#over) onReply(reply);
          },
          onEnd: resolve,
          onError: reject,
        },
      );
      if (this.#paused) this.#run.pause();
    });
  }

  /** A decoupled model sends as many answers as it likes; the backend bounds each, this all of them. */
  #failTooLarge(): void {
    this.#fail(
      new PlatformError(
        'engine_failed',
        `the answers of the engine have more than ${ANSWER_BYTES_MAX} bytes`,
      ),
    );
    this.#abort.abort();
    this.#run?.abort();
  }

  #answer(status: number, type: string, body: Buffer): void {
    if (this.#over) return;
    this.#sendHead(status, type);
    this.#parts.handler.onData(body);
    this.#end();
  }

  #sendHead(status: number, type: string): void {
    if (this.#headSent || this.#over) return;
    this.#headSent = true;
    this.#parts.handler.onHead(status, { 'content-type': type });
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#parts.handler.onEnd();
  }

  #fail(thrown: unknown): void {
    if (this.#over) return;
    if (thrown instanceof BackendError && thrown.failure.kind === 'lost') {
      this.#over = true;
      const { failure, cause } = thrown.failure;
      return this.#parts.handler.onError(failure, cause);
    }
    const error = errorOf(thrown);
    // A model that was loaded anew may take other tensors than it did.
    if (error.spec.fault !== 'caller' || thrown instanceof BackendError)
      this.#parts.forgetSignature(this.#peer);
    const body = openAiErrorFrom(error);
    if (!this.#headSent)
      return this.#answer(error.spec.status, 'application/json', Buffer.from(JSON.stringify(body)));
    this.#parts.handler.onData(Buffer.from(sseData(body)));
    this.#end();
  }
}

function bytesOf({ outputs }: InferReply): number {
  let bytes = 0;
  for (const { values } of outputs.values()) {
    bytes += TENSOR_BYTES;
    for (const value of values) bytes += typeof value === 'string' ? Buffer.byteLength(value) : NUMBER_BYTES;
  }
  return bytes;
}

function errorOf(thrown: unknown): PlatformError {
  if (thrown instanceof BackendError && thrown.failure.kind === 'refused')
    return engineError(thrown.failure.status, thrown.failure.message);
  if (thrown instanceof PlatformError) return thrown;
  return PlatformError.from(thrown, 'engine_failed', `the answer could not be translated: ${String(thrown)}`);
}

function peerOf({ request, target }: KServeCallParts): Peer {
  const { authorization, traceparent, 'x-request-id': requestId } = request.headers;
  return {
    origin: request.origin,
    model: target.model,
    requestId: requestId ?? 'request',
    headers: {
      ...(authorization !== undefined && { authorization }),
      ...(traceparent !== undefined && { traceparent }),
    },
    connectTimeoutMs: request.connectTimeoutMs,
  };
}
