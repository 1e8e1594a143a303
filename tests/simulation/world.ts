/**
 * The pretended world around the recovery machine: one clock, one heap of events, processes, a disk, gateways and people that
 * give commands. The supervisor inside it dies and comes back from disk and process list. Everything is drawn from one seed.
 */
import { createRandom, mix32, type Random } from '../../src/base/random.ts';
import type { ReplicaRecord } from '../../src/contract/ports/replica-records.ts';
import { nextDeadlineMs } from '../../src/decide/recovery/deadlines.ts';
import { createFleetState, type FleetState } from '../../src/decide/recovery/fleet-state.ts';
import type { RecoveryEffect, RecoveryOrder } from '../../src/decide/recovery/recovery-effect.ts';
import type { RecoveryEvent } from '../../src/decide/recovery/recovery-event.ts';
import { type Replica, type ReplicaSpec, stateOf } from '../../src/decide/recovery/replica.ts';
import { toRecord } from '../../src/planes/supervisor/record-times.ts';
import type { SignalRecord } from '../../src/planes/supervisor/watch/signal-record.ts';
import { EventHeap } from './event-heap.ts';
import { type Machine, moment } from './machine.ts';
import {
  answerProbe,
  drawLastTrouble,
  drawProcess,
  exponential,
  type PretendProcess,
} from './pretend-process.ts';
import { newRecord, observe, windowOf } from './pretend-signals.ts';
import { ProcessTable } from './process-table.ts';
import { Safety, Violation } from './safety.ts';
import { drawOtherSpecs, drawScenario, type Faults, type Scenario } from './scenario.ts';

/** Share of pids that somebody else's process gets as soon as they are free. */
const STRANGER_SHARE = 0.5;
const TICKS_AT_ONE_MOMENT_MAX = 100;
const ASK_INTERVAL_MS = 400;
/** Of supervisors that seem dead. */
const PAUSED_SHARE = 0.5;
/** After the faults: what was started anew is ready. */
const LAST_TROUBLE_MS = 4_000;
const LOOK_MS = 2_000;
const CLOSE_LOOK_MS = 400;
/** The longest legal prefill twice, and what it then takes to end a process. */
const HANG_BOUND_MS = 40_000;

export interface WorldOptions {
  traced: boolean;
  storm: boolean;
  /** Default: drawn from the seed. */
  scenario?: Scenario;
  /** The supervisor dies instead of carrying out the effect of this number, from 1. Default: by chance alone. */
  diesBefore?: number | null;
}

export class World {
  readonly scenario: Scenario;
  readonly trace: string[] | null;
  nowMs = 0;
  steps = 0;
  /** Of all that happened, in order: equal for equal runs. */
  fingerprint = 0;
  /** Effects that the supervisors asked for, all of them together. */
  effects = 0;
  readonly #diesBefore: number | null;
  readonly #random: Random;
  readonly #machine: Machine;
  readonly #heap = new EventHeap();
  readonly #safety: Safety;
  readonly #processes: ProcessTable;
  readonly #disk = new Map<string, ReplicaRecord>();
  /** When the newest write of a replica ends: writes of one replica keep their order. */
  readonly #writeEndsMs = new Map<string, number>();
  readonly #elsewhereDownUntilMs = new Map<string, number>();
  /** Whom the end of a process is told to. */
  readonly #watchers = new Map<PretendProcess, { replica: string; generation: number; life: number }>();
  #specs: ReplicaSpec[];
  #faults: Faults | null;
  #state: FleetState | null = null;
  /** Which supervisor it is; orders of a dead one are not carried out. */
  #life = 0;
  /** Of the supervisor that took over last: older ones may be paused and not dead. */
  #fence = 0;
  /** One that was only paused, and goes on beside the one that took over. */
  #zombie: { life: number; state: FleetState; resumed: boolean } | null = null;
  readonly #records = new Map<string, SignalRecord>();

  constructor(seed: number, machine: Machine, { traced, storm, scenario, diesBefore = null }: WorldOptions) {
    this.#random = createRandom(mix32(seed, 0x5eed));
    this.#machine = machine;
    this.#processes = new ProcessTable(this.#random);
    this.scenario = scenario ?? drawScenario(this.#random, storm);
    this.#diesBefore = diesBefore;
    this.#faults = this.scenario.faults;
    this.#specs = this.scenario.specs;
    this.#safety = new Safety(this.scenario.settings, (replica, generation) =>
      this.#hangs(replica, generation),
    );
    this.trace = traced ? [] : null;
  }

  run(): void {
    this.#bringUp();
    this.#planRecurring(
      ({ meanSupervisorLifeMs }) => meanSupervisorLifeMs,
      () => this.#killSupervisor(),
    );
    this.#planRecurring(
      ({ meanCommandMs }) => meanCommandMs,
      () => this.#command(),
    );
    this.#planRecurring(
      ({ meanFactMs }) => meanFactMs,
      () => this.#fact(),
    );
    this.#heap.plan(this.scenario.faultsEndMs, () => this.#endFaults());
    this.#askGateways();
    this.#look();
    this.#runUntil(this.scenario.healedMs);
    this.#checkHealed();
  }

  #runUntil(endMs: number): void {
    let ticksNow = 0;
    for (;;) {
      const dueMs = this.#state === null ? Number.POSITIVE_INFINITY : nextDeadlineMs(this.#state);
      const nextMs = Math.min(dueMs, this.#heap.nextAtMs);
      if (nextMs > endMs) break;
      if (nextMs > this.nowMs) ticksNow = 0;
      else if (++ticksNow > TICKS_AT_ONE_MOMENT_MAX) throw new Violation('the machine does not come to rest');
      this.nowMs = Math.max(this.nowMs, nextMs);
      if (dueMs <= this.#heap.nextAtMs) this.#tick();
      else this.#heap.take()?.happen();
    }
    this.nowMs = endMs;
  }

  // The supervisor.

  #bringUp(): void {
    this.#life++;
    this.#fence = this.#life;
    if (this.#life > 1) this.#safety.onSupervisorDeath(this.#disk, moment(0).wallMs);
    const life = this.#life;
    this.#note('supervisor', `life ${life} begins`);
    this.#state = createFleetState(
      this.scenario.settings,
      mix32(life, this.#random.int(1 << 30)),
      this.nowMs,
    );
    const records = [...this.#disk.values()];
    const processHost = this.#processes.host(this.#disk);
    const isTaken = (pid: number) => this.#processes.get(pid)?.alive === true;
    for (const event of this.#machine.boot({ records, processHost, isTaken, nowMs: this.nowMs })) {
      if (event.type === 'adopted') {
        this.#safety.onAdopted(event.replica, event.process, this.#processes.get(event.process.pid));
        this.#watch(event.replica, event.generation, this.#processes.get(event.process.pid));
      } else if (event.type === 'strayFound') {
        throw new Violation(`${event.name}: a process that nothing accounts for`);
      }
      this.#deliver(event);
    }
    this.#deliver({ type: 'configured', replicas: this.#specs });
    this.#after(this.#random.int(3_000), () => this.#resumeZombie());
  }

  #resumeZombie(): void {
    if (this.#zombie === null || this.#zombie.resumed) return;
    this.#note('supervisor', `life ${this.#zombie.life} goes on`);
    this.#zombie.resumed = true;
    this.#stepZombie({ type: 'ticked', nowMs: this.nowMs });
  }

  /** It knows nothing of the one that took over, unless one of its orders is refused. */
  #stepZombie(event: RecoveryEvent): void {
    const zombie = this.#zombie;
    if (zombie?.resumed !== true) return;
    if (event.type !== 'ticked') this.#stepZombie({ type: 'ticked', nowMs: this.nowMs });
    const { state, effects } = this.#machine.step(zombie.state, event);
    zombie.state = state;
    for (const effect of effects) this.#carryOut(effect, zombie.life);
  }

  /** Whether an order comes to nothing: its supervisor is dead, paused, or refused, which ends it. */
  #isRefused(life: number): boolean {
    if (life === this.#life) return false;
    if (this.#zombie?.life !== life || !this.#zombie.resumed) return true;
    if (!this.#machine.refuses(life, this.#fence)) return false;
    this.#zombie = null;
    return true;
  }

  #answer(life: number, event: RecoveryEvent): void {
    if (this.#life === life) this.#deliver(event);
    else if (this.#zombie?.life === life) this.#stepZombie(event);
  }

  #killSupervisor(): void {
    if (this.#state === null) return;
    const isPaused = this.#random.next() < PAUSED_SHARE;
    this.#note('supervisor', isPaused ? 'is paused' : 'dies');
    this.#zombie = isPaused ? { life: this.#life, state: this.#state, resumed: false } : null;
    this.#state = null;
    this.#life++;
    this.#watchers.clear();
    this.#records.clear();
    this.#after(this.#random.int(1_500), () => this.#bringUp());
  }

  #tick(): void {
    this.#step({ type: 'ticked', nowMs: this.nowMs });
    if (this.#state !== null) this.#safety.onTick(this.#state);
  }

  #deliver(event: RecoveryEvent): void {
    if (this.#state === null) return;
    if (this.#state.nowMs !== this.nowMs) this.#tick();
    this.#safety.onEvent(event);
    this.#step(event);
  }

  #step(event: RecoveryEvent): void {
    const before = this.#state;
    if (before === null) return;
    this.steps++;
    this.fingerprint = mix32(this.fingerprint, this.nowMs * 1_000, before.nextEffectId, event.type.length);
    const { state, effects } = this.#machine.step(before, event);
    this.#state = state;
    if (this.trace !== null && (event.type !== 'ticked' || effects.length > 0)) this.#note('event', event);
    for (const effect of effects) {
      this.effects++;
      if (this.effects === this.#diesBefore) return this.#killSupervisor();
      if (this.trace !== null) this.#note('effect', effect);
      this.#carryOut(effect);
    }
    this.#safety.onStep(before, state, effects);
  }

  // What the supervisor orders.

  #carryOut(effect: RecoveryEffect, life = this.#life): void {
    switch (effect.type) {
      case 'spawn':
        return this.#order(life, () => this.#spawn(effect));
      case 'find':
        return this.#order(life, () => {
          const process = this.#processes
            .ours()
            .find(
              ({ replica, generation }) => replica === effect.replica && generation === effect.generation,
            );
          this.#watch(effect.replica, effect.generation, process);
          const { id, replica } = effect;
          return { type: 'found', effect: id, replica, process: process?.identity ?? null, url: null };
        });
      case 'signal':
        return this.#order(life, () => this.#signal(effect));
      case 'probe':
        return this.#order(life, () => this.#probe(effect));
      case 'capture':
        if (effect.process === null) return;
        return this.#order(life, () => {
          const { id, replica } = effect;
          return { type: 'captured', effect: id, replica, folder: null };
        });
      case 'mend':
        return this.#order(life, () => {
          const { id, replica } = effect;
          return { type: 'mended', effect: id, replica, ok: true, detail: '' };
        });
      case 'persist':
        return this.#persist(effect, life);
      case 'forget':
        return this.#forget(effect.replica, life);
      default:
        return;
    }
  }

  /** Sooner or later, once or never; orders of one that was replaced are refused, and a dead one gets no answer. */
  #order(life: number, carryOut: () => RecoveryEvent | null): void {
    const faults = this.#faults;
    const draw = this.#random.next();
    if (faults !== null && draw < faults.orderLost) return;
    const answerLost = faults !== null && draw < faults.orderLost + faults.answerLost;
    const isSlow = faults !== null && this.#random.next() < faults.orderSlow;
    this.#after(this.#random.int(isSlow ? 2_000 : 20), () => {
      if (this.#isRefused(life)) return;
      const answer = carryOut();
      if (answer === null || answerLost) return;
      this.#after(this.#random.int(isSlow ? 1_000 : 10), () => {
        this.#answer(life, answer);
      });
    });
  }

  #spawn(order: Extract<RecoveryOrder, { type: 'spawn' }>): RecoveryEvent | null {
    const { id: effect, replica, generation, notAfterMs } = order;
    if (this.nowMs > notAfterMs)
      return { type: 'spawnFailed', effect, replica, permanent: false, reason: 'too late' };
    this.#safety.onSpawn(replica, this.#processes.values());
    const identity = this.#processes.newIdentity();
    const launchHash = this.#specs.find(({ id }) => id === replica)?.launchHash ?? 'f';
    const process = drawProcess(this.#random, this.#faults, {
      identity,
      replica,
      generation,
      launchHash,
      startedMs: this.nowMs,
    });
    this.#processes.add(process);
    this.#note('world', `${replica} generation ${generation} starts as pid ${identity.pid}`);
    if (process.diesAfterMs !== Number.POSITIVE_INFINITY)
      this.#after(process.diesAfterMs, () => {
        if (this.#faults !== null) this.#end(process, process.exit);
      });
    this.#watch(replica, generation, process);
    return { type: 'spawned', effect, replica, process: identity, url: `http://pid/${identity.pid}` };
  }

  #signal(order: Extract<RecoveryOrder, { type: 'signal' }>): RecoveryEvent {
    const { id: effect, replica, process: identity, signal } = order;
    const target = this.#processes.get(identity.pid);
    const isIt = target?.alive === true && target.identity.startTicks === identity.startTicks;
    if (isIt) {
      this.#safety.onSignal(replica, target);
      if (signal === 'KILL')
        this.#after(target.killTakesMs, () => this.#end(target, { kind: 'signalled', signal: 'SIGKILL' }));
      else if (!target.ignoresTerm)
        this.#after(this.#random.int(400), () => this.#end(target, { kind: 'exited', code: 0 }));
    }
    return { type: 'signalled', effect, replica, gone: !isIt };
  }

  #probe(order: Extract<RecoveryOrder, { type: 'probe' }>): RecoveryEvent | null {
    const { id: effect, replica, generation, rung } = order;
    const watched = this.#specs.find(({ id }) => id === replica);
    if (watched?.managed === false) {
      const ok = this.nowMs >= (this.#elsewhereDownUntilMs.get(replica) ?? 0);
      return { type: 'probed', effect, replica, ok, detail: ok ? '' : 'connection refused' };
    }
    const process = this.#processes.of(replica, generation);
    const answer = answerProbe(process, rung, this.nowMs);
    return answer === undefined ? null : { type: 'probed', effect, replica, ...answer };
  }

  #persist(order: Extract<RecoveryOrder, { type: 'persist' }>, life: number): void {
    const { id: effect, replica, memory } = order;
    const faults = this.#faults;
    const isFull = faults !== null && this.#random.next() < faults.diskFull;
    const isSlow = faults !== null && this.#random.next() < faults.orderSlow;
    const startsMs = Math.max(this.nowMs, this.#writeEndsMs.get(replica) ?? 0);
    const endsMs = startsMs + this.#random.int(isSlow ? 700 : 8);
    this.#writeEndsMs.set(replica, endsMs);
    this.#heap.plan(endsMs, () => {
      if (this.#isRefused(life)) return;
      if (!isFull) this.#disk.set(replica, toRecord(memory, moment(this.nowMs)));
      this.#answer(life, { type: 'persisted', effect, replica, ok: !isFull });
    });
  }

  #forget(replica: string, life: number): void {
    const endsMs = Math.max(this.nowMs, this.#writeEndsMs.get(replica) ?? 0) + this.#random.int(8);
    this.#writeEndsMs.set(replica, endsMs);
    this.#heap.plan(endsMs, () => {
      if (!this.#isRefused(life)) this.#disk.delete(replica);
    });
  }

  // What happens by itself.

  #watch(replica: string, generation: number, process: PretendProcess | undefined): void {
    if (process !== undefined) this.#watchers.set(process, { replica, generation, life: this.#life });
  }

  #end(process: PretendProcess, exit: PretendProcess['exit']): void {
    if (!process.alive) return;
    process.alive = false;
    this.#note('world', `pid ${process.identity.pid} of ${process.replica} ends`);
    if (this.#random.next() < STRANGER_SHARE) this.#letStrangerIn(process.identity.pid);
    const watcher = this.#watchers.get(process);
    this.#watchers.delete(process);
    if (watcher === undefined) return;
    const { replica, generation, life } = watcher;
    this.#after(this.#random.int(120), () => {
      if (this.#life === life)
        this.#deliver({ type: 'exited', replica, generation, exit, lastWords: null, verdict: null });
    });
  }

  /** What the supervisor sees of its engines, each with work all the time, and what it makes of it. */
  #look(): void {
    let mayHang = false;
    for (const replica of Object.values(this.#state?.replicas ?? {})) {
      const { spec, generation, phase } = replica;
      const process = this.#processes.of(spec.id, generation);
      if (process?.alive !== true || (phase.name !== 'serving' && phase.name !== 'ailing')) continue;
      const record = this.#recordOf(spec.id, generation);
      observe(record, process, this.nowMs);
      mayHang ||= record.mayHang;
      const verdict = this.#machine.judge(windowOf(record, this.nowMs));
      if (this.trace !== null && verdict.class !== 'none')
        this.#note('verdict', `${spec.id}: ${verdict.summary}`);
      this.#deliver({ type: 'diagnosed', replica: spec.id, generation, verdict });
    }
    this.#after(mayHang ? CLOSE_LOOK_MS : LOOK_MS, () => this.#look());
  }

  #recordOf(id: string, generation: number): SignalRecord {
    let record = this.#records.get(id);
    if (record?.generation !== generation) {
      record = newRecord(generation, this.nowMs);
      this.#records.set(id, record);
    }
    return record;
  }

  #hangs(replica: string, generation: number): boolean {
    const process = this.#processes.of(replica, generation);
    return process === undefined || this.nowMs >= process.hangsFromMs;
  }

  /** For a while. */
  #letStrangerIn(pid: number): void {
    const stranger = this.#processes.letStrangerIn(pid, this.nowMs);
    this.#after(this.#random.int(5_000), () => {
      stranger.alive = false;
    });
  }

  #fact(): void {
    const { id } = this.#random.pick(this.#specs);
    const generation = this.#state?.replicas[id]?.generation ?? 0;
    if (this.#random.next() < 0.5) {
      const age = this.#random.int(3);
      return this.#deliver({ type: 'attemptFailed', replica: id, generation: generation - age });
    }
    if (this.#random.next() < 0.3) this.#elsewhereDownUntilMs.set(id, this.nowMs + this.#random.int(5_000));
    this.#deliver({ type: 'inFlightReported', replica: id, count: this.#random.int(3) });
  }

  /** Gateways are asked all the time; with faults on they are often silent, or busy. */
  #askGateways(): void {
    for (const { id } of this.#specs) {
      const draw = this.#random.next();
      if (this.#faults === null || draw < 0.3)
        this.#deliver({ type: 'inFlightReported', replica: id, count: 0 });
      else if (draw < 0.4) this.#deliver({ type: 'inFlightReported', replica: id, count: 1 });
    }
    this.#after(ASK_INTERVAL_MS, () => this.#askGateways());
  }

  #command(): void {
    const { id, pool } = this.#random.pick(this.scenario.specs);
    const draw = this.#random.next();
    if (draw < 0.2) return this.#deliver({ type: 'drainRequested', replica: id });
    if (draw < 0.5) return this.#deliver({ type: 'restartRequested', replica: id });
    if (draw < 0.75) return this.#deliver({ type: 'rollingRestartRequested', pool, because: 'on request' });
    this.#specs = drawOtherSpecs(this.#random, this.scenario.specs, this.#specs);
    this.#deliver({ type: 'configured', replicas: this.#specs });
  }

  #planRecurring(mean: (faults: Faults) => number, happen: () => void): void {
    if (this.#faults === null) return;
    const waitMs = exponential(this.#random, mean(this.#faults));
    if (waitMs === Number.POSITIVE_INFINITY) return;
    this.#after(waitMs, () => {
      if (this.#faults === null) return;
      happen();
      this.#planRecurring(mean, happen);
    });
  }

  #endFaults(): void {
    this.#note('world', 'faults end');
    this.#faults = null;
    this.#elsewhereDownUntilMs.clear();
    for (const process of this.#processes.values()) {
      process.stall = { fromMs: 0, toMs: 0 };
      process.killTakesMs = Math.min(process.killTakesMs, 10);
    }
    // People look after what was given up.
    for (const replica of Object.values(this.#state?.replicas ?? {}))
      if (replica.phase.name === 'quarantined')
        this.#deliver({ type: 'restartRequested', replica: replica.spec.id });
    this.#after(LAST_TROUBLE_MS, () => {
      for (const process of this.#processes.ours()) drawLastTrouble(this.#random, process, this.nowMs);
    });
  }

  #checkHealed(): void {
    const state = this.#state;
    if (state === null) throw new Violation('no supervisor');
    for (const { id } of this.#specs) {
      const replica = state.replicas[id];
      if (replica === undefined) throw new Violation(`${id}: configured, but unknown`);
      this.#checkSettled(replica);
    }
    for (const id in state.replicas)
      if (!this.#specs.some((wanted) => wanted.id === id))
        throw new Violation(`${id}: not configured, but there`);
    for (const { identity, replica, hangsFromMs } of this.#processes.ours()) {
      if (hangsFromMs + HANG_BOUND_MS < this.nowMs)
        throw new Violation(`pid ${identity.pid} of ${replica} hangs, and nobody ends it`);
      if (state.replicas[replica]?.process?.startTicks !== identity.startTicks)
        throw new Violation(`pid ${identity.pid} of ${replica} runs, but nobody knows it`);
    }
    const [pool] = Object.keys(state.rolling);
    if (pool !== undefined) throw new Violation(`${pool}: the rolling restart has not ended`);
  }

  #checkSettled(replica: Replica): void {
    const reached = stateOf(replica);
    if (reached === 'quarantined') return;
    const wanted = replica.goal.kind === 'stop' ? 'stopped' : 'ready';
    if (reached !== wanted)
      throw new Violation(
        `${replica.spec.id}: is ${reached} instead of ${wanted} after healing: ${replica.reason}`,
      );
    const isOutdated = replica.startedHash !== replica.spec.launchHash;
    if (wanted === 'ready' && isOutdated && !this.#safety.givenUp.has(replica.spec.pool))
      throw new Violation(`${replica.spec.id}: runs with an old configuration`);
  }

  #after(ms: number, happen: () => void): void {
    this.#heap.plan(this.nowMs + ms, happen);
  }

  #note(what: string, text: unknown): void {
    this.trace?.push(
      `${this.nowMs.toFixed(1).padStart(9)} ${what.padEnd(10)} ${typeof text === 'string' ? text : JSON.stringify(text)}`,
    );
  }
}
