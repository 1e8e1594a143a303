/**
 * Goal: a request that kills engines is found and refused after few crashes, and no other is ever blamed for it. Method: a pool
 * of pretend replicas in virtual time, requests that stream, answer as a whole or kill what they run on, clients that ask again,
 * and engines that die by themselves; the decider is asked as the gateway asks it. Many seeds.
 * A failing seed is printed; `SUSPECTS_SEED=N npx vitest run --project integration tests/simulation/suspects.test.ts` replays it.
 */
import { expect, it } from 'vitest';
import { createRandom, type Random } from '../../src/base/random.ts';
import { stepSuspects } from '../../src/decide/suspects/step.ts';
import {
  type FleetNow,
  type Permit,
  type SuspectEvent,
  type SuspectState,
  startSuspects,
  type Verdict,
} from '../../src/decide/suspects/suspect-state.ts';

const SEEDS = Number(process.env.SUSPECTS_SEEDS ?? 2_000);
const STEP_MS = 20;
const ENDS_MS = 40_000;
const TIMES = { suspectTtlMs: 600_000, holdTtlMs: 600_000, convictTtlMs: 3_600_000 };
/** Crashes that one poison may cause, whatever happens. */
const CRASHES_MAX = 3;
/** A request that may go to one replica only is not forgotten when that dies, and before long sent on when it stays full and others do not. */
const GONE_MAX_MS = 500;
const PASSED_OVER_MAX_MS = 9_500;

interface Job {
  id: number;
  fingerprint: string;
  /** Time from the start of an attempt to the death of its engine; null: harmless. */
  killsAfterMs: number | null;
  streams: boolean;
  prefillMs: number;
  /** Of the answer, after the prefill. */
  workMs: number;
  doneMs: number;
  committed: boolean;
  attempts: number;
  /** Where it is, since when; null: it waits. */
  on: number | null;
  sinceMs: number;
  told: boolean;
  ask: number | null;
  verdict: Verdict | null;
  waitsForVerdict: boolean;
  /** It may go to one replica only: since when that is gone and nobody thinks of it, and since when others have a place, ms. */
  goneMs: number;
  passedOverMs: number;
  end: 'completed' | 'refused' | 'failed' | null;
}

interface Replica {
  generation: number;
  upAtMs: number;
  ready: boolean;
  jobs: Set<Job>;
}

interface Scenario {
  poisons: number;
  /** Engines die by themselves so often on average; 0: never. */
  diesEveryMs: number;
  replicas?: number;
  killsInPrefill?: boolean;
  /** A gateway that sends everything anywhere, whatever it is told. */
  careless?: boolean;
}

class World {
  readonly #random: Random;
  readonly #scenario: Scenario;
  readonly #replicas: Replica[];
  readonly #window: number;
  readonly jobs: Job[] = [];
  readonly #open = new Set<Job>();
  readonly crashesBy = new Map<string, number>();
  readonly diedAlone = new Set<string>();
  state: SuspectState = startSuspects();
  #nowMs = 0;
  #asks = 0;
  #ids = 0;
  least: number;

  constructor(seed: number, scenario: Scenario) {
    this.#random = createRandom(seed);
    this.#scenario = scenario;
    const count = scenario.replicas ?? 2 + Math.floor(this.#random.next() * 5);
    this.#window = 2 + Math.floor(this.#random.next() * 8);
    this.#replicas = Array.from({ length: count }, () => ({
      generation: 1,
      upAtMs: 0,
      ready: true,
      jobs: new Set<Job>(),
    }));
    this.least = count;
  }

  run(): void {
    const places = this.#replicas.length * this.#window;
    for (let index = 0; index < places * 0.7; index++) this.#add(this.#innocent());
    const poisons = Array.from({ length: this.#scenario.poisons }, (_, index) => this.#poison(index));
    const begins = poisons.map(() => 1_000 + this.#random.next() * 10_000);
    for (
      ;
      this.#nowMs < ENDS_MS || (this.#open.size > 0 && this.#nowMs < 10 * ENDS_MS);
      this.#nowMs += STEP_MS
    ) {
      poisons.forEach((poison, index) => {
        if (begins[index]! < this.#nowMs) {
          begins[index] = Number.POSITIVE_INFINITY;
          this.#add(poison);
        }
      });
      if (this.#open.size < places * 0.8 && this.#nowMs < ENDS_MS / 2 && this.#chance(0.3))
        this.#add(this.#innocent());
      this.#step();
    }
  }

  #step(): void {
    this.#replicas.forEach((replica) => {
      if (!replica.ready && replica.upAtMs <= this.#nowMs) replica.ready = true;
    });
    const { diesEveryMs } = this.#scenario;
    if (diesEveryMs > 0 && this.#nowMs < ENDS_MS && this.#chance(STEP_MS / diesEveryMs))
      this.#kill(Math.floor(this.#random.next() * this.#replicas.length), null);
    for (const job of this.#open) if (job.on === null && !job.waitsForVerdict) this.#place(job);
    for (const job of [...this.#open]) if (job.on !== null && job.end === null) this.#work(job);
    if (this.state.asks.size > 0 || (this.state.records.size > 0 && this.#nowMs % 200 === 0))
      this.#tell({ type: 'ticked', atMs: this.#nowMs });
    this.least = Math.min(this.least, this.#replicas.filter(({ ready }) => ready).length);
  }

  #place(job: Job): void {
    const { verdict } = job;
    if (verdict?.kind === 'place') {
      const index = Number(verdict.replica.slice(2));
      const replica = this.#replicas[index]!;
      const gone = !replica.ready || replica.generation !== verdict.generation;
      if (!gone && replica.jobs.size < (verdict.alone ? 1 : this.#window)) return this.#start(job, index);
      return this.#waitsThere(job, gone);
    }
    const avoid = verdict?.kind === 'go' ? verdict.avoid : [];
    const free = (mayAvoid: boolean) =>
      this.#replicas
        .map((replica, index) => ({ replica, index }))
        .filter(({ replica, index }) => replica.ready && !this.#isReserved(index))
        .filter(({ replica, index }) => mayAvoid || !avoid.includes(`r/${index}@${replica.generation}`));
    const wanted = free(false).length > 0 ? free(false) : free(true);
    const open = wanted.filter(({ replica }) => replica.jobs.size < this.#window);
    open.sort((a, b) => a.replica.jobs.size - b.replica.jobs.size);
    if (open[0] !== undefined) this.#start(job, open[0].index);
  }

  /** It goes nowhere else until it is told to; the gateway would give up before long. */
  #waitsThere(job: Job, gone: boolean): void {
    job.goneMs = gone && !this.state.asks.has(job.ask!) ? job.goneMs + STEP_MS : 0;
    const who = `${job.fingerprint} waits for a place`;
    if (job.goneMs > GONE_MAX_MS)
      throw new Error(`${who} on a replica that is gone, and nobody will tell it`);
    const open = this.#replicas.some(({ ready, jobs }, index) => {
      return ready && jobs.size < this.#window && !this.#isReserved(index);
    });
    job.passedOverMs = open ? job.passedOverMs + STEP_MS : 0;
    if (job.verdict?.kind === 'place' && !job.verdict.alone && job.passedOverMs > PASSED_OVER_MAX_MS)
      throw new Error(`${who} on a full replica although others have one`);
  }

  #isReserved(index: number): boolean {
    return [...this.state.asks.values()].some(
      ({ permit }) => permit?.alone === true && permit.replica === `r/${index}`,
    );
  }

  #start(job: Job, index: number): void {
    job.on = index;
    job.sinceMs = this.#nowMs;
    job.goneMs = 0;
    job.passedOverMs = 0;
    job.told = false;
    job.attempts++;
    this.#replicas[index]!.jobs.add(job);
    if (job.ask !== null) this.#tell({ type: 'placed', atMs: this.#nowMs, ask: job.ask });
  }

  #work(job: Job): void {
    const ranMs = this.#nowMs - job.sinceMs;
    if (job.killsAfterMs !== null && ranMs >= job.killsAfterMs) return this.#kill(job.on!, job);
    if (ranMs < job.prefillMs) return;
    if (job.streams && !job.told) {
      job.told = true;
      job.committed = true;
      if (job.ask !== null) this.#tell({ type: 'answering', atMs: this.#nowMs, ask: job.ask });
    }
    job.doneMs += STEP_MS;
    if (job.doneMs >= job.workMs) this.#end(job, 'completed');
  }

  #kill(index: number, by: Job | null): void {
    const replica = this.#replicas[index]!;
    if (!replica.ready) return;
    const lost = [...replica.jobs];
    if (by !== null) this.crashesBy.set(by.fingerprint, (this.crashesBy.get(by.fingerprint) ?? 0) + 1);
    if (lost.length === 1) this.diedAlone.add(lost[0]!.fingerprint);
    const { generation } = replica;
    replica.ready = false;
    replica.generation++;
    replica.upAtMs = this.#nowMs + 300 + this.#random.next() * 6_000;
    replica.jobs.clear();
    for (const job of lost) {
      const runningMs = this.#nowMs - job.sinceMs;
      const gaveUp = !job.committed && job.attempts % 3 === 0;
      const continued = job.committed && job.attempts >= 6;
      if (!job.committed || !job.streams) job.doneMs = 0;
      job.on = null;
      const ask = gaveUp || continued ? null : this.#asks++;
      const former = job.ask;
      job.ask = ask;
      job.verdict = null;
      job.waitsForVerdict = ask !== null;
      const { fingerprint, committed } = job;
      const what = { fingerprint, model: 'm', endpoint: 'chat', requestId: `req-${job.id}`, pool: 'm' };
      const where = { replica: `r/${index}`, generation, runningMs, committed };
      this.#tell({ type: 'crashed', atMs: this.#nowMs, ...what, ...where, ask, former, surely: false });
      if (ask === null) this.#end(job, 'failed');
    }
  }

  /** A client asks again when it may help. */
  #end(job: Job, end: Job['end']): void {
    job.end = end;
    this.#open.delete(job);
    if (job.on !== null) this.#replicas[job.on]!.jobs.delete(job);
    job.on = null;
    const { fingerprint, ask } = job;
    this.#tell({ type: 'ended', atMs: this.#nowMs, ask, fingerprint, completed: end === 'completed' });
    if (end === 'failed' || (end === 'refused' && job.killsAfterMs !== null && this.#chance(0.5)))
      this.#add({ ...job, id: this.#ids++, end: null, attempts: 0, committed: false, ask: null, doneMs: 0 });
  }

  #add(job: Job): void {
    this.jobs.push(job);
    this.#open.add(job);
    job.verdict = null;
    const record = this.state.records.get(job.fingerprint);
    if (record === undefined || record.status === 'released') return;
    job.ask = this.#asks++;
    job.waitsForVerdict = true;
    const { fingerprint, ask } = job;
    this.#tell({ type: 'arrived', atMs: this.#nowMs, ask, fingerprint, pool: 'm' });
  }

  #tell(event: SuspectEvent): void {
    const before = this.state.records;
    const { state, answers } = stepSuspects(this.state, event, { fleet: this.#fleet(), times: TIMES });
    this.state = state;
    for (const [fingerprint, { status }] of state.records) {
      if (
        status === 'convicted' &&
        before.get(fingerprint)?.status !== 'convicted' &&
        !this.diedAlone.has(fingerprint)
      )
        throw new Error(`${fingerprint} was convicted and never crashed alone`);
    }
    const trials = [...state.asks.values()].filter(({ permit }: { permit: Permit | null }) => permit?.alone);
    if (trials.length > 1) throw new Error('two trials at once in one pool');
    for (const { ask, verdict: said } of answers) {
      const verdict = this.#scenario.careless === true ? ({ kind: 'go', avoid: [] } as const) : said;
      const job = [...this.#open].find((one) => one.ask === ask);
      if (job === undefined) continue;
      if (verdict.kind === 'place' && verdict.alone) {
        const { ready, total } = this.#counts();
        if (total > 1 && ready - 1 < Math.ceil(total / 2)) throw new Error('a trial below the floor');
      }
      job.verdict = verdict;
      job.waitsForVerdict = false;
      if (verdict.kind === 'go') job.ask = null;
      if (verdict.kind === 'refuse') this.#end(job, 'refused');
    }
  }

  #counts() {
    return { ready: this.#replicas.filter(({ ready }) => ready).length, total: this.#replicas.length };
  }

  #fleet(): FleetNow {
    const replicas = this.#replicas.map(({ generation, ready, jobs }, index) => ({
      ...{ id: `r/${index}`, generation, ready, planned: false, late: false, comesBack: true },
      inFlight: jobs.size,
    }));
    return { pools: new Map([['m', replicas]]) };
  }

  #innocent(): Job {
    const id = this.#ids++;
    return this.#job(id, `innocent-${id}`, null);
  }

  #poison(index: number): Job {
    const inPrefill = this.#scenario.killsInPrefill ?? this.#chance(0.7);
    const job = this.#job(this.#ids++, `poison-${index}`, 0);
    job.killsAfterMs = inPrefill
      ? job.prefillMs * this.#random.next()
      : job.prefillMs + this.#random.next() * 1_500;
    job.workMs = Math.max(job.workMs, 3_000);
    return job;
  }

  #job(id: number, fingerprint: string, killsAfterMs: number | null): Job {
    return {
      ...{ id, fingerprint, killsAfterMs, streams: this.#chance(0.7) },
      ...{ prefillMs: 40 + this.#random.next() * 400, workMs: 300 + this.#random.next() * 8_000, doneMs: 0 },
      ...{ committed: false, attempts: 0, on: null, sinceMs: 0, told: false, ask: null },
      ...{ verdict: null, waitsForVerdict: false, end: null, goneMs: 0, passedOverMs: 0 },
    };
  }

  #chance(probability: number): boolean {
    return this.#random.next() < probability;
  }
}

/** The number of seeds. */
function eachSeed(run: (seed: number) => void, count = SEEDS): number {
  const asked = process.env.SUSPECTS_SEED;
  const seeds =
    asked === undefined ? Array.from({ length: count }, (_, index) => index + 1) : [Number(asked)];
  for (const seed of seeds) {
    try {
      run(seed);
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  return seeds.length;
}

it('finds one poison, and lets every other request through', () => {
  const crashes = new Map<number, number>();
  eachSeed((seed) => {
    const world = new World(seed, { poisons: 1, diesEveryMs: 0 });
    world.run();
    const count = world.crashesBy.get('poison-0') ?? 0;
    crashes.set(count, (crashes.get(count) ?? 0) + 1);
    if (count > CRASHES_MAX) throw new Error(`${count} crashes by one poison`);
    for (const { fingerprint, end, killsAfterMs } of world.jobs)
      if (killsAfterMs === null && end !== 'completed')
        throw new Error(`${fingerprint} ${end ?? 'still waits'}`);
  });
  console.log(
    'crashes by one poison, and seeds:',
    Object.fromEntries([...crashes].sort(([a], [b]) => a - b)),
  );
});

it('loses two of four replicas to a request that kills before its first token, and seldom a third', () => {
  let thirds = 0;
  const seeds = eachSeed((seed) => {
    const world = new World(seed, { poisons: 1, diesEveryMs: 0, replicas: 4, killsInPrefill: true });
    world.run();
    const count = world.crashesBy.get('poison-0') ?? 0;
    if (count > 3) throw new Error(`${count} crashes`);
    // Where another that had not been answered either was there both times, only a trial tells the two apart.
    if (count === 3) thirds++;
  });
  expect(thirds).toBeLessThanOrEqual(seeds / 4);
});

it('would lose more to a gateway that did not listen', () => {
  let most = 0;
  eachSeed((seed) => {
    const world = new World(seed, { poisons: 1, diesEveryMs: 0, careless: true });
    world.run();
    most = Math.max(most, world.crashesBy.get('poison-0') ?? 0);
  }, 4);
  expect(most).toBeGreaterThan(2 * CRASHES_MAX);
});

it('convicts only who crashed alone, with several poisons among engines that die by themselves', () => {
  eachSeed((seed) => {
    const world = new World(seed, { poisons: 3, diesEveryMs: 8_000 });
    world.run();
    // A poison that is found takes the blame for crashes at which another was present too.
    for (const [fingerprint, count] of world.crashesBy)
      if (count > 3 * CRASHES_MAX) throw new Error(`${count} crashes by ${fingerprint}`);
  }, SEEDS / 4);
});
