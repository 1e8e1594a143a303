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
  #gone: (() => void) | null = null;
  #drain: (() => void)[] = [];
  clientGone = false;
  headSent = false;
  destroyed = false;
  /** While true, writes are taken but say that the client reads too slowly. */
  slow = false;
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
    this.clientGone = true;
    this.#gone?.();
    this.#answered.resolve();
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
    this.writes.push(Buffer.from(chunk as string).toString());
    return !this.slow;
  }

  onDrain(listener: () => void): void {
    this.#drain.push(listener);
  }

  drain(): void {
    this.slow = false;
    for (const listener of this.#drain.splice(0)) listener();
  }

  readonly pendingBytes = 0;

  onFinished(listener: () => void): void {
    void this.answered.then(listener);
  }

  end(chunk?: Uint8Array | string): void {
    if (chunk !== undefined) this.write(chunk);
    this.#answered.resolve();
  }

  send(status: number, headers: Record<string, string>, body: Uint8Array | string): void {
    this.sendHead(status, headers);
    this.end(body);
  }

  destroy(): void {
    this.destroyed = true;
    this.#answered.resolve();
  }
}
