/**
 * How many requests that may wait (lines of batches) a replica carries beside those of clients, so that clients are hardly
 * slowed down. What is compared is their pace, time per unit of answer, alone and beside filler: each replica is its own
 * measure, whatever model and hardware it is. Pure; the gateway feeds it each answer of a client and reads the ceiling.
 *
 * Slowing down grows with the filler, so a ceiling that is too high is cut in proportion; one that is not is raised slowly. The
 * pace alone gets old while filler is always there: then none is taken for a moment, and clients are listened to.
 */
export interface PaceSample {
  nowMs: number;
  /** Time on the replica. */
  serviceMs: number;
  /** Tokens, or bytes: the same for all samples of one state. */
  units: number;
  /** Requests that may wait beside it: the more of those at its start and at its end. */
  filler: number;
}

export interface CeilingState {
  ceiling: number;
  /** No filler is taken until then, so that the pace alone is seen. */
  listenUntilMs: number;
  alone: Pace & { atMs: number };
  beside: Pace;
  /** When the last listening began. */
  listenedAtMs: number;
}

/** Sums over answers; the older ones of `alone` fade. */
interface Pace {
  ms: number;
  units: number;
  answers: number;
}

/** Share by which clients may be slower beside filler than alone. */
export const SLOWDOWN_MAX = 0.05;
/** Below this the ceiling is raised. */
const SLOWDOWN_LOW = 0.03;
/** Where nothing was measured yet. */
export const CEILING_START = 8;
/** Answers that are looked at together. */
const BESIDE_ANSWERS = 16;
const ALONE_ANSWERS_MIN = 8;
/** By each answer the former ones count for so much less. */
const ALONE_FADES_BY = 0.97;
const ALONE_OLD_MS = 30_000;
const LISTEN_MS = 2_000;
/** Longest share of time that is spent on listening: once in so many milliseconds. */
const LISTEN_EVERY_MS = 30_000;

const NOTHING: Pace = { ms: 0, units: 0, answers: 0 };

export function newCeiling(): CeilingState {
  return {
    ceiling: CEILING_START,
    listenUntilMs: 0,
    alone: { ...NOTHING, atMs: Number.NEGATIVE_INFINITY },
    beside: NOTHING,
    listenedAtMs: Number.NEGATIVE_INFINITY,
  };
}

/** `most`: as many as the replica could carry at all. */
export function observePace(state: CeilingState, sample: PaceSample, most: number): CeilingState {
  if (sample.units <= 0) return state;
  if (sample.filler === 0) return { ...state, alone: faded(state.alone, sample) };
  const beside = added(state.beside, sample);
  const { alone } = state;
  const known = alone.answers >= ALONE_ANSWERS_MIN;
  const old = sample.nowMs - alone.atMs > ALONE_OLD_MS;
  if ((!known || old) && sample.nowMs - state.listenedAtMs > LISTEN_EVERY_MS) {
    const listenUntilMs = sample.nowMs + LISTEN_MS;
    return { ...state, beside: NOTHING, listenUntilMs, listenedAtMs: sample.nowMs };
  }
  if (!known || beside.answers < BESIDE_ANSWERS) return { ...state, beside };
  const slowdown = beside.ms / beside.units / (alone.ms / alone.units) - 1;
  return { ...state, beside: NOTHING, ceiling: nextCeiling(state.ceiling, slowdown, most) };
}

function nextCeiling(ceiling: number, slowdown: number, most: number): number {
  if (slowdown > SLOWDOWN_MAX)
    return Math.max(1, Math.floor(ceiling * Math.max(0.5, SLOWDOWN_MAX / slowdown)));
  if (slowdown < SLOWDOWN_LOW)
    return Math.min(Math.max(1, most), ceiling + Math.max(1, Math.round(ceiling / 8)));
  return ceiling;
}

function added(pace: Pace, { serviceMs, units }: PaceSample): Pace {
  return { ms: pace.ms + serviceMs, units: pace.units + units, answers: pace.answers + 1 };
}

function faded(alone: CeilingState['alone'], { nowMs, serviceMs, units }: PaceSample): CeilingState['alone'] {
  return {
    ms: alone.ms * ALONE_FADES_BY + serviceMs,
    units: alone.units * ALONE_FADES_BY + units,
    answers: alone.answers + 1,
    atMs: nowMs,
  };
}
