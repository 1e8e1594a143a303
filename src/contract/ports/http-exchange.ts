/**
 * Port: one HTTP exchange as a plane sees it, without sockets. `drivers/http` maps connections to it; tests may fake it.
 */
export interface HttpExchange {
  readonly method: string;
  /** Canonical path, without query. */
  readonly path: string;
  readonly query: string;
  /** Lower-case names; only the first value of each. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Whether the peer is on this machine. */
  readonly fromLoopback: boolean;
  /** True once the client has gone before the answer was complete. */
  readonly clientGone: boolean;
  /** Called at once when the client goes away before the answer is complete; at most one listener. */
  onClientGone(listener: () => void): void;
  /** The whole body. Rejects with PlatformError `body_too_large`, `invalid_request` or `client_closed`. */
  readBody(bytesMax: number): Promise<Buffer>;
  /**
   * The body in pieces as they arrive, instead of `readBody`. The client sends on only as fast as they are taken. Throws what
   * `readBody` rejects with. Whoever stops early need not read the rest.
   */
  bodyChunks(bytesMax: number): AsyncIterable<Buffer>;
  readonly headSent: boolean;
  /** Sends status and headers; the body follows by `write`. */
  sendHead(status: number, headers: Record<string, string>): void;
  /** False when the client reads too slowly; wait for `onDrain` before writing more. */
  write(chunk: Uint8Array | string): boolean;
  onDrain(listener: () => void): void;
  end(chunk?: Uint8Array | string): void;
  /** Bytes of the answer that the system has not taken yet. */
  readonly pendingBytes: number;
  /** Called once, when the whole answer has been handed to the system or the connection is gone; at once if it is already. */
  onFinished(listener: () => void): void;
  /** Head and whole body in one write. */
  send(status: number, headers: Record<string, string>, body: Uint8Array | string): void;
  /** Cuts the connection. */
  destroy(): void;
}
