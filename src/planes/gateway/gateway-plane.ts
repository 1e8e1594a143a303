/**
 * The request loop of one worker thread: takes exchanges, finds the API that answers each, and settles it when it is done.
 * Works on the last snapshot it was given, for ever if need be.
 */
import type { Clock } from '../../base/clock.ts';
import type { ContinuationTier } from '../../contract/continuation.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { AttemptFailure, Fact } from '../../contract/facts.ts';
import { FILLER_KEY_HEADER } from '../../contract/filler.ts';
import type { ReplicaState, ReplicaView } from '../../contract/fleet.ts';
import type { GatewaySettings } from '../../contract/gateway-snapshot.ts';
import type { FileContents } from '../../contract/ports/file-contents.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import type { SharedLimits } from '../../contract/ports/shared-limits.ts';
import type { Stores } from '../../contract/ports/stores.ts';
import type { Transport } from '../../contract/ports/transport.ts';
import { RetryBudget } from '../../decide/scheduling/retry-budget.ts';
import { Admission, type Lease } from './admission.ts';
import type { ApiCall, ApiContext } from './api-route.ts';
import type { Attempt } from './attempt.ts';
import type { AttemptEnd } from './attempt-end.ts';
import { fillerOwner, KeyRing } from './authenticate.ts';
import { RequestBatcher } from './batching/request-batcher.ts';
import { AnswerCache } from './cache/answer-cache.ts';
import type { CacheClient } from './cache/cache-client.ts';
import { callerOf, MAY_NOT_EXPLAIN, mayExplain } from './caller.ts';
import { clientHints } from './client-hints.ts';
import { DeadlineSweep } from './deadline-sweep.ts';
import type { ErrorDialect } from './error-dialect.ts';
import { FillerAdmission } from './filler-admission.ts';
import { FillerPace } from './filler-pace.ts';
import { FleetTable, type ReplicaEntry, type SlottedSnapshot } from './fleet-table.ts';
import type { GatewayCounters } from './gateway-counters.ts';
import { type HealthReport, healthReport, matters } from './health/attempt-health.ts';
import { ProgressCells } from './health/progress.ts';
import { ReplicaGates } from './health/replica-gates.ts';
import { StepTimes } from './health/step-times.ts';
import { IdempotencyClaims, KEY_HEADER } from './idempotency/claims.ts';
import { LimitGate } from './limits/limit-gate.ts';
import { decodeParams, type RouteMatch, RouteTable } from './match-route.ts';
import { GaugeCells } from './places/gauge-cells.ts';
import { LoadCells } from './places/load-cells.ts';
import { outcomeOf } from './request-end.ts';
import { logLine } from './request-log.ts';
import { newRecord, type RequestRecord } from './request-record.ts';
import { respondError } from './respond.ts';
import { BackgroundRuns } from './responses/background-runs.ts';
import type { ResponseRuns } from './responses/response-runs.ts';
import { ROUTES } from './routes.ts';
import type { SharedMemory } from './shared-memory.ts';
import type { SharedState } from './shared-state.ts';
import { SuspectDesk } from './suspects/suspect-desk.ts';
import type { FromDesk } from './suspects/suspect-messages.ts';
import { unknownPath } from './unknown-path.ts';

export interface GatewayPlaneOptions {
  clock: Clock;
  transport: Transport;
  shared: SharedState;
  memory: SharedMemory;
  /** Index of this worker. */
  worker: number;
  /** Where several gateways keep count of rates together; null: this one counts for itself. */
  sharedLimits: SharedLimits | null;
  snapshot: SlottedSnapshot;
  counters: GatewayCounters;
  stores: Stores;
  cacheClient: CacheClient;
  /** Tells the other workers of this process to stop a background response. */
  announceCancel(id: string): void;
  fileContents: FileContents;
  /** Unique per request: what clients did not name. */
  newRequestId(): string;
  onFact(fact: Fact): void;
  /** For the breaker. */
  onHealth(report: HealthReport): void;
  /** For the list of suspect requests. */
  onSuspect(event: FromDesk): void;
  writeLog(line: string): void;
}

/** States in which the supervisor keeps a replica out of rotation because it failed, not because it was told to. */
const SUSPECT_STATES: readonly ReplicaState[] = ['unready', 'backing-off', 'starting', 'quarantined'];
const REQUEST_ID = /^[\w.:/+=@-]{1,200}$/;

export class GatewayPlane implements ApiContext {
  readonly clock: Clock;
  readonly transport: Transport;
  readonly shared: SharedState;
  readonly sweep: DeadlineSweep;
  readonly attempts: DeadlineSweep<Attempt>;
  readonly limits: LimitGate;
  readonly admission: Admission;
  readonly fillerAdmission: FillerAdmission;
  readonly retryBudget: RetryBudget;
  readonly suspects: SuspectDesk;
  readonly fillerPace: FillerPace;
  readonly steps: StepTimes;
  readonly stores: Stores;
  readonly cache: AnswerCache;
  readonly batching: RequestBatcher;
  readonly background: ResponseRuns = new BackgroundRuns(this);
  readonly fileContents: FileContents;
  readonly #options: GatewayPlaneOptions;
  readonly #counters: GatewayCounters;
  readonly #gates: ReplicaGates;
  readonly #progress: ProgressCells;
  readonly #routes = new RouteTable(ROUTES);
  readonly #claims = new IdempotencyClaims(this);
  #settings: GatewaySettings;
  #table: FleetTable;
  #keys: KeyRing;
  #draining = false;
  /** By slot: the generation that this worker ejected. */
  readonly #ejectedGenerations = new Map<number, number>();

  constructor(options: GatewayPlaneOptions) {
    this.#options = options;
    this.clock = options.clock;
    this.transport = options.transport;
    this.shared = options.shared;
    this.stores = options.stores;
    this.fileContents = options.fileContents;
    this.cache = new AnswerCache(this, options.cacheClient);
    this.#counters = options.counters;
    this.batching = new RequestBatcher(this, options.counters);
    this.sweep = new DeadlineSweep(options.clock);
    this.attempts = new DeadlineSweep(options.clock);
    this.#settings = options.snapshot.snapshot.settings;
    this.#table = new FleetTable(options.snapshot.snapshot.fleet, options.snapshot);
    this.#keys = new KeyRing(this.#settings.keys, this.#settings.host);
    const { shared, clock, memory, worker, snapshot: slotted } = options;
    this.limits = new LimitGate({
      ...{ clock, memory: memory.limits, worker, slotted, table: this.#table },
      shared: options.sharedLimits,
      onAlone: () => this.#counters.limitsAlone(),
    });
    this.#progress = new ProgressCells(memory.progress);
    this.#gates = new ReplicaGates(memory.gates);
    this.retryBudget = new RetryBudget(new Int32Array(memory.retries));
    const parts = { shared, clock, table: this.#table, settings: this.#settings, gates: this.#gates };
    this.admission = new Admission({
      ...parts,
      prefixes: memory.prefixes,
      gauges: new GaugeCells(memory.gauges),
      load: new LoadCells(memory.load),
      onProbe: ({ slot, view: { generation } }, probe) =>
        options.onHealth({ type: 'probeTaken', slot, generation, probe }),
    });
    this.suspects = new SuspectDesk(
      { clock, worker, tell: (event) => options.onSuspect(event) },
      this.#table,
      this.#settings.quarantine,
    );
    this.steps = new StepTimes(memory.steps);
    this.steps.update(this.#table, this.#settings);
    this.fillerPace = new FillerPace(options.shared, options.clock);
    this.fillerAdmission = new FillerAdmission(parts);
  }

  get settings(): GatewaySettings {
    return this.#settings;
  }

  get table(): FleetTable {
    return this.#table;
  }

  get draining(): boolean {
    return this.#draining;
  }

  update(slotted: SlottedSnapshot): void {
    const departed = new Set(
      this.#table.pools.flatMap(({ replicas }) => replicas.map(({ view }) => view.url)),
    );
    this.#settings = slotted.snapshot.settings;
    this.#table = new FleetTable(slotted.snapshot.fleet, slotted);
    this.#keys = new KeyRing(this.#settings.keys, this.#settings.host);
    this.#liftEjections();
    this.limits.update(slotted, this.#table);
    this.suspects.update(this.#table, this.#settings.quarantine);
    this.admission.update(this.#table, this.#settings);
    this.steps.update(this.#table, this.#settings);
    this.fillerAdmission.update(this.#table, this.#settings);
    for (const { replicas } of this.#table.pools) for (const { view } of replicas) departed.delete(view.url);
    for (const origin of departed) this.transport.forget(origin);
  }

  /** Not ready from here on; what comes all the same is still served. */
  startDraining(): void {
    this.#draining = true;
    // What waits for a free place need not keep this process alive; its sender asks another gateway.
    this.fillerAdmission.close();
  }

  /** The whole system stops, engines included. */
  startStopping(): void {
    this.admission.stopWaiting();
  }

  handle(exchange: HttpExchange): void {
    const asked = exchange.headers['x-request-id'];
    const match = this.#routes.match(exchange.method, exchange.path);
    const hints = clientHints(exchange.headers);
    const errors = match.kind === 'found' ? (match.route.errors ?? 'openai') : guessedDialect(exchange);
    const record = newRecord({
      dialect: errors,
      requestId: asked !== undefined && REQUEST_ID.test(asked) ? asked : this.#options.newRequestId(),
      method: exchange.method,
      route: match.kind === 'found' ? match.route.template : 'unknown',
      startedWallMs: this.clock.wallMs(),
      startedMs: this.clock.monotonicMs(),
      clientRetries: hints.retries,
      clientTimeoutMs: hints.timeoutMs,
    });
    const refuse = (thrown: unknown) => this.#refuse(exchange, record, PlatformError.from(thrown), errors);
    try {
      const answered = this.#dispatch(exchange, record, match);
      if (answered === undefined) this.settle(record);
      else answered.then(() => this.settle(record), refuse);
    } catch (thrown) {
      refuse(thrown);
    }
  }

  #dispatch(exchange: HttpExchange, record: RequestRecord, match: RouteMatch): void | Promise<void> {
    if (match.kind === 'unknown') {
      throw unknownPath(exchange.method, exchange.path, this.#routes);
    }
    if (match.kind === 'wrong-method') {
      throw new PlatformError(
        'method_not_allowed',
        `${exchange.method} is not allowed here; allowed: ${match.allow.join(', ')}`,
        { allow: match.allow },
      );
    }
    const { route } = match;
    if (route.policy === 'key') this.#authenticate(exchange, record);
    const call: ApiCall = { exchange, record, params: decodeParams(match.params) };
    const once = route.idempotent === true && this.#settings.idempotencyTtlMs > 0;
    if (once && exchange.headers[KEY_HEADER] !== undefined)
      return this.#claims.serve(call, route.errors ?? 'openai', (recorded) => route.handle(this, recorded));
    return route.handle(this, call);
  }

  #authenticate(exchange: HttpExchange, record: RequestRecord): void {
    const filler = exchange.headers[FILLER_KEY_HEADER];
    record.filler = filler !== undefined;
    if (record.filler) {
      record.keyName = fillerOwner(exchange, filler ?? '', this.#settings.fillerKeySha256);
    } else {
      const key = this.#keys.authenticate(exchange);
      record.keyName = key?.name ?? null;
      record.caller = callerOf(key, exchange.headers);
      record.mayExplain = mayExplain(key, this.#settings);
      if (record.caller.explain && !record.mayExplain) {
        record.caller.explain = false;
        record.explanation = MAY_NOT_EXPLAIN;
      }
    }
  }

  #refuse(exchange: HttpExchange, record: RequestRecord, error: PlatformError, errors: ErrorDialect): void {
    if (error.code === 'internal') this.logError('request failed by a bug', error, record.requestId);
    record.errorCode = error.code;
    record.status = error.spec.status;
    record.outcome =
      error.code === 'client_closed'
        ? 'cancelled-by-client'
        : error.code === 'invalid_api_key' || error.code === 'forbidden'
          ? 'rejected-unauthorized'
          : outcomeOf(error.code, record.attempts);
    if (!exchange.headSent) respondError(exchange, error, record, errors);
    this.settle(record);
  }

  cancelBackground(id: string): void {
    this.background.cancel(id);
    this.#options.announceCancel(id);
  }

  isSuspect({ view }: ReplicaEntry): boolean {
    const newest = this.#newest(view.id);
    const alternative = this.#table
      .poolOf(view.id)
      ?.replicas.some((replica) => replica.view.id !== view.id && replica.view.state === 'ready');
    if (newest === undefined || alternative !== true) return false;
    return newest.generation !== view.generation || SUSPECT_STATES.includes(newest.state);
  }

  #newest(id: string): ReplicaView | undefined {
    return this.#table.poolOf(id)?.replicas.find((replica) => replica.view.id === id)?.view;
  }

  ejectBriefly(replica: ReplicaEntry): void {
    // What the former life of a replica did is not held against the present one.
    if (this.#newest(replica.view.id)?.generation !== replica.view.generation) return;
    this.shared.eject(replica.slot, this.clock.wallMs() + this.#settings.ejectionMs);
    this.#ejectedGenerations.set(replica.slot, replica.view.generation);
  }

  /** A replica that came back under a new generation is not the one that failed. */
  #liftEjections(): void {
    for (const { replicas } of this.#table.pools) {
      for (const { view, slot } of replicas) {
        const ejected = this.#ejectedGenerations.get(slot);
        if (ejected === undefined || ejected === view.generation) continue;
        this.#ejectedGenerations.delete(slot);
        this.shared.eject(slot, 0);
      }
    }
  }

  noteProgress({ slot }: ReplicaEntry): void {
    this.#progress.note(slot);
  }

  observeHealth(lease: Lease, end: AttemptEnd): void {
    if (end.kind === 'streamed' || end.kind === 'answered') this.#progress.note(lease.replica.slot);
    const report = healthReport(lease, end);
    if (matters(report, this.#gates.reportsSuccess(report.slot))) this.#options.onHealth(report);
  }

  report(fact: Fact): void {
    this.#options.onFact(fact);
  }

  settle(record: RequestRecord): void {
    // Whoever reached an engine has said what was used.
    record.hold?.settle(null);
    if (record.failedAt !== null) this.#reportFailed(record, record.failedAt);
    const endedMs = this.clock.monotonicMs();
    this.#counters.settled(record, endedMs);
    this.#options.writeLog(logLine(record, endedMs));
  }

  /** Of a request that no other attempt could save; a line of a batch is sent again. */
  #reportFailed({ outcome, requestId, filler }: RequestRecord, at: NonNullable<RequestRecord['failedAt']>) {
    if (filler || outcome === 'completed' || outcome === 'cancelled-by-client') return;
    this.report({ type: 'requestFailed', atMs: this.clock.wallMs(), ...at, outcome, requestId });
  }

  countAttemptFailure(model: string, failure: AttemptFailure): void {
    this.#counters.attemptFailed(model, failure);
  }

  countContinuation(tier: ContinuationTier, gapMs?: number): void {
    this.#counters.continued(tier, gapMs);
  }

  logError(message: string, error: unknown, requestId: string): void {
    const { stack, cause } = error as Error;
    this.#options.writeLog(
      `${JSON.stringify({
        '@timestamp': new Date(this.clock.wallMs()).toISOString(),
        'log.level': 'error',
        message,
        'http.request.id': requestId,
        'error.stack_trace': stack,
        ...(cause instanceof Error && { 'error.cause': cause.stack }),
      })}\n`,
    );
  }

  close(): void {
    this.admission.close();
    this.fillerAdmission.close();
  }
}

/** Of a client that asks for what does not exist: by the header that only one vendor's clients send. */
function guessedDialect({ headers }: HttpExchange): ErrorDialect {
  return headers['anthropic-version'] === undefined ? 'openai' : 'anthropic';
}
