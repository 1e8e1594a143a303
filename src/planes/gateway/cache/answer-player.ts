/**
 * Gives an answer that is there, or still comes, to one client at that client's own pace: what it has not taken yet waits here,
 * and nobody else waits for it. A client that takes nothing for too long is dropped, as is one that falls too far behind.
 */
import type { HttpExchange } from '../../../contract/ports/http-exchange.ts';
import type { DeadlineSweep, Watched } from '../deadline-sweep.ts';

export interface AnswerPlayerOptions {
  exchange: HttpExchange;
  sweep: DeadlineSweep;
  nowMs: number;
  writeStallTimeoutMs: number;
  /** More headers for the answer. */
  headers: Readonly<Record<string, string>>;
}

/** What may wait for one client. */
const BACKLOG_BYTES_MAX = 16_777_216;

export class AnswerPlayer implements Watched {
  listAt = -1;
  readonly #options: AnswerPlayerOptions;
  readonly #exchange: HttpExchange;
  readonly #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #blocked = false;
  #ended = false;
  #onEmpty: (() => void)[] = [];
  /** What the last sweep saw of the client's side, and when it last moved. */
  #pendingBytes = 0;
  #bytesSeen = 0;
  #movedMs: number;
  bytesOut = 0;
  /** The client has all of it, or is gone. */
  readonly finished: Promise<void>;

  constructor(options: AnswerPlayerOptions) {
    this.#options = options;
    this.#exchange = options.exchange;
    this.#movedMs = options.nowMs;
    options.sweep.add(this);
    this.finished = new Promise((resolve) =>
      options.exchange.onFinished(() => {
        options.sweep.remove(this);
        resolve();
      }),
    );
  }

  /** Nothing waits for the client. */
  get isEmpty(): boolean {
    return !this.#blocked && this.#waiting.length === 0;
  }

  begin(status: number, headers: Readonly<Record<string, string>>): void {
    this.#exchange.sendHead(status, { ...headers, ...this.#options.headers });
  }

  push(chunk: Uint8Array): void {
    if (this.#exchange.clientGone) return;
    if (!this.#blocked) return this.#write(chunk);
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#waitingBytes > BACKLOG_BYTES_MAX) this.#exchange.destroy();
  }

  end(): void {
    this.#ended = true;
    if (this.isEmpty) this.#exchange.end();
  }

  send(status: number, headers: Readonly<Record<string, string>>, body: Uint8Array): void {
    this.bytesOut += body.length;
    this.#exchange.send(status, { ...headers, ...this.#options.headers }, body);
  }

  /** Called once, when nothing waits any more. */
  onEmpty(listener: () => void): void {
    this.#onEmpty.push(listener);
  }

  onSweep(nowMs: number): void {
    const { pendingBytes } = this.#exchange;
    const moved =
      (pendingBytes === 0 && !this.#blocked) ||
      pendingBytes < this.#pendingBytes ||
      this.bytesOut > this.#bytesSeen;
    this.#pendingBytes = pendingBytes;
    this.#bytesSeen = this.bytesOut;
    if (moved) this.#movedMs = nowMs;
    if (nowMs - this.#movedMs > this.#options.writeStallTimeoutMs) this.#exchange.destroy();
  }

  #write(chunk: Uint8Array): void {
    this.bytesOut += chunk.length;
    if (this.#exchange.write(chunk)) return;
    this.#blocked = true;
    this.#exchange.onDrain(() => this.#resume());
  }

  #resume(): void {
    this.#blocked = false;
    while (!this.#blocked && this.#waiting.length > 0) {
      const next = this.#waiting.shift() as Uint8Array;
      this.#waitingBytes -= next.length;
      this.#write(next);
    }
    if (!this.isEmpty) return;
    for (const listener of this.#onEmpty.splice(0)) listener();
    if (this.#ended) this.#exchange.end();
  }
}
