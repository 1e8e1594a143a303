/** A process of the pretended machine: what it will do is drawn when it is started. */
import type { Random } from '../../src/base/random.ts';
import type { ReadinessRung } from '../../src/contract/ports/engine-driver.ts';
import type { ProcessExit, ProcessIdentity } from '../../src/contract/ports/process-host.ts';
import type { Faults } from './scenario.ts';

export interface PretendProcess {
  identity: ProcessIdentity;
  replica: string;
  generation: number;
  launchHash: string;
  alive: boolean;
  startedMs: number;
  /** From the start; Infinity: never. */
  readyAfterMs: number;
  diesAfterMs: number;
  exit: ProcessExit;
  ignoresTerm: boolean;
  /** Its owner tag cannot be read, as of engines that overwrite their environment. */
  hidesTag: boolean;
  killTakesMs: number;
  /** Makes no step from here on; Infinity: never. */
  hangsFromMs: number;
  /** Prompts that it reads in one step each, in the order of time. */
  prefills: readonly Prefill[];
  /** Answers no probe in [from, to). */
  stall: { fromMs: number; toMs: number };
}

/** While a long prompt is read no token comes, and the counter stands still: that is no fault. */
export interface Prefill {
  fromMs: number;
  toMs: number;
  promptTokens: number;
}

/** Prompt tokens per second of every pretended engine. */
export const PREFILL_TOKENS_PER_S = 1_000;
const STEP_MS = 50;
const PREFILLS_MAX = 3;

const EXITS: ProcessExit[] = [
  { kind: 'exited', code: 0 },
  { kind: 'exited', code: 1 },
  { kind: 'exited', code: 134 },
  { kind: 'signalled', signal: 'SIGSEGV' },
  { kind: 'signalled', signal: 'SIGKILL' },
];

/** A process that does all it should. */
const GOOD = {
  readyAfterMs: 300,
  diesAfterMs: Number.POSITIVE_INFINITY,
  ignoresTerm: false,
  hidesTag: false,
  killTakesMs: 1,
  hangsFromMs: Number.POSITIVE_INFINITY,
  prefills: [],
  stall: { fromMs: 0, toMs: 0 },
};

export function drawProcess(
  random: Random,
  faults: Faults | null,
  start: Pick<PretendProcess, 'identity' | 'replica' | 'generation' | 'launchHash' | 'startedMs'>,
): PretendProcess {
  const base = { ...start, alive: true, exit: random.pick(EXITS) };
  if (faults === null) return { ...base, ...GOOD };
  const happens = (share: number) => random.next() < share;
  const stallMs = start.startedMs + random.int(6_000);
  const readyAfterMs = 50 + random.int(1_500);
  const hangsFromMs = start.startedMs + readyAfterMs + random.int(6_000);
  return {
    ...base,
    readyAfterMs: happens(faults.neverReady) ? Number.POSITIVE_INFINITY : readyAfterMs,
    diesAfterMs: happens(faults.diesAtStart) ? random.int(200) : exponential(random, faults.meanLifeMs),
    hidesTag: happens(faults.hidesTag),
    ignoresTerm: happens(faults.ignoresTerm),
    killTakesMs: happens(faults.hangsOnKill) ? random.int(3_000) : random.int(5),
    hangsFromMs: happens(faults.hangs) ? hangsFromMs : GOOD.hangsFromMs,
    prefills: drawPrefills(random, start.startedMs),
    stall: happens(faults.stalls) ? { fromMs: stallMs, toMs: stallMs + random.int(8_000) } : GOOD.stall,
  };
}

/** What is still to be found, or to be left alone, when no further fault happens. */
export function drawLastTrouble(random: Random, process: PretendProcess, nowMs: number): void {
  const draw = random.next();
  if (draw < 0.4) process.hangsFromMs = Math.min(process.hangsFromMs, nowMs + random.int(2_000));
  else if (draw < 0.75) process.prefills = [...process.prefills, prefillFrom(nowMs + 2_000, 10_000)];
}

function prefillFrom(fromMs: number, tookMs: number): Prefill {
  return { fromMs, toMs: fromMs + tookMs, promptTokens: (tookMs * PREFILL_TOKENS_PER_S) / 1_000 };
}

function drawPrefills(random: Random, startedMs: number): Prefill[] {
  const prefills: Prefill[] = [];
  let fromMs = startedMs + 200;
  for (let count = random.int(PREFILLS_MAX + 1); count > 0; count--) {
    fromMs += random.int(3_000);
    const tookMs = 500 + random.int(12_000);
    prefills.push(prefillFrom(fromMs, tookMs));
    fromMs += tookMs;
  }
  return prefills;
}

/** The prompt that is read at a moment; a hung engine goes on reading the one that it began with. */
export function prefillAt({ prefills, hangsFromMs }: PretendProcess, nowMs: number): Prefill | undefined {
  const atMs = Math.min(nowMs, hangsFromMs);
  return prefills.find(({ fromMs, toMs }) => fromMs <= atMs && atMs < toMs);
}

/** Steps until a moment, and when the last of them was. */
export function stepsUntil(process: PretendProcess, nowMs: number): { steps: number; lastStepMs: number } {
  const readyMs = process.startedMs + process.readyAfterMs;
  const endMs = Math.min(nowMs, process.hangsFromMs);
  if (endMs <= readyMs) return { steps: 0, lastStepMs: readyMs };
  const reading = prefillAt(process, nowMs);
  const lastStepMs = Math.max(readyMs, reading === undefined ? endMs : Math.min(endMs, reading.fromMs));
  return { steps: Math.floor((lastStepMs - readyMs) / STEP_MS), lastStepMs };
}

export function exponential(random: Random, mean: number): number {
  return mean === Number.POSITIVE_INFINITY ? mean : -Math.log(1 - random.next()) * mean;
}

/** Undefined: no answer at all. */
export function answerProbe(
  process: PretendProcess | undefined,
  rung: ReadinessRung,
  nowMs: number,
): { ok: boolean; detail: string } | undefined {
  if (process === undefined || !process.alive) return { ok: false, detail: 'connection refused' };
  if (nowMs >= process.stall.fromMs && nowMs < process.stall.toMs) return undefined;
  const portOpenMs = process.startedMs + Math.min(process.readyAfterMs, 40);
  if (nowMs < portOpenMs) return { ok: false, detail: 'connection refused' };
  const isReady = nowMs >= process.startedMs + process.readyAfterMs;
  if (rung === 'generation' && nowMs >= process.hangsFromMs) return undefined;
  return rung === 'port' || isReady
    ? { ok: true, detail: '' }
    : { ok: false, detail: 'HTTP 503 Loading model' };
}
