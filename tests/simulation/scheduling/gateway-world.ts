/**
 * A gateway in virtual time: the deciders of `src/decide/scheduling` over pretend replicas, put together as the gateway puts
 * them together. After each step it checks what must always hold; at the end it tells what each request met with.
 */

import { EventHeap } from '../../../src/assembly/recovery-simulation/event-heap.ts';
import { invariant } from '../../../src/base/invariant.ts';
import { createRandom, type Random } from '../../../src/base/random.ts';
import type { StrategyName } from '../../../src/contract/scheduling.ts';
import { PrefixIndex } from '../../../src/decide/scheduling/affinity/prefix-index.ts';
import { PromptBlocks } from '../../../src/decide/scheduling/affinity/prompt-blocks.ts';
import { mayEject, servingFloor } from '../../../src/decide/scheduling/health/ejection-floor.ts';
import {
  DEFAULT_HEALTH,
  type HealthEvent,
  type HealthState,
  healthShare,
  startHealth,
  stepHealth,
  takes,
} from '../../../src/decide/scheduling/health/replica-health.ts';
import { stragglerShares } from '../../../src/decide/scheduling/health/stragglers.ts';
import {
  DATA_NEEDS,
  type DataNeed,
  type RequestFacts,
} from '../../../src/decide/scheduling/pick/decision.ts';
import { ReplicaColumns } from '../../../src/decide/scheduling/pick/replica-columns.ts';
import { Scheduler } from '../../../src/decide/scheduling/pick/scheduler.ts';
import { STRATEGIES } from '../../../src/decide/scheduling/pick/strategies.ts';
import { FairQueue, type QueueEntry } from '../../../src/decide/scheduling/queue/fair-queue.ts';
import { RetryBudget } from '../../../src/decide/scheduling/retry-budget.ts';
import { type Engine, PretendReplica } from './pretend-replica.ts';

export interface WorldOptions extends Engine {
  seed: number;
  strategy: StrategyName;
  replicas: number;
  window: number;
  queueLimit: number;
  queueTimeoutMs: number;
  /** Replicas that are slower than their peers get less. Default: no. */
  weighsStragglers?: boolean;
}

export interface RequestPlan {
  tenant: string;
  weight?: number;
  priority?: number;
  prompt: readonly number[];
  answerTokens: number;
  /** From its arrival. */
  deadlineMs?: number;
}

export type Outcome = 'completed' | 'refused' | 'expired' | 'failed';

export interface Told {
  tenant: string;
  atMs: number;
  outcome: Outcome;
  ttftMs: number;
  totalMs: number;
  tokens: number;
  retryAfterS: number;
}

interface Request extends QueueEntry {
  plan: RequestPlan;
  arrivedMs: number;
  blocks: PromptBlocks;
  attempts: number;
  ttftMs: number;
  avoid: Set<number>;
  onEnd: (told: Told) => void;
}

const ATTEMPTS_MAX = 3;
const RETRY_RATIO = 0.2;
const TICK_MS = 50;
const ALL_DATA = new Set(Object.keys(DATA_NEEDS) as DataNeed[]);

export class GatewayWorld {
  readonly clock = { nowMs: 0 };
  readonly heap = new EventHeap();
  readonly chance: Random;
  readonly replicas: PretendReplica[];
  readonly told: Told[] = [];
  readonly health: HealthState[];
  readonly queue = new FairQueue<Request>();
  attempts = 0;
  /** In the order in which requests went to an engine for the first time. */
  readonly sent: { tenant: string; arrivedMs: number; atMs: number; deadlineMs: number; priority: number }[] =
    [];
  readonly #options: WorldOptions;
  readonly #columns: ReplicaColumns;
  readonly #scheduler: Scheduler;
  readonly #retries = new RetryBudget(new Int32Array(2));
  readonly #facts: RequestFacts = {
    blocks: null,
    sessionHash: 0,
    promptTokens: 0,
    answerTokens: 0,
    nowMs: 0,
  };
  /** Milliseconds per token of each replica, smoothed; NaN: not known. */
  readonly #stepMs: Float64Array;
  readonly #speed: Float64Array;
  #leases = 1;
  #requests = 0;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.chance = createRandom(options.seed);
    this.replicas = Array.from(
      { length: options.replicas },
      () => new PretendReplica(this.heap, this.clock, options),
    );
    this.health = this.replicas.map(() => startHealth(0));
    this.#columns = new ReplicaColumns(options.replicas);
    this.#stepMs = new Float64Array(options.replicas).fill(Number.NaN);
    this.#speed = new Float64Array(options.replicas).fill(1);
    this.#columns.assign(
      this.replicas.map((_, slot) => ({ id: `m/${slot}`, slot, life: 1, window: options.window, weight: 1 })),
    );
    this.#scheduler = new Scheduler({
      name: options.strategy,
      spec: STRATEGIES[options.strategy],
      columns: this.#columns,
      chance: this.chance,
      available: ALL_DATA,
      prefixIndex: new PrefixIndex(new ArrayBuffer(1 << 22)),
    });
    this.heap.plan(TICK_MS, () => this.#tick());
  }

  run(untilMs: number): void {
    while (this.heap.nextAtMs <= untilMs) {
      const next = this.heap.take()!;
      this.clock.nowMs = next.atMs;
      next.happen();
      this.#check();
    }
    this.clock.nowMs = untilMs;
  }

  at(atMs: number, happen: () => void): void {
    this.heap.plan(atMs, happen);
  }

  request(plan: RequestPlan, onEnd: (told: Told) => void = () => {}): void {
    const { nowMs } = this.clock;
    const request: Request = {
      plan,
      tenant: plan.tenant,
      weight: plan.weight ?? 1,
      tokens: plan.prompt.length + plan.answerTokens,
      priority: plan.priority ?? 1,
      urgent: false,
      ticket: `${this.#requests++}`,
      deadlineMs: nowMs + (plan.deadlineMs ?? this.#options.queueTimeoutMs),
      heapAt: -1,
      arrivedMs: nowMs,
      blocks: new PromptBlocks()
        .start(0)
        .add(plan.prompt.map((token) => String.fromCharCode(token & 0xffff)).join('')),
      attempts: 0,
      ttftMs: Number.NaN,
      avoid: new Set(),
      onEnd,
    };
    this.#retries.requestStarted(RETRY_RATIO);
    const offer = this.queue.offer(request, this.#options.queueLimit, nowMs);
    if (offer.kind === 'refused') this.#end(request, 'refused', offer.retryAfterS);
    else this.#pump();
  }

  /** A replica comes back under a new generation, its cache cold. */
  restart(replica: number): void {
    this.#columns.life[replica]!++;
    this.#healthEvent(replica, { type: 'generationStarted', atMs: this.clock.nowMs });
    this.#pump();
  }

  inFlight(replica: number): number {
    return this.#columns.inFlight[replica]!;
  }

  windowNow(replica: number): number {
    return this.#columns.effectiveWindow(replica);
  }

  get serving(): number {
    return this.health.filter(({ name }) => name === 'serving').length;
  }

  #pump(): void {
    for (;;) {
      const { nowMs } = this.clock;
      this.#refresh();
      let chosen = -1;
      const accept = (entry: Request) => {
        chosen = this.#choose(entry);
        return chosen >= 0;
      };
      const request = this.queue.take(accept, nowMs);
      if (request === undefined) return;
      const { tenant, arrivedMs, deadlineMs, priority } = request;
      this.sent.push({ tenant, arrivedMs, atMs: nowMs, deadlineMs, priority });
      this.#attempt(request, chosen);
    }
  }

  #refresh(): void {
    const { nowMs } = this.clock;
    this.health.forEach((state, index) => {
      const taking = takes(state, nowMs);
      this.#columns.serving[index] = taking === 'nothing' ? 0 : 1;
      this.#columns.probe[index] = taking === 'probe' ? 1 : 0;
      const share = taking === 'freely' ? healthShare(state, nowMs, DEFAULT_HEALTH) : 0;
      this.#columns.share[index] = share * this.#speed[index]!;
      this.#columns.windowShare[index] = share;
    });
  }

  #choose(request: Request): number {
    const facts = this.#facts;
    facts.blocks = request.blocks;
    facts.promptTokens = request.plan.prompt.length;
    facts.answerTokens = request.plan.answerTokens;
    facts.nowMs = this.clock.nowMs;
    for (let index = 0; index < this.#columns.count; index++) {
      this.#columns.avoided[index] = request.avoid.has(index) ? 1 : 0;
    }
    return this.#scheduler.decide(facts);
  }

  #attempt(request: Request, index: number): void {
    const { nowMs } = this.clock;
    const columns = this.#columns;
    let lease: number | null = null;
    if (takes(this.health[index]!, nowMs) === 'probe') {
      lease = this.#leases++;
      this.#healthEvent(index, { type: 'probeTaken', atMs: nowMs, lease });
    }
    const added = this.#scheduler.addedWork(index);
    this.#scheduler.settle(index, this.#facts);
    columns.inFlight[index]!++;
    columns.work[index]! += added;
    let left = added;
    const done = (work: number) => {
      columns.work[index] = Math.max(0, columns.work[index]! - work);
      left -= work;
    };
    this.attempts++;
    request.attempts++;
    this.replicas[index]!.send({
      prompt: request.plan.prompt,
      answerTokens: request.plan.answerTokens,
      onFirstToken: () => {
        request.ttftMs = this.clock.nowMs - request.arrivedMs;
        done(Math.max(0, left - request.plan.answerTokens));
      },
      onEnd: (end) => {
        columns.inFlight[index]!--;
        done(left);
        this.#ended(request, index, end, lease);
        this.#pump();
      },
    });
  }

  #ended(request: Request, index: number, end: 'completed' | 'busy' | 'failed', lease: number | null): void {
    const { nowMs } = this.clock;
    if (end === 'completed') {
      this.#learnSpeed(index, (nowMs - request.arrivedMs - request.ttftMs) / request.plan.answerTokens);
      this.#healthEvent(index, { type: 'attemptSucceeded', atMs: nowMs, lease });
      this.queue.settle(request, request.tokens);
      this.#end(request, 'completed');
      return;
    }
    if (end === 'busy') this.#healthEvent(index, { type: 'engineBusy', atMs: nowMs, lease });
    else {
      this.#healthEvent(index, {
        type: 'attemptFailed',
        atMs: nowMs,
        failure: 'engine-error',
        lease,
        mayEject: mayEject(this.health.length, this.serving),
        draw: this.chance.next(),
      });
    }
    request.avoid.add(index);
    this.#refresh();
    const next =
      request.attempts < ATTEMPTS_MAX && this.#retries.tryRetry(nowMs) ? this.#choose(request) : -1;
    if (next >= 0) return this.#attempt(request, next);
    this.queue.settle(request, 0);
    this.#end(request, 'failed');
  }

  #learnSpeed(index: number, stepMs: number): void {
    const known = this.#stepMs[index]!;
    this.#stepMs[index] = Number.isNaN(known) ? stepMs : known + 0.1 * (stepMs - known);
    if (this.#options.weighsStragglers) stragglerShares(this.#stepMs, this.#stepMs.length, this.#speed);
  }

  #healthEvent(index: number, event: HealthEvent): void {
    this.health[index] = stepHealth(this.health[index]!, event, DEFAULT_HEALTH);
  }

  #end(request: Request, outcome: Outcome, retryAfterS = 0): void {
    const { nowMs } = this.clock;
    const { tenant, arrivedMs, ttftMs, tokens } = request;
    const told = { tenant, atMs: nowMs, outcome, ttftMs, totalMs: nowMs - arrivedMs, tokens, retryAfterS };
    this.told.push(told);
    request.onEnd(told);
  }

  #tick(): void {
    const { nowMs } = this.clock;
    this.health.forEach((_, index) => {
      this.#healthEvent(index, { type: 'ticked', atMs: nowMs, draw: this.chance.next() });
    });
    for (let gone = this.queue.expired(nowMs); gone !== undefined; gone = this.queue.expired(nowMs)) {
      this.#end(gone, 'expired');
    }
    this.#pump();
    this.heap.plan(nowMs + TICK_MS, () => this.#tick());
  }

  /** What must hold after each step. */
  #check(): void {
    invariant(this.serving >= servingFloor(this.health.length), `${this.serving} serve, below the floor`);
    this.health.forEach((state, index) => {
      const { window } = this.#options;
      invariant(
        this.inFlight(index) >= 0 && this.inFlight(index) <= window,
        `${this.inFlight(index)} in flight`,
      );
      if (state.name === 'half-open' && state.lease !== null) {
        invariant(state.lease.untilMs > this.clock.nowMs - 2 * TICK_MS, 'a probe lease that does not end');
      }
    });
  }
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}
