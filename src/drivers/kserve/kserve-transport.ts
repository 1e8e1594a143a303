/**
 * The transport for replicas that speak KServe, behind the port of all transports: takes a request in OpenAI's dialect and
 * gives back what an OpenAI engine would send. Requests without a KServe target go on to the other transport untouched.
 *
 * What a model takes and gives is asked once per replica and model and kept for a minute, so that a model that is loaded anew
 * under the same name is noticed.
 */
import type { Clock } from '../../base/clock.ts';
import type {
  KServeTarget,
  Transport,
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
} from '../../contract/ports/transport.ts';
import type { ModelSignature } from '../../wire/kserve/model-signature.ts';
import type { Backend, Peer } from './backend.ts';
import { createGrpcBackend } from './grpc-backend.ts';
import { createHttpBackend } from './http-backend.ts';
import { KServeCall } from './kserve-call.ts';

export interface KServeTransportOptions {
  /** For all that is not KServe over gRPC; closed by whoever made it. */
  http: Transport;
  clock: Clock;
}

const SIGNATURE_LIFE_MS = 60_000;
/** Replicas of a gateway and models on them. */
const SIGNATURES_MAX = 4096;

export function createKServeTransport({ http, clock }: KServeTransportOptions): Transport {
  const backends: Record<KServeTarget['protocol'], Backend> = {
    'kserve-http': createHttpBackend(http),
    'kserve-grpc': createGrpcBackend(),
  };
  const signatures = new Signatures(clock);
  const sendKServe = (
    request: UpstreamRequest,
    target: KServeTarget,
    handler: UpstreamHandler,
  ): UpstreamCall => {
    const backend = backends[target.protocol];
    return new KServeCall({
      request,
      target,
      handler,
      backend,
      clock,
      signatureOf: (peer, signal) => signatures.of(target.protocol, backend, peer, signal),
      forgetSignature: (peer) => signatures.drop(target.protocol, peer),
    });
  };
  return {
    send: (request, handler) =>
      request.kserve === undefined
        ? http.send(request, handler)
        : sendKServe(request, request.kserve, handler),
    forget: (origin) => {
      http.forget(origin);
      signatures.forget(origin);
      for (const backend of Object.values(backends)) backend.forget(origin);
    },
    close: async () => {
      await Promise.all(Object.values(backends).map((backend) => backend.close()));
    },
  };
}

interface Known {
  origin: string;
  signature: ModelSignature;
  untilMs: number;
}

class Signatures {
  readonly #clock: Clock;
  readonly #known = new Map<string, Known>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls that miss at the same time ask each for itself: the question is small, and none waits for another's signal. */
  async of(protocol: string, backend: Backend, peer: Peer, signal: AbortSignal): Promise<ModelSignature> {
    const key = keyOf(protocol, peer);
    const known = this.#known.get(key);
    if (known !== undefined && known.untilMs > this.#clock.monotonicMs()) return known.signature;
    const signature = await backend.describe(peer, signal);
    if (this.#known.size >= SIGNATURES_MAX) this.#known.clear();
    this.#known.set(key, {
      origin: peer.origin,
      signature,
      untilMs: this.#clock.monotonicMs() + SIGNATURE_LIFE_MS,
    });
    return signature;
  }

  drop(protocol: string, peer: Peer): void {
    this.#known.delete(keyOf(protocol, peer));
  }

  forget(origin: string): void {
    for (const [key, known] of this.#known) if (known.origin === origin) this.#known.delete(key);
  }
}

function keyOf(protocol: string, { origin, model }: Peer): string {
  return JSON.stringify([protocol, origin, model]);
}
