/**
 * What the request loop writes an answer into that may be for several clients. The loop sees one client that takes everything at
 * once and leaves only when nobody wants the answer any more; the client whose request it is gets it from an `AnswerPlayer`, those
 * who follow by way of the cache thread. The end of the answer is held back until `release`, so that it is kept before its client
 * can ask again.
 */
import { type PackedChunks, packChunks } from '../../../contract/cached-answer.ts';
import type { HttpExchange } from '../../../contract/ports/http-exchange.ts';
import { bytesOf, WrappedExchange } from '../wrapped-exchange.ts';
import type { AnswerPlayer } from './answer-player.ts';
import { type RecordedAnswer, sharedHeaders } from './recorded-answer.ts';

export interface FlightEvents {
  /** The client whose request it is has left. */
  onClientLeft(): void;
  /** For those who follow; called only from `follow` on. */
  onHead(status: number, headers: Record<string, string>): void;
  onFrames(chunks: PackedChunks): void;
  onOutgrown(): void;
}

export class FlightExchange extends WrappedExchange {
  readonly #player: AnswerPlayer;
  readonly #recorded: RecordedAnswer;
  readonly #events: FlightEvents;
  #followed = false;
  #cancelled = false;
  #over = false;
  #goneListener: () => void = () => {};
  readonly #onFinished: (() => void)[] = [];
  #whole: { headers: Record<string, string>; body: Uint8Array } | null = null;
  #streamHead: Record<string, string> | null = null;
  status = 0;

  constructor(
    inner: HttpExchange,
    parts: { player: AnswerPlayer; recorded: RecordedAnswer; events: FlightEvents },
  ) {
    super(inner);
    this.#player = parts.player;
    this.#recorded = parts.recorded;
    this.#events = parts.events;
    inner.onClientGone(() => this.#events.onClientLeft());
  }

  /** Nobody wants the answer any more: the engine is to stop. */
  cancel(): void {
    if (this.#cancelled || this.#over) return;
    this.#cancelled = true;
    this.#goneListener();
    this.#finish();
  }

  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** It was sent in pieces. */
  get streamed(): boolean {
    return this.#streamHead !== null;
  }

  get answerHeaders(): Record<string, string> {
    return sharedHeaders(this.#streamHead ?? this.#whole?.headers ?? {});
  }

  /** Others follow from here on: they are told what was said so far, and all that comes. */
  follow(): void {
    if (this.#followed) return;
    this.#followed = true;
    if (this.#streamHead !== null && !this.#recorded.outgrown)
      this.#events.onHead(this.status, sharedHeaders(this.#streamHead));
    this.#tellNew();
  }

  /** Lets its own client have the end. Resolves when that client has it, or is gone. */
  async release(): Promise<void> {
    if (this.#whole !== null) this.#player.send(this.status, this.#whole.headers, this.#whole.body);
    else if (this.#streamHead !== null) this.#player.end();
    await this.#player.finished;
  }

  override get clientGone(): boolean {
    return this.#cancelled;
  }

  override get headSent(): boolean {
    return this.#streamHead !== null || this.#whole !== null;
  }

  override get pendingBytes(): number {
    return 0;
  }

  override onClientGone(listener: () => void): void {
    this.#goneListener = listener;
  }

  override sendHead(status: number, headers: Record<string, string>): void {
    this.status = status;
    this.#streamHead = headers;
    this.#player.begin(status, headers);
    if (this.#followed) this.#events.onHead(status, sharedHeaders(headers));
  }

  override write(chunk: Uint8Array | string): boolean {
    const bytes = bytesOf(chunk);
    const hadOutgrown = this.#recorded.outgrown;
    this.#recorded.add(bytes);
    this.#player.push(bytes);
    if (!this.#recorded.outgrown) {
      if (this.#followed) this.#tellNew();
      return true;
    }
    if (!hadOutgrown) this.#events.onOutgrown();
    if (this.#followed) this.#events.onFrames(packChunks([bytes]));
    // It is this client's own from here on, and held back by it.
    return this.#player.isEmpty;
  }

  override onDrain(listener: () => void): void {
    this.#player.onEmpty(listener);
  }

  override onFinished(listener: () => void): void {
    if (this.#over || this.#cancelled) listener();
    else this.#onFinished.push(listener);
  }

  override end(chunk?: Uint8Array | string): void {
    if (chunk !== undefined) this.write(chunk);
    this.#over = true;
    this.#finish();
  }

  override send(status: number, headers: Record<string, string>, body: Uint8Array | string): void {
    this.status = status;
    this.#whole = { headers, body: bytesOf(body) };
    this.#recorded.add(this.#whole.body);
    this.#over = true;
    this.#finish();
  }

  override destroy(): void {
    this.inner.destroy();
    this.cancel();
  }

  #tellNew(): void {
    const fresh = this.#recorded.takeNew();
    if (fresh !== null) this.#events.onFrames(fresh);
  }

  #finish(): void {
    for (const listener of this.#onFinished.splice(0)) listener();
  }
}
