/**
 * Passive breaker, half-open probes and slow start of one replica, as a state machine: `stepHealth(state, event)`. It only says
 * how much traffic the replica gets; active checks and restarts are for `decide/recovery` (docs/adr/0020-active-checks.md).
 *
 * Only what the engine does wrong counts: a client's 4xx is an answer, "busy" (429, 503) and a late first token are load.
 * Invariants: the pool's floor is asked before each ejection (`ejection-floor.ts`); a half-open replica always lets a probe in
 * again, because its lease ends by itself.
 *
 * serving -(failuresMax in a row)-> ejected -(time)-> half-open -(probe good)-> serving, in slow
 * start; half-open -(probe bad)-> ejected, for longer. A new generation begins anew, in slow start.
 */
import type { AttemptFailure } from '../../../contract/facts.ts';

export interface HealthSettings {
  /** Failed attempts in a row that eject. */
  failuresMax: number;
  /** Times the number of ejections in a row. */
  ejectionBaseMs: number;
  ejectionMaxMs: number;
  /** Share of an ejection that chance adds or removes, so that probes do not march in step. */
  jitterRatio: number;
  /** A probe that has not ended by then counts as lost. */
  probeLeaseMs: number;
  /** Slow start: from `rampStartShare` to all of its share. */
  rampMs: number;
  rampStartShare: number;
}

/** Defaults of A9, ejections as Envoy has them. */
export const DEFAULT_HEALTH: HealthSettings = {
  failuresMax: 5,
  ejectionBaseMs: 5_000,
  ejectionMaxMs: 300_000,
  jitterRatio: 0.2,
  probeLeaseMs: 10_000,
  rampMs: 30_000,
  rampStartShare: 0.1,
};
/** Share of a replica that should be ejected and may not be, because of the floor, or that has just said that it is busy. */
const SUSPECT_SHARE = 0.1;
/** How long "busy" is believed. Who refuses at once has the fewest in flight, and would draw all requests to itself. */
const BUSY_MS = 1_000;
/** Lost probes in a row after which a half-open replica is ejected again. */
const LOST_PROBES_MAX = 3;
/** Serving well for this long forgives one ejection. */
const FORGIVE_MS = 60_000;

export type HealthState = {
  /** Failures in a row. */
  failures: number;
  /** Ejections that are not forgiven yet. */
  ejections: number;
} & (
  | { name: 'serving'; sinceMs: number; ramping: boolean; busyUntilMs: number }
  | { name: 'ejected'; untilMs: number }
  | { name: 'half-open'; lease: { id: number; untilMs: number } | null; lostProbes: number }
);

export type HealthEvent = { atMs: number } & (
  | { type: 'attemptSucceeded'; lease: number | null }
  /** The engine refused the request because of what the client sent. */
  | { type: 'clientErred'; lease: number | null }
  /** 429 or 503: it lives, and has no room. */
  | { type: 'engineBusy'; lease: number | null }
  | { type: 'attemptFailed'; failure: AttemptFailure; lease: number | null; mayEject: boolean; draw: number }
  /** The client left, or the attempt says nothing for another reason. */
  | { type: 'attemptAbandoned'; lease: number | null }
  | { type: 'probeTaken'; lease: number }
  | { type: 'generationStarted' }
  | { type: 'ticked'; draw: number }
);

/** A late first token is latency, and a replica that is out of rotation says nothing by being silent. */
const UNCOUNTED: readonly AttemptFailure[] = ['first-token-timeout', 'replica-suspect', 'given-up'];

export function startHealth(atMs: number): Extract<HealthState, { name: 'serving' }> {
  return {
    name: 'serving',
    failures: 0,
    ejections: 0,
    sinceMs: atMs,
    ramping: false,
    busyUntilMs: atMs,
  };
}

export function stepHealth(state: HealthState, event: HealthEvent, settings: HealthSettings): HealthState {
  const current = pass(state, event, settings);
  switch (event.type) {
    case 'ticked':
      return current;
    case 'generationStarted':
      return { ...startHealth(event.atMs), ramping: true };
    case 'probeTaken':
      if (current.name !== 'half-open' || current.lease !== null) return current;
      return { ...current, lease: { id: event.lease, untilMs: event.atMs + settings.probeLeaseMs } };
    case 'attemptSucceeded':
    case 'clientErred':
      return answered(current, event.lease, event.atMs);
    case 'engineBusy':
      if (current.name === 'serving') return { ...current, busyUntilMs: event.atMs + BUSY_MS };
      return isLease(current, event.lease) ? { ...current, lease: null } : current;
    case 'attemptAbandoned':
      return isLease(current, event.lease) ? { ...current, lease: null } : current;
    case 'attemptFailed':
      return attemptFailed(current, event, settings);
  }
}

/** What time alone does: ejections end, leases end, ejections are forgiven, slow starts are over. */
function pass(state: HealthState, event: HealthEvent, settings: HealthSettings): HealthState {
  const { atMs } = event;
  if (state.name === 'ejected' && atMs >= state.untilMs) {
    return { ...counts(state), name: 'half-open', lease: null, lostProbes: 0 };
  }
  if (state.name === 'half-open' && state.lease !== null && atMs >= state.lease.untilMs) {
    const lostProbes = state.lostProbes + 1;
    if (lostProbes < LOST_PROBES_MAX) return { ...state, lease: null, lostProbes };
    return ejected(state, atMs, 'draw' in event ? event.draw : 0.5, settings);
  }
  if (state.name === 'serving' && state.ejections > 0 && atMs - state.sinceMs >= FORGIVE_MS) {
    return { ...state, ejections: state.ejections - 1, sinceMs: atMs, ramping: false };
  }
  if (state.name === 'serving' && state.ramping && atMs - state.sinceMs >= settings.rampMs) {
    return { ...state, ramping: false };
  }
  return state;
}

/** An answer is an answer: what was counted is forgotten, and a probe has passed. */
function answered(state: HealthState, lease: number | null, atMs: number): HealthState {
  if (isLease(state, lease)) {
    const { ejections } = state;
    return { ...startHealth(atMs), ejections, ramping: true };
  }
  return state.failures === 0 ? state : { ...state, failures: 0 };
}

function attemptFailed(
  state: HealthState,
  event: Extract<HealthEvent, { type: 'attemptFailed' }>,
  settings: HealthSettings,
): HealthState {
  if (isLease(state, event.lease)) {
    if (UNCOUNTED.includes(event.failure)) return { ...state, lease: null };
    return ejected(state, event.atMs, event.draw, settings);
  }
  if (UNCOUNTED.includes(event.failure) || state.name !== 'serving') return state;
  const failed = { ...state, failures: Math.min(settings.failuresMax, state.failures + 1) };
  if (failed.failures < settings.failuresMax || !event.mayEject) return failed;
  return ejected(failed, event.atMs, event.draw, settings);
}

function ejected(state: HealthState, atMs: number, draw: number, settings: HealthSettings): HealthState {
  const ejections = state.ejections + 1;
  const plainMs = Math.min(settings.ejectionMaxMs, settings.ejectionBaseMs * ejections);
  const untilMs = atMs + plainMs * (1 + settings.jitterRatio * (2 * draw - 1));
  return { name: 'ejected', failures: 0, ejections, untilMs };
}

function counts({ failures, ejections }: HealthState) {
  return { failures, ejections };
}

function isLease(
  state: HealthState,
  lease: number | null,
): state is Extract<HealthState, { name: 'half-open' }> {
  return state.name === 'half-open' && lease !== null && state.lease?.id === lease;
}

/** Whether a request may go there: freely, as the probe (whoever takes it says `probeTaken`), or not at all. */
export function takes(state: HealthState, nowMs: number): 'freely' | 'probe' | 'nothing' {
  switch (state.name) {
    case 'serving':
      return 'freely';
    case 'ejected':
      return nowMs >= state.untilMs ? 'probe' : 'nothing';
    case 'half-open':
      return state.lease === null || nowMs >= state.lease.untilMs ? 'probe' : 'nothing';
  }
}

/**
 * How much of its window and weight counts, 0 to 1: less in slow start, with each failure in a row, while it is busy, and while
 * it should be ejected and may not be.
 */
export function healthShare(state: HealthState, nowMs: number, settings: HealthSettings): number {
  if (state.name !== 'serving') return 0;
  const trusted = trustedShare(state, nowMs, settings);
  if (!state.ramping) return trusted;
  const { rampMs, rampStartShare } = settings;
  const progress = Math.min(1, Math.max(0, (nowMs - state.sinceMs) / Math.max(1, rampMs)));
  return trusted * (rampStartShare + (1 - rampStartShare) * progress);
}

function trustedShare(
  { failures, busyUntilMs }: Extract<HealthState, { name: 'serving' }>,
  nowMs: number,
  settings: HealthSettings,
): number {
  const overdue = failures >= settings.failuresMax;
  if (overdue || nowMs < busyUntilMs) return SUSPECT_SHARE;
  return 1 / (1 + failures);
}
