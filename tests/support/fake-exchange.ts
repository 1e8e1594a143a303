/** For tests: an HTTP exchange without a socket. The client can read slowly or go away. */
import type { HttpExchange } from '../../src/contract/ports/http-exchange.ts';
import type { AnswerJson } from './answer-json.ts';

export class FakeExchange implements HttpExchange {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Record<string, string | undefined>;
  readonly fromLoopback = true;
  readonly #body: Buffer;
  readonly #answered = Promise.withResolvers<void>();
  readonly #finished = Promise.withResolvers<void>();
  #ended = false;
  #gone: (() => void) | null = null;
  #drain: (() => void)[] = [];
  clientGone = false;
  headSent = false;
  destroyed = false;
  /** While true, the client takes nothing: writes are kept for it and say so. */
  slow = false;
  #pendingBytes = 0;
  status = 0;
  answerHeaders: Record<string, string> = {};
  writes: string[] = [];

  constructor(method: string, path: string, body: unknown = '', headers: Record<string, string> = {}) {
    this.method = method;
    const [plain = '', query = ''] = path.split('?');
    this.path = plain;
    this.query = query;
    this.headers = headers;
    this.#body = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  }

  get text(): string {
    return this.writes.join('');
  }

  get json(): AnswerJson {
    return JSON.parse(this.text) as AnswerJson;
  }

  /** Resolves when the answer is complete. */
  get answered(): Promise<void> {
    return this.#answered.promise;
  }

  onClientGone(listener: () => void): void {
    this.#gone = listener;
  }

  leave(): void {
    if (this.clientGone) return;
    this.clientGone = true;
    this.#gone?.();
    this.#answered.resolve();
    this.#finished.resolve();
  }

  async readBody(): Promise<Buffer> {
    return this.#body;
  }

  async *bodyChunks(): AsyncGenerator<Buffer> {
    yield this.#body;
  }

  sendHead(status: number, headers: Record<string, string>): void {
    this.headSent = true;
    this.status = status;
    this.answerHeaders = headers;
  }

  write(chunk: Uint8Array | string): boolean {
    if (this.clientGone) return true;
    const bytes = Buffer.from(chunk as string);
    this.writes.push(bytes.toString());
    if (this.slow) this.#pendingBytes += bytes.length;
    return !this.slow;
  }

  onDrain(listener: () => void): void {
    this.#drain.push(listener);
  }

  drain(): void {
    this.slow = false;
    this.#pendingBytes = 0;
    if (this.#ended) this.#finished.resolve();
    for (const listener of this.#drain.splice(0)) listener();
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  onFinished(listener: () => void): void {
    void this.#finished.promise.then(listener);
  }

  end(chunk?: Uint8Array | string): void {
    if (chunk !== undefined) this.write(chunk);
    this.#ended = true;
    this.#answered.resolve();
    if (!this.slow) this.#finished.resolve();
  }

  send(status: number, headers: Record<string, string>, body: Uint8Array | string): void {
    this.sendHead(status, headers);
    this.end(body);
  }

  destroy(): void {
    this.destroyed = true;
    this.leave();
  }
}
