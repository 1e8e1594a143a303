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
  /** Answers no probe in [from, to). */
  stall: { fromMs: number; toMs: number };
}

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
  return {
    ...base,
    readyAfterMs: happens(faults.neverReady) ? Number.POSITIVE_INFINITY : 50 + random.int(1_500),
    diesAfterMs: happens(faults.diesAtStart) ? random.int(200) : exponential(random, faults.meanLifeMs),
    hidesTag: happens(faults.hidesTag),
    ignoresTerm: happens(faults.ignoresTerm),
    killTakesMs: happens(faults.hangsOnKill) ? random.int(3_000) : random.int(5),
    stall: happens(faults.stalls) ? { fromMs: stallMs, toMs: stallMs + random.int(8_000) } : GOOD.stall,
  };
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
  return rung === 'port' || isReady
    ? { ok: true, detail: '' }
    : { ok: false, detail: 'HTTP 503 Loading model' };
}
