/**
 * An exchange in front of another one, for what changes or watches an answer on its way: everything passes through unless a
 * subclass says otherwise.
 */
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';

export abstract class WrappedExchange implements HttpExchange {
  protected readonly inner: HttpExchange;

  constructor(inner: HttpExchange) {
    this.inner = inner;
  }

  get method(): string {
    return this.inner.method;
  }

  get path(): string {
    return this.inner.path;
  }

  get query(): string {
    return this.inner.query;
  }

  get headers(): HttpExchange['headers'] {
    return this.inner.headers;
  }

  get fromLoopback(): boolean {
    return this.inner.fromLoopback;
  }

  get clientGone(): boolean {
    return this.inner.clientGone;
  }

  get headSent(): boolean {
    return this.inner.headSent;
  }

  get pendingBytes(): number {
    return this.inner.pendingBytes;
  }

  onClientGone(listener: () => void): void {
    this.inner.onClientGone(listener);
  }

  readBody(bytesMax: number): Promise<Buffer> {
    return this.inner.readBody(bytesMax);
  }

  bodyChunks(bytesMax: number): AsyncIterable<Buffer> {
    return this.inner.bodyChunks(bytesMax);
  }

  sendHead(status: number, headers: Record<string, string>): void {
    this.inner.sendHead(status, headers);
  }

  write(chunk: Uint8Array | string): boolean {
    return this.inner.write(chunk);
  }

  onDrain(listener: () => void): void {
    this.inner.onDrain(listener);
  }

  onFinished(listener: () => void): void {
    this.inner.onFinished(listener);
  }

  end(chunk?: Uint8Array | string): void {
    this.inner.end(chunk);
  }

  send(status: number, headers: Record<string, string>, body: Uint8Array | string): void {
    this.inner.send(status, headers, body);
  }

  destroy(): void {
    this.inner.destroy();
  }
}

export function bytesOf(chunk: Uint8Array | string): Buffer {
  if (typeof chunk === 'string') return Buffer.from(chunk);
  return Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}
