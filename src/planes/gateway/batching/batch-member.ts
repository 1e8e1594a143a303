/**
 * One request that may be sent to an engine together with others. Owner of it until it is over: answered with its part of a common
 * answer, refused, left by its client, late, or handed on to go by itself. Its own limits of time, its record and what it holds of
 * its limits are its own all the time.
 */
import { PlatformError } from '../../../contract/errors.ts';
import type { BatchItem } from '../../../decide/scheduling/batching/item-batcher.ts';
import type { RequestPart } from '../../../wire/openai/merged/request-part.ts';
import type { TokenUsage } from '../../../wire/openai/usage-tail.ts';
import type { Watched } from '../deadline-sweep.ts';
import type { GatewayContext } from '../gateway-context.ts';
import { InferenceRun } from '../inference.ts';
import { waitedInVain } from '../places/refusals.ts';
import { promptTokensIn } from '../places/token-estimate.ts';
import { ReaderWatch } from '../reader-watch.ts';
import { outcomeOf } from '../request-end.ts';
import type { RequestRecord } from '../request-record.ts';
import { answerHeaders, respondError } from '../respond.ts';
import type { BatchedRequest } from './batched-request.ts';
import type { SharedAnswer } from './shared-exchange.ts';

/** In an answer: how many requests the engine answered with it. */
const BATCH_HEADER = 'x-autoglm-batch';
/** Headers of a common answer that are true of each of its parts. */
const COMMON_HEADERS = ['content-type', 'retry-after', 'retry-after-ms', 'x-should-retry'];

/** What a call says of each of the requests that it carried. */
export interface MemberAnswer extends SharedAnswer {
  usage: TokenUsage | null;
  /** Of the call. */
  call: RequestRecord;
  /** Pool that served instead of the one that was named. */
  fallback: string | null;
  /** Requests that the call carried. */
  size: number;
}

export class BatchMember implements BatchItem, Watched {
  listAt = -1;
  readonly key: string;
  readonly units: number;
  readonly weight: number;
  readonly part: RequestPart;
  readonly request: BatchedRequest;
  readonly arrivedMs: number;
  /** For company; known once its turn has come. */
  waitedMs = 0;
  readonly #context: GatewayContext;
  readonly #reader: ReaderWatch;
  /** How it goes on after its turn among others: not at all, or by itself. */
  readonly #turn = Promise.withResolvers<'over' | 'alone'>();
  readonly #ended = Promise.withResolvers<void>();
  #open = true;
  /** Of the call that carries it. */
  #call: RequestRecord | null = null;
  /** Whoever has it now takes it out. */
  #onLeave: () => void;

  constructor(
    context: GatewayContext,
    request: BatchedRequest,
    { part, key, onLeave }: { part: RequestPart; key: string; onLeave: (member: BatchMember) => void },
  ) {
    this.#context = context;
    this.request = request;
    this.part = part;
    this.key = key;
    this.units = part.units;
    this.weight = request.envelope.bytes.length;
    this.arrivedMs = context.clock.monotonicMs();
    this.#onLeave = () => onLeave(this);
    this.#reader = new ReaderWatch(context, request.exchange, () => request.record.bytesOut);
  }

  /** It waits for an answer, and may still be given one. */
  get isOpen(): boolean {
    return this.#open;
  }

  /** Runs to the end; never rejects. */
  async serve(): Promise<void> {
    const { exchange, record, envelope, pool } = this.request;
    const { shared, sweep } = this.#context;
    shared.addRequests(1);
    sweep.add(this);
    exchange.onClientGone(() => this.#leave());
    if (exchange.clientGone) this.#leave();
    const turn = await this.#turn.promise;
    if (turn === 'over') {
      await new Promise<void>((resolve) => exchange.onFinished(resolve));
      if (exchange.clientGone && record.outcome === 'completed') this.#noteCancelled();
    }
    sweep.remove(this);
    shared.addRequests(-1);
    if (turn === 'alone')
      await new InferenceRun(this.#context, exchange, envelope, record, pool.view.fallbacks).serve();
    this.#ended.resolve();
  }

  /** Its call is about to be made. */
  join(call: RequestRecord, onLeave: () => void): void {
    this.#call = call;
    this.#onLeave = onLeave;
  }

  /** From here on it is a request like any other. Resolves when that is over; true when it was answered well. */
  async goAlone(): Promise<boolean> {
    this.#open = false;
    this.#turn.resolve('alone');
    await this.#ended.promise;
    return this.request.record.outcome === 'completed';
  }

  answer({ status, headers, body, usage, call, fallback, size }: MemberAnswer): void {
    if (!this.#open) return;
    const { record, exchange } = this.request;
    this.#noteCall(call);
    if (fallback === null) record.model = call.model;
    record.fallback = fallback;
    if (size > 1) record.batch = { size, waitMs: this.waitedMs };
    record.status = status;
    record.outcome = status < 400 ? 'completed' : call.outcome;
    record.errorCode = call.errorCode;
    record.bytesOut = body.length;
    record.promptTokens = usage?.promptTokens ?? null;
    record.completionTokens = usage?.completionTokens ?? null;
    // Before the client has the answer: its next request finds the place free.
    record.hold?.settle(this.#tokensCharged());
    const common = Object.entries(headers).filter(([name]) => COMMON_HEADERS.includes(name));
    const processingMs = Math.round(this.#context.clock.monotonicMs() - record.startedMs);
    exchange.send(
      status,
      {
        ...answerHeaders(record),
        'openai-processing-ms': String(processingMs),
        ...(size > 1 && { [BATCH_HEADER]: String(size) }),
        ...Object.fromEntries(common),
      },
      body,
    );
    this.#end();
  }

  fail(error: PlatformError): void {
    if (!this.#open) return;
    const { record, exchange } = this.request;
    if (error.code === 'internal') this.#context.logError('request failed by a bug', error, record.requestId);
    if (this.#call !== null) this.#noteCall(this.#call);
    record.hold?.settle(this.#isSent ? 0 : null);
    record.outcome = outcomeOf(error.code, record.attempts);
    record.errorCode = error.code;
    respondError(exchange, error, record, 'openai');
    this.#end();
  }

  onSweep(nowMs: number): void {
    if (!this.#open) return void this.#reader.dropIfStuck(nowMs);
    const { record, pool } = this.request;
    const { settings } = this.#context;
    const waitedMs = nowMs - record.startedMs;
    if (waitedMs > settings.totalTimeoutMs) {
      const message = `the answer was not complete within ${settings.totalTimeoutMs} ms`;
      this.#leaveWith(new PlatformError('upstream_timeout', message));
    } else if (!this.#isSent && record.clientTimeoutMs !== null && waitedMs > record.clientTimeoutMs) {
      this.#leaveWith(waitedInVain(pool, settings, { waitedMs, retryAfterS: 1 }));
    }
  }

  /** An engine was asked, or is. */
  get #isSent(): boolean {
    return this.#call !== null && this.#call.attempts > 0;
  }

  #leaveWith(error: PlatformError): void {
    this.fail(error);
    this.#onLeave();
  }

  /** Its client has. */
  #leave(): void {
    if (!this.#open) return;
    const { record, envelope } = this.request;
    if (this.#call !== null) this.#noteCall(this.#call);
    // The engine has worked for it, or does.
    record.hold?.settle(this.#isSent ? promptTokensIn(envelope.bytes) : null);
    this.#noteCancelled();
    this.#end();
    this.#onLeave();
  }

  #end(): void {
    this.#open = false;
    this.#turn.resolve('over');
  }

  #noteCancelled(): void {
    const { record } = this.request;
    record.outcome = 'cancelled-by-client';
    record.status = 499;
    record.errorCode = 'client_closed';
  }

  #noteCall({ replica, attempts, queuedMs }: RequestRecord): void {
    const { record } = this.request;
    record.replica = replica;
    record.attempts = attempts;
    record.queuedMs = queuedMs;
  }

  /** As in the request loop: null when no engine was reached, nothing for a refusal. */
  #tokensCharged(): number | null {
    const { record, envelope } = this.request;
    if (record.attempts === 0 || record.errorCode === 'no_replica') return null;
    if (record.status >= 400) return 0;
    return record.promptTokens === null
      ? promptTokensIn(envelope.bytes)
      : record.promptTokens + (record.completionTokens ?? 0);
  }
}
