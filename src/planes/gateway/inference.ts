/**
 * Serves one inference request from admission to its end: attempts, retries before the first content token, continuation
 * after it. Owner of the request from the moment its body is read until it is over; the plane settles the record then.
 *
 * The commit point is the first content token. Before it, a failed attempt is followed by another on any replica; after it,
 * the same stream goes on elsewhere (continue-stream.ts) or ends with a typed error.
 */
import { type ErrorCode, PlatformError } from '../../contract/errors.ts';
import type { AttemptFailure } from '../../contract/facts.ts';
import type { ReplicaView } from '../../contract/fleet.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { decideRetry, replicaDied } from '../../decide/scheduling/retry.ts';
import { addTopLevel, replaceTopLevel } from '../../wire/json/top-level-span.ts';
import type { Envelope } from '../../wire/openai/envelope.ts';
import { errorEventOf } from '../../wire/openai/error-object.ts';
import { usageInTail } from '../../wire/openai/usage-tail.ts';
import type { AcquireOptions, Lease } from './admission.ts';
import { Attempt } from './attempt.ts';
import type { AttemptEnd, EngineAnswer } from './attempt-end.ts';
import { ClientStream } from './client-stream.ts';
import { continueStream } from './continue-stream.ts';
import type { Watched } from './deadline-sweep.ts';
import { DirectRelay } from './direct-relay.ts';
import { enginePath, isExtraEndpoint, notOffered } from './engine-endpoints.ts';
import { poolName, type ReplicaEntry, runOf } from './fleet-table.ts';
import type { GatewayContext } from './gateway-context.ts';
import { Demand } from './places/demand.ts';
import { explanationText } from './places/explanation-text.ts';
import { ReaderWatch } from './reader-watch.ts';
import { attemptsFailed, outcomeOf, passOn } from './request-end.ts';
import type { RequestRecord } from './request-record.ts';
import { answerHeaders, respondError } from './respond.ts';
import type { AttemptTarget, StreamRun, WireAttempt } from './stream-run.ts';
import type { Suspicion } from './suspects/suspicion.ts';

/** Refusals of a pool that say nothing against the request itself. A model may be unloaded while a request waits for it. */
const UNSERVED: readonly ErrorCode[] = ['no_replica', 'saturated', 'queue_timeout', 'model_not_found'];

/** Role, end of the choice, and [DONE]. */
const LINES_WITHOUT_TOKEN = 3;
/** Times that one request follows an alias that is moved away from a model that goes. */
const MOVES_MAX = 3;

export class InferenceRun implements StreamRun, Watched {
  listAt = -1;
  readonly context: GatewayContext;
  readonly exchange: HttpExchange;
  readonly envelope: Envelope;
  readonly record: RequestRecord;
  readonly stream: ClientStream;
  readonly deadlineMs: number;
  /** Runs of replicas that failed this request. */
  readonly failed: string[] = [];
  /** The name that it is served by, which no alias is: that of the pool or adapter that the client meant, or of a fallback. */
  #model: string;
  readonly #demand: Demand;
  /** Attempts that got no connection to an engine. */
  #unreached = 0;
  /** The place that it has, or had last; null before the first. */
  #lease: Lease | null = null;
  /** Pools that may be asked when this one can not serve, in this order. */
  #fallbacks: string[];
  #attemptsOnPool = 0;
  /** How long the last attempt took, and the filler that was on its replica when it began. */
  #serviceMs = 0;
  #fillerBefore = 0;
  #cancelled = false;
  #onOver: (() => void) | null = null;
  #cancelCurrent: (() => void) | null = null;
  #keptAliveMs = 0;
  /** When the first place on a replica was had; null while the request waits for it. */
  #admittedMs: number | null = null;
  /** Set when the total limit has passed; the request ends with it. */
  #timeUp: PlatformError | null = null;
  /** The last byte of the answer was written. */
  #over = false;
  /** Set when engines died with such a request on them. */
  #suspicion: Suspicion | null = null;
  /** Start of the last attempt. */
  #beganMs = 0;
  readonly #reader: ReaderWatch;

  constructor(
    context: GatewayContext,
    exchange: HttpExchange,
    envelope: Envelope,
    record: RequestRecord,
    fallbacks: readonly string[] = [],
  ) {
    this.context = context;
    this.exchange = exchange;
    this.envelope = envelope;
    this.record = record;
    this.#model = record.model ?? envelope.model;
    this.#demand = new Demand(envelope, record.caller);
    this.#fallbacks = [...fallbacks];
    this.deadlineMs = record.startedMs + context.settings.totalTimeoutMs;
    this.stream = new ClientStream(exchange, context.settings.replayBytesMax, () => ({
      ...this.#headers(),
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
    }));
    this.#reader = new ReaderWatch(context, exchange, () => this.stream.bytesOut);
    exchange.onClientGone(() => this.#cancel());
    if (exchange.clientGone) this.#cancel();
  }

  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** Runs to the end; never rejects. */
  serve(): Promise<void> {
    const { context } = this;
    context.shared.addRequests(1);
    // What the client repeats is a retry as much as what we repeat: together they keep to one budget.
    context.retryBudget.requestStarted(context.settings.retryBudgetRatio);
    if (this.record.clientRetries > 0) context.retryBudget.tryRetry(context.clock.machineMs());
    context.sweep.add(this);
    return new Promise((resolve) => {
      this.#onOver = resolve;
      this.#start();
    });
  }

  /** The answer is not over for us before the client has it: a slow reader stays under watch. */
  #finish(): void {
    this.#over = true;
    this.record.hold?.settle(this.#tokensCharged());
    this.exchange.onFinished(() => this.#close());
  }

  #close(): void {
    const { context, record, stream } = this;
    if (this.exchange.clientGone && record.outcome === 'completed') this.#endCancelled();
    context.sweep.remove(this);
    this.#suspicion?.end(record.outcome === 'completed');
    context.shared.addRequests(-1);
    this.#lease?.settle(this.#tokensUsed());
    this.#demand.dispose();
    record.bytesOut += stream.bytesOut;
    if (stream.committed && record.completionTokens === null)
      record.estimatedTokens = Math.max(0, stream.dataLines - LINES_WITHOUT_TOKEN);
    this.#onOver?.();
  }

  /** As the engine reported, or as far as is known without. */
  #tokensUsed(): number {
    const { promptTokens, completionTokens } = this.record;
    const answered = completionTokens ?? Math.max(0, this.stream.dataLines - LINES_WITHOUT_TOKEN);
    return (promptTokens ?? this.#demand.promptTokens) + answered;
  }

  /** What limits on tokens are charged; null: no engine was reached. An engine that only refused used nothing. */
  #tokensCharged(): number | null {
    const { attempts, status, outcome } = this.record;
    if (attempts === this.#unreached) return null;
    const refused = status >= 400 && !this.stream.opened && outcome !== 'cancelled-by-client';
    return refused ? 0 : this.#tokensUsed();
  }

  onSweep(nowMs: number): void {
    if (this.#reader.dropIfStuck(nowMs)) return;
    if (nowMs > this.deadlineMs && this.#timeUp === null && !this.#cancelled && !this.#over) {
      const { totalTimeoutMs } = this.context.settings;
      this.#timeUp = new PlatformError(
        'upstream_timeout',
        `the answer was not complete within ${totalTimeoutMs} ms`,
      );
      this.#cancelCurrent?.();
    } else {
      this.#keepAlive(nowMs);
    }
  }

  /** A long prefill looks like a dead connection to whoever waits; its first token may still come from any replica. */
  #keepAlive(nowMs: number): void {
    const { keepAliveMs } = this.context.settings;
    if (!(keepAliveMs > 0) || this.#admittedMs === null || !this.envelope.stream) return;
    if (this.stream.committed || this.#over || this.#cancelled || this.#timeUp !== null) return;
    if (nowMs - Math.max(this.#admittedMs, this.#keptAliveMs) < keepAliveMs) return;
    this.#keptAliveMs = nowMs;
    this.record.status = 200;
    this.stream.keepAlive(nowMs);
  }

  /** The usual request finds a place at once and is answered by the first attempt: that way takes no promise at all. */
  #start(): void {
    try {
      const { suspects } = this.context;
      if (suspects.any) this.#suspicion = suspects.arrived(this.envelope, this.#named());
      const lease = this.#placeNow();
      if (lease !== null) this.#tryOn(lease, (end) => this.#goOn(lease, end));
      else this.#endWith(this.#run());
    } catch (thrown) {
      this.#endBadly(thrown);
    }
  }

  #goOn(lease: Lease, end: AttemptEnd): void {
    try {
      if (this.#tookAnswer(lease, end)) this.#finish();
      else this.#endWith(this.#recover(lease, end));
    } catch (thrown) {
      this.#endBadly(thrown);
    }
  }

  #endWith(work: Promise<void>): void {
    work.then(
      () => this.#finish(),
      (thrown) => this.#endBadly(thrown),
    );
  }

  /** Nothing is thrown any further: it would end the thread, and all its requests. */
  #endBadly(thrown: unknown): void {
    try {
      this.#endWithError(PlatformError.from(thrown));
    } catch (error) {
      this.context.logError('an error could not be told to the client', error, this.record.requestId);
      this.exchange.destroy();
    }
    this.#finish();
  }

  async #run(): Promise<void> {
    const lease = await this.#firstPlace();
    const end = await this.#attemptOn(lease);
    if (!this.#tookAnswer(lease, end)) await this.#recover(lease, end);
  }

  /** After an attempt that did not answer the request. */
  async #recover(failedLease: Lease, failedEnd: AttemptEnd): Promise<void> {
    let [lease, end] = [failedLease, failedEnd];
    while (end.kind === 'failed') {
      // The total limit is ours and says nothing about the replica.
      if (this.#timeUp !== null) throw this.#timeUp;
      this.reportFailure(lease, end.failure, end.answer);
      if (this.stream.committed)
        return continueStream(this, { lease, failure: end.failure, detail: end.detail });
      this.stream.dropHeld();
      if (!this.#mayRetry(end.failure) && !(await this.#fallBack())) return this.#giveUp(end);
      lease = await this.#firstPlace();
      end = await this.#attemptOn(lease);
      if (this.#tookAnswer(lease, end)) return;
    }
    this.#endCancelled();
  }

  /** False when the attempt gave no answer. */
  #tookAnswer({ replica }: Lease, end: AttemptEnd): boolean {
    if (end.kind === 'streamed') this.#completed(200);
    else if (end.kind === 'answered') this.#answer(end);
    else return false;
    this.#observePace(replica);
    return true;
  }

  /** A place that is free at this moment; null: the request has to wait, or has no pool. */
  #placeNow(): Lease | null {
    const { context, record } = this;
    if (record.filler || this.#cancelled || this.#suspicion !== null) return null;
    const lease = context.admission.take(this.#placeWanted([], false));
    if (lease !== null) this.#admitted(lease);
    return lease;
  }

  /** A place on a replica of the pool, or else of its fallbacks. */
  async #firstPlace(): Promise<Lease> {
    for (;;) {
      try {
        return await this.acquire(this.failed, false);
      } catch (thrown) {
        const { code } = PlatformError.from(thrown);
        if (!UNSERVED.includes(code) || !(await this.#fallBack())) throw thrown;
      }
    }
  }

  /** Goes on with the next fallback, if there is one and the request may still be served. */
  async #fallBack(): Promise<boolean> {
    if (this.#cancelled || this.#timeUp !== null) return false;
    for (let next = this.#fallbacks.shift(); next !== undefined; next = this.#fallbacks.shift()) {
      const pool = this.context.table.find(next);
      // Models and aliases change at run time: one that is gone, or has become this model itself, is passed over.
      if (pool === undefined || poolName(pool) === this.#model) continue;
      if (!(await this.context.limits.admitFallback(this.record, pool, this.envelope))) continue;
      this.#model = poolName(pool);
      this.#attemptsOnPool = 0;
      this.record.fallback = next;
      this.#suspicion?.end(false);
      this.#suspicion = this.context.suspects.arrived(this.envelope, this.#named());
      return true;
    }
    return false;
  }

  /** How fast clients are answered decides how much filler there may be beside them. */
  #observePace(replica: ReplicaEntry): void {
    const { record, stream } = this;
    if (record.filler || record.outcome !== 'completed') return;
    this.context.fillerPace.observe({
      replica,
      serviceMs: this.#serviceMs,
      fillerBefore: this.#fillerBefore,
      kind: record.stream ? 'stream' : 'whole',
      units: record.stream ? stream.bytesOut : (record.completionTokens ?? 0),
    });
    if (this.context.steps.watches(replica.slot)) this.#observeSteps(replica.slot);
  }

  /** How long the replica took for a token decides how much it gets beside its peers. */
  #observeSteps(slot: number): void {
    const { record, stream, context } = this;
    const tokens = record.completionTokens ?? Math.max(0, stream.dataLines - LINES_WITHOUT_TOKEN);
    if (!record.stream) return context.steps.add(slot, 'whole', { ms: this.#serviceMs, tokens });
    if (record.firstTokenMs === null || stream.wasBlocked) return;
    const ms = context.clock.monotonicMs() - record.startedMs - record.firstTokenMs;
    context.steps.add(slot, 'stream', { ms, tokens: tokens - 1 });
  }

  /** A place on a replica; rejects when the client leaves or no place comes free in time. */
  async acquire(avoid: readonly string[], urgent: boolean): Promise<Lease> {
    const { context } = this;
    this.throwIfOver();
    // What was counted for the place before is not what the request will have used.
    this.#lease?.settle(0);
    this.#lease = null;
    if (this.#suspicion !== null) await this.#untilCleared(this.#suspicion);
    const lease = await this.#waitForPlace(avoid, urgent);
    this.#admitted(lease);
    if (this.#cancelled) {
      context.observeHealth(lease, { kind: 'cancelled' });
      lease.release();
      this.throwIfOver();
    }
    return lease;
  }

  /** A request that may have killed an engine is sent where the main thread says, or not at all. */
  async #untilCleared(suspicion: Suspicion): Promise<void> {
    this.#cancelCurrent = () =>
      suspicion.giveUp(new PlatformError('client_closed', 'the client left while its request was examined'));
    await suspicion.cleared(this.#placeDeadlineMs(), this.context.clock.monotonicMs());
    this.#cancelCurrent = null;
    this.throwIfOver();
  }

  #named(): { model: string; servedBy: string } {
    return { model: this.record.model ?? this.#model, servedBy: this.#model };
  }

  #admitted(lease: Lease): void {
    const { context, record } = this;
    this.#lease = lease;
    this.#cancelCurrent = null;
    this.#suspicion?.placed();
    this.#admittedMs ??= context.clock.monotonicMs();
    record.queuedMs += lease.queuedMs;
    record.replica = lease.replica.view.id;
    if (lease.explanation !== null) record.explanation = explanationText(lease.explanation);
  }

  #placeWanted(avoid: readonly string[], urgent: boolean): AcquireOptions {
    return {
      model: this.#model,
      demand: this.#demand,
      avoid: this.#suspicion === null ? avoid : [...avoid, ...this.#suspicion.avoid],
      urgent,
      only: this.#suspicion?.only ?? undefined,
      deadlineMs: this.#placeDeadlineMs(),
      explain: this.record.caller.explain,
    };
  }

  /**
   * From the model that the request was taken in for, also when its alias has moved meanwhile: an answer that has begun is not
   * continued by another model. One that has not begun follows its alias when the model is gone.
   */
  async #waitForPlace(avoid: readonly string[], urgent: boolean): Promise<Lease> {
    const { context, record, envelope, stream } = this;
    const only = this.#suspicion?.only ?? null;
    const admission = record.filler && only === null ? context.fillerAdmission : context.admission;
    for (let turn = 0; ; turn++) {
      try {
        return await admission.acquire(this.#placeWanted(avoid, urgent), (cancel) => {
          this.#cancelCurrent = cancel;
        });
      } catch (thrown) {
        const pool = context.table.find(envelope.model);
        const isGone = PlatformError.from(thrown).code === 'model_not_found' && record.fallback === null;
        if (!isGone || pool === undefined || stream.committed || turn === MOVES_MAX) throw thrown;
        this.#model = poolName(pool);
        this.#fallbacks = [...(pool.view.fallbacks ?? [])];
        record.model = this.#model;
      }
    }
  }

  /** When waiting for a place has no use any more. */
  #placeDeadlineMs(): number {
    const { clock, settings } = this.context;
    // In the middle of its answer it waits as long as others take to leave the replica where it is tried alone.
    if (this.#suspicion !== null && this.stream.committed) return this.deadlineMs;
    return Math.min(this.deadlineMs, clock.monotonicMs() + settings.queueTimeoutMs, this.#clientDeadlineMs());
  }

  /** A client that has given up by then is not worth a place any more. Streams that have begun go on as long as they are read. */
  #clientDeadlineMs(): number {
    const { clientTimeoutMs, startedMs } = this.record;
    if (clientTimeoutMs === null || this.stream.opened) return Number.POSITIVE_INFINITY;
    return startedMs + clientTimeoutMs;
  }

  throwIfOver(): void {
    if (this.#timeUp !== null) throw this.#timeUp;
    if (this.#cancelled) throw new PlatformError('client_closed', 'the client closed the connection');
  }

  attempt(target: AttemptTarget, wire: WireAttempt): Promise<AttemptEnd> {
    this.#beganMs = this.context.clock.monotonicMs();
    return new Promise((resolve) => this.#startAttempt(target, wire, resolve));
  }

  /** `onEnd` is called once, also when the client's departure ends the attempt; not when this throws. */
  #startAttempt(target: AttemptTarget, wire: WireAttempt, onEnd: (end: AttemptEnd) => void): void {
    const { context, record, envelope } = this;
    record.attempts++;
    this.#attemptsOnPool++;
    let attempt: Attempt | null = null;
    let ended = false;
    const settle = (end: AttemptEnd) => {
      if (ended) return;
      ended = true;
      this.#cancelCurrent = null;
      onEnd(end);
    };
    const events = wire(() => attempt as Attempt, settle);
    attempt = new Attempt(
      context,
      {
        replica: target.replica,
        path: target.path,
        body: target.body,
        requestId: record.requestId,
        accept: envelope.stream ? 'text/event-stream' : 'application/json',
        traceparent: this.exchange.headers.traceparent,
      },
      events,
    );
    if (ended) return;
    const cancel = () => {
      attempt?.abort();
      settle(
        this.#timeUp === null
          ? { kind: 'cancelled' }
          : { kind: 'failed', failure: 'stall-timeout', detail: this.#timeUp.message, answer: null },
      );
    };
    // Not assigned as a literal: V8 makes such functions old from birth, and the young collector would keep the request.
    this.#cancelCurrent = cancel;
    if (envelope.stream) this.stream.attach(attempt);
    // The client may have left, or the time be up, while something else was waited for.
    if (this.#cancelled || this.#timeUp !== null) cancel();
  }

  #attemptOn(lease: Lease): Promise<AttemptEnd> {
    return new Promise((resolve) => this.#tryOn(lease, resolve));
  }

  /** One attempt on the place that was had, which is given back at its end. */
  #tryOn(lease: Lease, onEnd: (end: AttemptEnd) => void): void {
    const { envelope, context } = this;
    const { replica } = lease;
    this.#fillerBefore = context.shared.fillerInFlight(replica.slot);
    const beganMs = context.clock.monotonicMs();
    this.#beganMs = beganMs;
    try {
      this.#startAttempt(
        {
          replica,
          path: enginePath(replica.view.capabilities, envelope.endpoint),
          body: bodyFor(replica.view, envelope),
        },
        (attempt, settle) => new DirectRelay(this, attempt, settle).events(),
        (end) => {
          lease.release();
          context.observeHealth(lease, end);
          this.#serviceMs = context.clock.monotonicMs() - beganMs;
          onEnd(end);
        },
      );
    } catch (thrown) {
      lease.release();
      throw thrown;
    }
  }

  /** Tells the supervisor, and keeps the replica out of rotation for a moment when it seems dead. */
  reportFailure({ replica }: Lease, failure: AttemptFailure, answer: EngineAnswer | null = null): void {
    const { context, record } = this;
    this.failed.push(runOf(replica.view));
    record.failedAt = { replica: replica.view.id, generation: replica.view.generation };
    if (failure === 'connect-refused' || failure === 'connect-timeout') this.#unreached++;
    if (replicaDied(failure)) context.ejectBriefly(replica);
    context.countAttemptFailure(record.model ?? '', failure);
    context.report({
      type: 'attemptFailed',
      atMs: context.clock.wallMs(),
      replica: replica.view.id,
      generation: replica.view.generation,
      failure,
      requestId: record.requestId,
    });
    this.#suspicion = context.suspects.failed({
      ...{ envelope: this.envelope, ...this.#named(), requestId: record.requestId },
      ...{ replica: replica.view, failure, runningMs: context.clock.monotonicMs() - this.#beganMs },
      ...{ committed: this.stream.committed, former: this.#suspicion, busy: saysBusy(answer) },
    });
  }

  #mayRetry(failure: AttemptFailure): boolean {
    const { context } = this;
    if (this.#cancelled || this.#timeUp !== null) return false;
    const decision = decideRetry({
      failure,
      attempts: this.#attemptsOnPool,
      retriesMax: context.settings.retryAttemptsMax,
    });
    if (!decision.retry) return false;
    return !decision.budgeted || context.retryBudget.tryRetry(context.clock.machineMs());
  }

  /** Passes on the engine's own error when it gave one, else says what happened. */
  #giveUp(end: Extract<AttemptEnd, { kind: 'failed' }>): void {
    if (this.#timeUp !== null) return this.#endWithError(this.#timeUp);
    if (end.answer !== null && saysWhy(end.answer)) return this.#answer({ kind: 'answered', ...end.answer });
    this.#endWithError(attemptsFailed(end, this.envelope.model, this.record.attempts));
  }

  /** Of every answer to this request; the time is that from the request to the first byte. */
  #headers(): Record<string, string> {
    const { record, context } = this;
    const processingMs = Math.round(context.clock.monotonicMs() - record.startedMs);
    const headers = answerHeaders(record);
    headers['openai-processing-ms'] = String(processingMs);
    return headers;
  }

  #answer({ status, headers, body }: Extract<AttemptEnd, { kind: 'answered' }>): void {
    const { record, context, envelope } = this;
    if ((status === 404 || status === 405) && isExtraEndpoint(envelope.endpoint)) {
      const pool = context.admission.poolOf(this.#model);
      if (pool !== undefined)
        return this.#endWithError(notOffered(pool, envelope.endpoint, `HTTP ${status}`));
    }
    if (this.stream.opened) return this.#answerInStream(status, body);
    record.outcome = status < 400 ? 'completed' : 'failed-by-engine';
    record.status = status;
    record.bytesOut = body.length;
    if (status < 400) this.countUsage(body);
    // Before the client has the answer: its next request finds the place free.
    record.hold?.settle(this.#tokensCharged());
    const answered = this.#headers();
    passOn(status, headers, answered);
    this.exchange.send(status, answered, body);
  }

  /** A whole answer where the client reads a stream already, because of a keep-alive: its error becomes an event. */
  #answerInStream(status: number, body: Buffer): void {
    if (status < 400) {
      const message = `model "${this.envelope.model}": the engine answered with ${body.length} bytes that are no event stream`;
      return this.#endWithError(new PlatformError('engine_failed', message));
    }
    this.record.outcome = 'failed-by-engine';
    this.record.status = 200;
    this.record.errorCode = status < 500 ? 'invalid_request' : 'engine_failed';
    this.stream.failWith(errorEventOf(status, body));
  }

  #completed(status: number): void {
    this.record.outcome = 'completed';
    this.record.status = status;
  }

  endCompleted(): void {
    this.stream.end();
    this.#completed(200);
  }

  #endCancelled(): void {
    this.record.outcome = 'cancelled-by-client';
    this.record.status = 499;
    this.record.errorCode = 'client_closed';
  }

  /** Ends a committed stream by tier D. */
  endInterrupted(error: PlatformError, usage: Record<string, unknown> | null): void {
    if (this.#cancelled) return this.#endCancelled();
    this.record.tier = 'D';
    this.record.outcome = 'failed-upstream';
    this.record.status = 200;
    this.record.errorCode = error.code;
    this.context.countContinuation('D');
    this.stream.fail(error, usage);
  }

  #endWithError(thrown: PlatformError): void {
    // A wait that our own limit ended reports the client's departure; the limit is the truth.
    const error = this.#timeUp !== null && !this.#cancelled ? this.#timeUp : thrown;
    if (this.#cancelled || error.code === 'client_closed') return this.#endCancelled();
    if (error.code === 'internal')
      this.context.logError('request failed by a bug', error, this.record.requestId);
    this.record.outcome = outcomeOf(error.code, this.record.attempts);
    this.record.errorCode = error.code;
    this.record.status = this.stream.opened ? 200 : error.spec.status;
    if (this.stream.opened) this.stream.fail(error, null);
    else respondError(this.exchange, error, this.record, 'openai');
  }

  countUsage(tail: Buffer): void {
    const usage = usageInTail(tail);
    if (usage === null) return;
    this.record.promptTokens = usage.promptTokens;
    this.record.completionTokens = usage.completionTokens;
  }

  noteFirstToken(): void {
    this.#lease?.promptDone();
    this.#suspicion?.answering();
    this.record.firstTokenMs ??= this.context.clock.monotonicMs() - this.record.startedMs;
  }

  #cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#cancelCurrent?.();
  }
}

/** An engine that has too much to do is not dying of a request; what stands before it may say so in its place. */
function saysBusy(answer: EngineAnswer | null): boolean {
  return answer !== null && BUSY_STATUSES.has(answer.status);
}

const BUSY_STATUSES: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** Whether an engine's error is meant for a program: a page is not. */
function saysWhy({ status, headers, body }: EngineAnswer): boolean {
  return status >= 400 && body.length > 0 && !String(headers['content-type']).startsWith('text/html');
}

/** What the client sent, byte for byte, but for what the engine must be told otherwise. */
function bodyFor({ servedModel, fields = {} }: ReplicaView, { bytes, model }: Envelope): Buffer {
  const named = servedModel === model ? bytes : replaceTopLevel(bytes, 'model', servedModel);
  return addTopLevel(named, fields);
}
