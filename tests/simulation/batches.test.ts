/**
 * Goal: whatever crashes, and whenever, each line of a batch is answered exactly once. Method: a world with a storage that
 * survives, a gateway that answers late, twice, badly or not at all, and a runner that dies at any point and is followed by
 * another, sometimes while the former one still lives and writes (until its lease is found to be lost).
 * A failing seed is printed; `BATCH_SEED=N npx vitest run --project integration tests/simulation/batches.test.ts` replays it alone.
 */
import { expect, it } from 'vitest';
import { createRandom, type Random } from '../../src/base/random.ts';
import type {
  BatchEffect,
  BatchEnding,
  BatchEvent,
  BatchState,
  LineResult,
} from '../../src/decide/batches/batch-state.ts';
import { addLine, countLines, hasLine, type LineRanges } from '../../src/decide/batches/line-ranges.ts';
import { type RecordedBatch, startBatch, step } from '../../src/decide/batches/step.ts';

const SEEDS = 4_000;
const EVENTS_MAX = 20_000;
const EXPIRES_AT_MS = 60_000;
/** Runs of each decider that was made wrong on purpose. */
const MUTATION_SEEDS = 300;

/** What a crash leaves behind. */
class Storage {
  status: RecordedBatch['status'] | BatchEnding = 'validating';
  ending: BatchEnding | null = null;
  answered: LineRanges = [];
  rows = new Map<number, { ok: boolean; fence: number }>();
  fence = 0;
  output: number[] = [];
  errors: number[] = [];
  filesWritten = 0;

  /** False when the writer's lease is lost. */
  record(fence: number, line: number, ok: boolean): boolean {
    if (fence !== this.fence) return false;
    if (!this.rows.has(line)) this.rows.set(line, { ok, fence });
    this.answered = addLine(this.answered, line);
    return true;
  }
}

class Runner {
  readonly fence: number;
  readonly #world: World;
  readonly #first: BatchEffect[];
  state: BatchState;
  dead = false;

  constructor(world: World) {
    this.#world = world;
    const { storage } = world;
    this.fence = ++storage.fence;
    const { state, effects } = startBatch({
      status: storage.status as RecordedBatch['status'],
      ending: storage.ending,
      answered: world.mutation === 'forgets what was recorded' ? [] : storage.answered,
      expiresAtMs: world.expiresAtMs,
      inFlightMax: 1 + world.random.int(6),
      nowMs: world.nowMs,
      seed: world.random.int(1e9),
      limits: { attemptsMax: 3, lossesMax: 5, backoffInitialMs: 50, backoffMaxMs: 2_000 },
    });
    this.state = state;
    this.#first = effects;
  }

  begin(): void {
    for (const effect of this.#first) this.#carryOut(effect);
  }

  hear(event: BatchEvent): void {
    if (this.dead) return;
    const { state, effects } = step(this.state, event);
    this.state =
      this.#world.mutation === 'takes a second answer'
        ? { ...state, sent: [...this.state.sent, ...state.sent] }
        : state;
    this.#check();
    for (const effect of effects) if (!this.dead) this.#carryOut(effect);
  }

  #check(): void {
    const { sent, recording, waiting, answered } = this.state;
    const open = [...sent, ...waiting].map(({ line }) => line).concat(recording);
    must(new Set(open).size === open.length, 'no line is under way twice');
    must(open.length <= this.#world.inFlightMost, 'no more lines are under way than may be');
    must(!sent.some(({ line }) => hasLine(answered, line)), 'no answered line is under way');
  }

  #carryOut(effect: BatchEffect): void {
    const world = this.#world;
    const { storage, random } = world;
    // It may die between any two effects.
    if (random.next() < world.crashChance) return world.crash(this);
    const current = this.fence === storage.fence;
    switch (effect.type) {
      case 'readInput':
        return world.later(this, 50, { type: 'inputRead', lines: world.lines });
      case 'setStatus':
        if (current) {
          if (effect.status === 'finalizing' || storage.status === 'validating')
            storage.status = effect.status;
          if (effect.status === 'finalizing') storage.ending = this.state.ending;
        }
        return;
      case 'send':
        // A runner that lost its lease may not know yet; one that holds it never repeats a recorded line.
        if (current) must(!storage.rows.has(effect.line), 'a line that was recorded is never sent again');
        return world.send(this, effect.line);
      case 'record':
        return world.record(this, effect.line, effect.ok);
      case 'abort':
        return;
      case 'writeFiles':
        if (!current) return;
        storage.output = [...storage.rows].filter(([, { ok }]) => ok).map(([line]) => line);
        storage.errors = Array.from({ length: world.lines }, (_, line) => line).filter(
          (line) => storage.rows.get(line)?.ok !== true,
        );
        storage.filesWritten++;
        return world.later(this, 20, { type: 'filesWritten' });
      case 'finish':
        if (current) storage.status = effect.ending;
        return;
    }
  }
}

class World {
  readonly random: Random;
  readonly storage = new Storage();
  readonly lines: number;
  readonly crashChance: number;
  readonly #trouble: number;
  readonly #cancelAtMs: number | null;
  readonly expiresAtMs: number;
  readonly mutation: string | null;
  readonly inFlightMost = 6;
  nowMs = 0;
  #runner: Runner;
  #zombie: Runner | null = null;
  #restartAtMs: number | null = null;
  #events: { atMs: number; runner: Runner; event: BatchEvent }[] = [];

  constructor(seed: number, mutation: string | null = null) {
    this.mutation = mutation;
    this.random = createRandom(seed);
    this.lines = this.random.int(40);
    this.crashChance = this.random.pick([0, 0.002, 0.02]);
    this.#trouble = this.random.pick([0, 0.1, 0.5]);
    this.#cancelAtMs = this.random.next() < 0.15 ? this.random.int(3_000) : null;
    this.expiresAtMs = this.random.next() < 0.15 ? this.random.int(4_000) : EXPIRES_AT_MS;
    this.#runner = new Runner(this);
    this.#runner.begin();
  }

  later(runner: Runner, spanMs: number, event: BatchEvent): void {
    this.#events.push({ atMs: this.nowMs + this.random.int(spanMs) + 1, runner, event });
  }

  send(runner: Runner, line: number): void {
    const draw = this.random.next();
    const result: LineResult =
      draw < this.#trouble / 3
        ? { kind: this.random.pick(['failed', 'refused', 'lost'] as const) }
        : { kind: 'answered', ok: draw < 0.9 };
    this.later(runner, 400, { type: 'lineEnded', line, result });
    // The same answer twice, or two different ones.
    if (this.random.next() < this.#trouble / 5)
      this.later(runner, 900, { type: 'lineEnded', line, result: { kind: 'answered', ok: false } });
  }

  record(runner: Runner, line: number, ok: boolean): void {
    if (!this.storage.record(runner.fence, line, ok)) {
      runner.dead = true;
      return;
    }
    // The row is there, and the process may die before it hears so.
    if (this.random.next() < this.crashChance) return this.crash(runner);
    this.later(runner, 30, { type: 'lineRecorded', line });
    if (this.random.next() < this.#trouble / 5) this.later(runner, 90, { type: 'lineRecorded', line });
  }

  crash(runner: Runner): void {
    if (runner !== this.#runner) {
      runner.dead = true;
      return;
    }
    // Frozen instead of dead: it comes back after its lease is lost.
    if (this.random.next() < 0.3) this.#zombie = runner;
    else runner.dead = true;
    this.#restartAtMs = this.nowMs + this.random.int(3_000);
  }

  get over(): boolean {
    return ['completed', 'failed', 'expired', 'cancelled'].includes(this.storage.status);
  }

  run(): void {
    for (let turn = 0; turn < EVENTS_MAX && !this.over; turn++) {
      this.nowMs += this.random.int(40);
      if (this.#restartAtMs !== null && this.nowMs >= this.#restartAtMs) {
        this.#restartAtMs = null;
        this.#runner = new Runner(this);
        this.#runner.begin();
      }
      const due = this.#events.filter(({ atMs }) => atMs <= this.nowMs);
      this.#events = this.#events.filter(({ atMs }) => atMs > this.nowMs);
      for (const { runner, event } of due) {
        const frozen = runner === this.#runner && this.#restartAtMs !== null;
        if (!frozen) runner.hear(event);
      }
      if (this.#restartAtMs !== null) continue;
      this.#runner.hear({ type: 'ticked', nowMs: this.nowMs });
      this.#zombie?.hear({ type: 'ticked', nowMs: this.nowMs });
      if (this.#cancelAtMs !== null && this.nowMs > this.#cancelAtMs && !this.over) this.#cancel();
      if (this.random.next() < 0.01)
        this.#runner.hear({ type: 'limitChanged', inFlightMax: 1 + this.random.int(this.inFlightMost) });
    }
  }

  #cancel(): void {
    if (this.storage.status === 'validating' || this.storage.status === 'in_progress')
      this.storage.status = 'cancelling';
    if (this.storage.status === 'cancelling') this.#runner.hear({ type: 'cancelAsked' });
  }

  check(): void {
    const { storage, lines } = this;
    must(this.over, 'the batch ends');
    const written = [...storage.output, ...storage.errors];
    must(written.length === lines, `every line is written: ${written.length} of ${lines}`);
    must(new Set(written).size === lines, 'no line is written twice');
    must(
      storage.output.every((line) => storage.rows.get(line)?.ok),
      'the output holds what succeeded',
    );
    if (storage.status === 'completed')
      must(countLines(storage.answered) === lines, 'all lines of a completed batch are answered');
    if (this.#cancelAtMs === null && this.nowMs < this.expiresAtMs)
      must(storage.status === 'completed', `it is completed, not ${storage.status}`);
  }
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(`does not hold: ${what}`);
}

const only = process.env.BATCH_SEED;

it(`answers each line exactly once, whatever crashes and whenever (${SEEDS} seeds)`, () => {
  const seeds = only === undefined ? Array.from({ length: SEEDS }, (_, seed) => seed) : [Number(only)];
  const endings = new Map<string, number>();
  for (const seed of seeds) {
    const world = new World(seed);
    try {
      world.run();
      world.check();
    } catch (error) {
      throw new Error(
        `seed ${seed}: ${String(error)}; BATCH_SEED=${seed} npx vitest run --project integration tests/simulation/batches.test.ts`,
      );
    }
    endings.set(world.storage.status, (endings.get(world.storage.status) ?? 0) + 1);
  }
  // It reaches what it is meant to reach.
  if (only === undefined) expect([...endings.keys()].sort()).toEqual(['cancelled', 'completed', 'expired']);
});

it.each(['forgets what was recorded', 'takes a second answer'])('notices a runner that %s', (mutation) => {
  let caught = 0;
  for (let seed = 0; seed < MUTATION_SEEDS; seed++) {
    try {
      const world = new World(seed, mutation);
      world.run();
      world.check();
    } catch {
      caught++;
    }
  }
  expect(caught).toBeGreaterThan(MUTATION_SEEDS / 20);
});
