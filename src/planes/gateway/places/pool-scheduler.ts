/**
 * The replicas of one pool as one worker sees them, and the choice among them: fills the columns of `decide/scheduling/pick`
 * from the snapshot and the shared counts, asks, and takes a place. A decision allocates nothing.
 */
import type { Random } from '../../../base/random.ts';
import type { ReplicaView } from '../../../contract/fleet.ts';
import { DEFAULT_STRATEGY, type StrategyName } from '../../../contract/scheduling.ts';
import type { PrefixIndex } from '../../../decide/scheduling/affinity/prefix-index.ts';
import { DATA_NEEDS, type DataNeed, type RequestFacts } from '../../../decide/scheduling/pick/decision.ts';
import { ReplicaColumns } from '../../../decide/scheduling/pick/replica-columns.ts';
import {
  type Explanation,
  FULL,
  NONE_CAPABLE,
  NONE_READY,
  Scheduler,
} from '../../../decide/scheduling/pick/scheduler.ts';
import type { ScorerName } from '../../../decide/scheduling/pick/scorers.ts';
import { STRATEGIES } from '../../../decide/scheduling/pick/strategies.ts';
import { type PoolEntry, type ReplicaEntry, runOf } from '../fleet-table.ts';
import type { ReplicaGates } from '../health/replica-gates.ts';
import type { SharedState } from '../shared-state.ts';
import type { OnlyOn } from '../suspects/suspicion.ts';
import type { Demand } from './demand.ts';
import type { GaugeCells } from './gauge-cells.ts';

/** The gateway has or estimates all of it; a metric that nobody reports is unknown, and counts alike for all. */
const AVAILABLE = new Set(Object.keys(DATA_NEEDS) as DataNeed[]);

const IDLE: RequestFacts = { blocks: null, sessionHash: 0, promptTokens: 0, answerTokens: 0, nowMs: 0 };

export interface PoolSchedulerOptions {
  shared: SharedState;
  prefixIndex: PrefixIndex;
  chance: Random;
  gates: ReplicaGates;
  gauges: GaugeCells;
  onProbe(replica: ReplicaEntry, probe: number): void;
}

/** A place that was taken: where, and the tokens of work that were added for it. */
export interface Place {
  index: number;
  promptTokens: number;
  answerTokens: number;
  /** Number of the probe that it is for; null: for none. */
  probe: number | null;
}

/** What a request asks for. */
export interface Asked {
  demand: Demand;
  /** Runs of replicas that failed it before. */
  avoid: readonly string[];
  /** A stream that must go on: a replica in slow start takes it like any other. */
  urgent: boolean;
  /** A suspect that may go to one replica only. Default: anywhere. */
  only?: OnlyOn | undefined;
}

export interface Moment {
  wallMs: number;
  machineMs: number;
}

export class PoolScheduler {
  readonly #options: PoolSchedulerOptions;
  readonly #facts: RequestFacts = { ...IDLE };
  #pool: PoolEntry;
  #strategy: StrategyName;
  #columns: ReplicaColumns;
  #scheduler: Scheduler;
  #readsPrompt: boolean;
  #readsSession: boolean;
  #probes = 1;

  constructor(pool: PoolEntry, options: PoolSchedulerOptions) {
    this.#options = options;
    this.#pool = pool;
    this.#strategy = pool.view.strategy ?? DEFAULT_STRATEGY;
    this.#columns = columnsFor(pool);
    this.#scheduler = this.#newScheduler();
    this.#readsPrompt = scores(this.#strategy, 'prefix-depth');
    this.#readsSession = scores(this.#strategy, 'session');
  }

  /** Takes over a new snapshot of the pool. What pickers remember stays as long as the strategy does. */
  update(pool: PoolEntry): void {
    const strategy = pool.view.strategy ?? DEFAULT_STRATEGY;
    const fits = strategy === this.#strategy && pool.replicas.length <= this.#columns.capacity;
    this.#pool = pool;
    this.#strategy = strategy;
    if (fits) return assign(this.#columns, pool);
    this.#columns = columnsFor(pool);
    this.#scheduler = this.#newScheduler();
    this.#readsPrompt = scores(strategy, 'prefix-depth');
    this.#readsSession = scores(strategy, 'session');
  }

  /**
   * Takes a place for the request, or says why there is none.
   * @param seen the pool as the request sees it: itself, or through an adapter.
   */
  take(seen: PoolEntry, asked: Asked, now: Moment): Place | 'full' | 'none-ready' {
    const { shared, gates, onProbe } = this.#options;
    if (asked.only !== undefined && asked.only.run !== null) return this.#takeOnly(asked, asked.only);
    for (;;) {
      const index = this.#decide(seen, asked, now);
      if (index === FULL) return 'full';
      if (index === NONE_READY || index === NONE_CAPABLE) return 'none-ready';
      const replica = this.#pool.replicas[index]!;
      const { slot } = replica;
      // Another worker may have taken the last place, or the probe, in between: look again.
      if (!shared.tryAcquire(slot, this.#columns.effectiveWindow(index))) continue;
      const isProbe = this.#columns.probe[index] === 1;
      if (isProbe && !gates.tryTakeProbe(slot)) {
        shared.release(slot);
        continue;
      }
      const probe = isProbe ? this.#probes++ : null;
      if (probe !== null) onProbe(replica, probe);
      const { answerTokens } = asked.demand;
      const promptTokens = Math.max(0, Math.round(this.#scheduler.addedWork(index)) - answerTokens);
      this.#scheduler.settle(index, this.#facts);
      shared.addWork(slot, promptTokens + answerTokens);
      return { index, promptTokens, answerTokens, probe };
    }
  }

  /** The breaker has no say: whoever decided knows of it. */
  #takeOnly({ demand: { promptTokens, answerTokens } }: Asked, { run, alone }: OnlyOn) {
    const { shared } = this.#options;
    const index = this.#pool.replicas.findIndex(({ view }) => runOf(view) === run && view.state === 'ready');
    const replica = this.#pool.replicas[index];
    if (replica === undefined) return 'none-ready';
    if (!shared.tryAcquire(replica.slot, alone ? 1 : replica.view.window)) return 'full';
    shared.addWork(replica.slot, promptTokens + answerTokens);
    return { index, promptTokens, answerTokens, probe: null };
  }

  /** What a request that says nothing would be given now; takes nothing. */
  preview(seen: PoolEntry, now: Moment): Explanation {
    this.#look(seen, { avoid: [], urgent: false }, now.wallMs);
    this.#scheduler.decide({ ...IDLE, nowMs: now.machineMs });
    return this.#scheduler.explain();
  }

  /** Why the last decision fell as it did. */
  explain(): Explanation {
    return this.#scheduler.explain();
  }

  #decide(seen: PoolEntry, asked: Asked, now: Moment): number {
    const { demand } = asked;
    this.#look(seen, asked, now.wallMs);
    const facts = this.#facts;
    facts.blocks = this.#readsPrompt ? demand.blocks(this.#pool.view.model) : null;
    facts.sessionHash = this.#readsSession ? demand.sessionHash() : 0;
    facts.promptTokens = demand.promptTokens;
    facts.answerTokens = demand.answerTokens;
    facts.nowMs = now.machineMs;
    return this.#scheduler.decide(facts);
  }

  #look(
    seen: PoolEntry,
    { avoid, urgent, only }: Pick<Asked, 'avoid' | 'urgent' | 'only'>,
    wallMs: number,
  ): void {
    const { shared, gates, gauges } = this.#options;
    const columns = this.#columns;
    const { replicas } = this.#pool;
    for (let index = 0; index < replicas.length; index++) {
      const { slot, view } = replicas[index]!;
      columns.inFlight[index] = shared.inFlight(slot);
      columns.work[index] = shared.work(slot);
      const isOut = view.state !== 'ready' || shared.isEjected(slot, wallMs) || gates.isClosed(slot);
      columns.serving[index] = isOut ? 0 : 1;
      columns.probe[index] = gates.wantsProbe(slot) ? 1 : 0;
      const share = gates.share(slot);
      columns.share[index] = share * gates.speedShare(slot);
      columns.gpuLoad[index] = gauges.gpuLoad(slot);
      columns.memoryUsage[index] = gauges.memoryUsage(slot);
      columns.windowShare[index] = urgent ? 1 : share;
      columns.capable[index] =
        seen.adapter === undefined || seen.replicas[index]!.view.state === 'ready' ? 1 : 0;
      columns.avoided[index] =
        isAmong(avoid, view) || (only !== undefined && isAmong(only.avoid, view)) ? 1 : 0;
    }
  }

  #newScheduler(): Scheduler {
    const { chance, prefixIndex } = this.#options;
    return new Scheduler({
      name: this.#strategy,
      spec: STRATEGIES[this.#strategy],
      columns: this.#columns,
      chance,
      available: AVAILABLE,
      prefixIndex,
    });
  }
}

/** Whether a strategy needs what that scorer reads of a request: it is worked out for no other. */
function scores(strategy: StrategyName, scorer: ScorerName): boolean {
  return STRATEGIES[strategy].scorers.some(({ name }) => name === scorer);
}

function isAmong(runs: readonly string[], view: ReplicaView): boolean {
  return runs.length > 0 && runs.includes(runOf(view));
}

/** With room to grow, so that a replica more does not cost what pickers remember. */
function columnsFor(pool: PoolEntry): ReplicaColumns {
  const columns = new ReplicaColumns(Math.min(512, Math.max(8, 2 * pool.replicas.length)));
  assign(columns, pool);
  return columns;
}

function assign(columns: ReplicaColumns, { replicas }: PoolEntry): void {
  columns.assign(
    replicas.map(({ view, slot }) => ({
      id: view.id,
      slot,
      life: view.generation,
      window: view.window,
      weight: view.weight ?? 1,
    })),
  );
}
