/**
 * KServe over HTTP. Models that send one answer are asked by `/infer`, which every server of the protocol has; decoupled
 * ones by Triton's `/generate` and `/generate_stream`, as `/infer` refuses them. Connections are those of the transport that
 * is handed in.
 */
import { PlatformError } from '../../contract/errors.ts';
import type { Transport, UpstreamCall, UpstreamRequest } from '../../contract/ports/transport.ts';
import { errorMessageIn } from '../../wire/kserve/engine-error.ts';
import {
  errorIn,
  generateBody,
  inferBody,
  readGenerateJson,
  readInferJson,
} from '../../wire/kserve/infer-json.ts';
import { type ModelSignature, signatureFromJson } from '../../wire/kserve/model-signature.ts';
import { SseFrameSplitter } from '../../wire/sse/frame-splitter.ts';
import { parseSseEvents } from '../../wire/sse/parse-event.ts';
import {
  ANSWER_BYTES_MAX,
  type Backend,
  BackendError,
  type BackendEvents,
  type BackendRun,
  type Peer,
} from './backend.ts';

export function createHttpBackend(transport: Transport): Backend {
  return {
    describe: (peer, signal) => describe(transport, peer, signal),
    run: (peer, { request, stream, decoupled }, events) => {
      const path = modelPath(peer);
      if (!decoupled) {
        const body = inferBody(peer.requestId, request);
        return whole(transport, post(peer, `${path}/infer`, body), events, readInferJson);
      }
      const body = generateBody(peer.requestId, request);
      return stream
        ? streamed(transport, post(peer, `${path}/generate_stream`, body), events)
        : whole(transport, post(peer, `${path}/generate`, body), events, readGenerateJson);
    },
    forget: () => {},
    // The transport belongs to whoever handed it in.
    close: async () => {},
  };
}

async function describe(transport: Transport, peer: Peer, signal: AbortSignal): Promise<ModelSignature> {
  const path = modelPath(peer);
  const metadata = await fetchWhole(transport, get(peer, path), signal);
  if (metadata.status !== 200) throw refused(metadata);
  // Only Triton says how many answers a model sends.
  const config = await fetchWhole(transport, get(peer, `${path}/config`), signal);
  if (config.status >= 500 && config.status !== 501) throw refused(config);
  return signatureFromJson(parse(metadata.body), config.status === 200 ? parse(config.body) : undefined);
}

function modelPath({ model }: Peer): string {
  return `/v2/models/${encodeURIComponent(model)}`;
}

interface Answer {
  status: number;
  body: string;
}

function fetchWhole(transport: Transport, request: UpstreamRequest, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let call: UpstreamCall | undefined;
    const collected = new Collected();
    const onAbort = () => {
      call?.abort();
      reject(signal.reason);
    };
    const settle = (how: () => void) => {
      signal.removeEventListener('abort', onAbort);
      how();
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    call = transport.send(request, {
      onHead: (status) => {
        collected.status = status;
      },
      onData: (chunk) => {
        if (collected.add(chunk)) return;
        call?.abort();
        settle(() => reject(collected.tooLarge()));
      },
      onEnd: () => settle(() => resolve(collected.answer())),
      onError: (failure, cause) => settle(() => reject(new BackendError({ kind: 'lost', failure, cause }))),
    });
  });
}

/** One JSON answer. */
function whole(
  transport: Transport,
  request: UpstreamRequest,
  events: BackendEvents,
  read: typeof readInferJson,
): BackendRun {
  const collected = new Collected();
  const call: UpstreamCall = transport.send(request, {
    onHead: (status) => {
      collected.status = status;
    },
    onData: (chunk) => {
      if (collected.add(chunk)) return;
      call.abort();
      events.onError(collected.tooLarge());
    },
    onEnd: () => {
      const answer = collected.answer();
      // `/generate` has sent its status before it knows that something is wrong.
      const error = answer.status === 200 ? errorIn(answer.body) : null;
      if (answer.status !== 200 || error !== null) {
        return events.onError(refused({ ...answer, status: answer.status === 200 ? 500 : answer.status }));
      }
      if (deliver(events, () => read(answer.body))) events.onEnd();
    },
    onError: (failure, cause) => events.onError(new BackendError({ kind: 'lost', failure, cause })),
  });
  return call;
}

/** Server-sent events, one per answer. */
function streamed(transport: Transport, request: UpstreamRequest, events: BackendEvents): BackendRun {
  const collected = new Collected();
  const splitter = new SseFrameSplitter();
  let isStream = false;
  let over = false;
  const fail = (error: Error) => {
    if (over) return;
    over = true;
    call.abort();
    events.onError(error);
  };
  const take = (frames: string) => {
    for (const { data } of parseSseEvents(frames)) {
      const error = errorIn(data);
      if (error !== null)
        return fail(
          new BackendError({ kind: 'refused', status: statusOf(collected.status), message: error }),
        );
      let reply: ReturnType<typeof readGenerateJson>;
      try {
        reply = readGenerateJson(data);
      } catch (thrown) {
        return fail(PlatformError.from(thrown, 'engine_failed'));
      }
      events.onReply(reply);
      if (over) return;
    }
  };
  const call: UpstreamCall = transport.send(request, {
    onHead: (status, headers) => {
      collected.status = status;
      isStream = String(headers['content-type'] ?? '').startsWith('text/event-stream');
    },
    onData: (chunk) => {
      if (over) return;
      if (!isStream) {
        if (!collected.add(chunk)) fail(collected.tooLarge());
        return;
      }
      let frames: Buffer | null;
      try {
        frames = splitter.push(chunk);
      } catch (error) {
        return fail(new PlatformError('engine_failed', (error as Error).message));
      }
      if (frames !== null) take(frames.toString('utf8'));
    },
    onEnd: () => {
      if (over) return;
      if (!isStream) return fail(refused({ ...collected.answer(), status: statusOf(collected.status) }));
      over = true;
      events.onEnd();
    },
    onError: (failure, cause) => {
      if (over) return;
      over = true;
      events.onError(new BackendError({ kind: 'lost', failure, cause }));
    },
  });
  return {
    pause: () => call.pause(),
    resume: () => call.resume(),
    abort: () => {
      over = true;
      call.abort();
    },
  };
}

/** An error that came with status 200. */
function statusOf(status: number): number {
  return status === 200 ? 500 : status;
}

/** False when the answer can not be read and the error was delivered. */
function deliver(events: BackendEvents, read: () => ReturnType<typeof readInferJson>): boolean {
  let reply: ReturnType<typeof readInferJson>;
  try {
    reply = read();
  } catch (thrown) {
    events.onError(PlatformError.from(thrown, 'engine_failed'));
    return false;
  }
  events.onReply(reply);
  return true;
}

class Collected {
  status = 0;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  /** False when the answer is too large. */
  add(chunk: Buffer): boolean {
    this.#bytes += chunk.length;
    if (this.#bytes > ANSWER_BYTES_MAX) return false;
    this.#chunks.push(chunk);
    return true;
  }

  answer(): Answer {
    return { status: this.status, body: Buffer.concat(this.#chunks).toString('utf8') };
  }

  tooLarge(): PlatformError {
    return new PlatformError('engine_failed', `the engine's answer has more than ${ANSWER_BYTES_MAX} bytes`);
  }
}

function refused({ status, body }: Answer): BackendError {
  return new BackendError({ kind: 'refused', status, message: errorMessageIn(body) });
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function get(peer: Peer, path: string): UpstreamRequest {
  const { origin, headers, connectTimeoutMs } = peer;
  return { origin, method: 'GET', path, headers, body: null, connectTimeoutMs };
}

function post(peer: Peer, path: string, body: string): UpstreamRequest {
  const { origin, headers, connectTimeoutMs } = peer;
  return {
    origin,
    method: 'POST',
    path,
    headers: { ...headers, 'content-type': 'application/json', accept: '*/*' },
    body: Buffer.from(body),
    connectTimeoutMs,
  };
}
