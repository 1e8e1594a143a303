/**
 * A transport whose code is loaded when it is first needed: what most fleets never use must not cost each start of a gateway.
 * Requests that come before wait for it.
 */
import type {
  Transport,
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
} from '../../contract/ports/transport.ts';

export interface LateTransport extends Transport {
  /** Begins to load it, so that no request has to wait. */
  load(): void;
}

export function createLateTransport(open: () => Promise<Transport>): LateTransport {
  let opening: Promise<Transport> | null = null;
  let opened: Transport | null = null;
  const load = () => {
    opening ??= open().then((transport) => {
      opened = transport;
      return transport;
    });
    return opening;
  };
  return {
    load: () => void load().catch(() => {}),
    send: (request, handler) =>
      opened === null ? new LateCall(load(), request, handler) : opened.send(request, handler),
    forget: (origin) => opened?.forget(origin),
    close: async () => {
      const transport = await opening?.catch(() => null);
      await transport?.close();
    },
  };
}

class LateCall implements UpstreamCall {
  #call: UpstreamCall | null = null;
  #isPaused = false;
  #isAborted = false;

  constructor(opening: Promise<Transport>, request: UpstreamRequest, handler: UpstreamHandler) {
    opening.then(
      (transport) => {
        if (this.#isAborted) return;
        this.#call = transport.send(request, handler);
        if (this.#isPaused) this.#call.pause();
      },
      (error: Error) => {
        if (!this.#isAborted) handler.onError('connect-refused', error);
      },
    );
  }

  pause(): void {
    this.#isPaused = true;
    this.#call?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#call?.resume();
  }

  abort(): void {
    this.#isAborted = true;
    this.#call?.abort();
  }
}
