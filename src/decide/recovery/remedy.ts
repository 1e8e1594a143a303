/**
 * From a verdict to a remedy. A fault of a living engine is answered here; what failed and is gone is answered in `failing.ts`,
 * by the same ladders. Invariants: one remedy at a time; nothing that makes progress is taken out below the floor; a verdict about
 * a former generation changes nothing.
 */
import type { PolicyClass } from '../../contract/recovery-policy.ts';
import { REMEDIES, type Remedy } from '../../contract/remedies.ts';
import { adjust, capture } from './between-lives.ts';
import type { Draft } from './draft.ts';
import { end, kill, terminate } from './ending.ts';
import { ail } from './entering.ts';
import { beginTrial, closeIncident, endTrial, noteFault } from './incident.ts';
import { type Choice, chooseStep, stillServes } from './ladder.ts';
import type { Replica } from './replica.ts';
import { situationOf } from './situation.ts';
import type { Verdict } from './verdict.ts';

/** Tried beside the traffic; they have helped when the signs are gone. */
const BESIDE_TRAFFIC: ReadonlySet<Remedy> = new Set<Remedy>([
  'observe',
  'page',
  'shed_load',
  'abort_request',
  'clear_caches',
]);
const MEND_VERIFY_MS = 8_000;
/** A window is never shed below this share. */
const WINDOW_SHARE_MIN = 1 / 16;

export function onDiagnosed(draft: Draft, replica: Replica, verdict: Verdict): void {
  const { name } = replica.phase;
  if (replica.goal.kind !== 'run' || (name !== 'serving' && name !== 'ailing')) return;
  if (verdict.class === 'none') return onClear(draft, replica);
  replica.growAtMs = null;
  const trial = replica.incident?.remedy ?? null;
  if (trial === null) return treat(draft, replica, verdict);
  const isSame = replica.incident?.class === verdict.class;
  if (isSame ? !isVerified(draft, trial) : !givesWay(draft, replica, verdict)) return;
  // What is watched already, and all that is left is to watch it.
  if (isSame && isPassive(trial.remedy)) {
    const next = chooseFor(draft, replica, verdict)?.remedy ?? 'page';
    if (isPassive(next)) return;
  }
  if (isSame) endTrial(draft, replica, false, 'the signs are still there');
  treat(draft, replica, verdict);
}

function isVerified(draft: Draft, trial: { remedy: Remedy; startedAtMs: number }): boolean {
  return draft.nowMs >= trial.startedAtMs + verificationMs(draft, trial.remedy);
}

/**
 * Whether the remedy under way is left for another fault. For one that nobody understands it never is. What takes the engine out, or
 * asks it for something, is finished; what lies beside the traffic is left at once for an engine that does no work any more, else
 * when it had its time.
 */
function givesWay(draft: Draft, { incident, acting }: Replica, verdict: Verdict): boolean {
  const trial = incident?.remedy ?? null;
  if (trial === null || verdict.class === 'unknown' || verdict.class === 'none') return trial === null;
  if (!BESIDE_TRAFFIC.has(trial.remedy) || acting?.kind === 'mend') return false;
  return isPassive(trial.remedy) || !stillServes(verdict.class) || isVerified(draft, trial);
}

/** What is done to a living engine in rotation shows at once, if it helps. */
function verificationMs({ settings }: Draft, remedy: Remedy): number {
  const { verifyMs } = settings.policy;
  const isMend = remedy === 'abort_request' || remedy === 'clear_caches';
  return isMend ? Math.min(verifyMs, MEND_VERIFY_MS) : verifyMs;
}

function treat(draft: Draft, replica: Replica, verdict: Verdict): void {
  const found = noteFault(draft, replica, verdict);
  const choice = chooseFor(draft, replica, { ...verdict, class: found.class });
  if (choice === null) return watchOn(draft, replica, verdict);
  const because = [verdict.summary, ...choice.skipped].join('; ');
  if (!draft.settings.policy.automatic && !isPassive(choice.remedy))
    return watchOn(draft, replica, verdict, `would be answered by ${choice.remedy}`);
  beginTrial(draft, replica, { remedy: choice.remedy, step: choice.step, because });
  act(draft, replica, choice.remedy, verdict.summary);
}

function chooseFor(draft: Draft, replica: Replica, verdict: Verdict): Choice | null {
  const fault = verdict.class as PolicyClass;
  const situation = situationOf(draft, replica, {
    class: fault,
    confidence: verdict.confidence,
    gone: false,
  });
  return chooseStep(draft.settings.policy, replica, situation);
}

/** Nothing can be done, or nothing may be: people are told. An engine elsewhere that does no work gets none. */
function watchOn(draft: Draft, replica: Replica, verdict: Verdict, but?: string): void {
  const because = but === undefined ? verdict.summary : `${verdict.summary}; ${but}`;
  beginTrial(draft, replica, { remedy: 'page', step: 1, because, counts: false });
  draft.tell('page', replica.spec.id, because);
  const isSure = verdict.confidence >= draft.settings.policy.confidenceMin;
  if (!replica.spec.managed && isSure && !stillServes(verdict.class as PolicyClass))
    isolate(draft, replica, verdict);
}

function isolate(draft: Draft, replica: Replica, { summary }: Verdict): void {
  if (replica.phase.name === 'serving') ail(draft, replica, summary, { served: true, late: false });
}

function isPassive(remedy: Remedy): boolean {
  return remedy === 'observe' || remedy === 'page';
}

function act(draft: Draft, replica: Replica, remedy: Remedy, summary: string): void {
  switch (remedy) {
    case 'observe':
      return;
    case 'page':
      return draft.tell('page', replica.spec.id, summary);
    case 'shed_load':
      replica.windowShare = Math.max(WINDOW_SHARE_MIN, replica.windowShare / 2);
      return draft.fleetChanged();
    case 'abort_request':
    case 'clear_caches':
      return mend(draft, replica, remedy);
    case 'clear_queue_and_reset': {
      draft.enter(replica, { name: 'mending', remedy }, summary);
      return mend(draft, replica, remedy);
    }
    case 'drain':
    case 'safe_shutdown':
      capture(draft, replica);
      if (remedy === 'safe_shutdown') draft.tell('page', replica.spec.id, `is shut down: ${summary}`);
      return end(draft, replica, { kind: 'stop' }, summary, true);
    case 'quarantine':
      replica.goal = { kind: 'quarantine', summary };
      return endIll(draft, replica, summary);
    case 'restart_process':
    case 'restart_safer':
    case 'fallback_path':
    case 'rebuild_elsewhere':
    case 'move_to_standby':
      adjust(draft, replica, remedy);
      replica.goal = { kind: 'fail', failure: 'unhealthy', summary };
      return endIll(draft, replica, summary);
  }
}

/** The evidence is taken first. What still serves finishes what runs; what makes no step cannot end in order: it is killed. */
function endIll(draft: Draft, replica: Replica, summary: string): void {
  capture(draft, replica);
  const { class: fault } = replica.incident ?? { class: 'unknown' as const };
  if (stillServes(fault)) return drainIll(draft, replica, summary);
  terminate(draft, replica, summary);
  kill(draft, replica);
}

function drainIll(draft: Draft, replica: Replica, summary: string): void {
  const { settleMs, drainTimeoutMs } = draft.settings;
  replica.inFlight = null;
  const until = { settledAtMs: draft.nowMs + settleMs, deadlineMs: draft.nowMs + drainTimeoutMs };
  draft.enter(replica, { name: 'draining', ...until }, summary);
}

function mend(
  draft: Draft,
  replica: Replica,
  remedy: Extract<Remedy, 'abort_request' | 'clear_caches' | 'clear_queue_and_reset'>,
): void {
  const { verifyMs } = draft.settings.policy;
  const order = {
    type: 'mend',
    replica: replica.spec.id,
    generation: replica.generation,
    remedy,
    timeoutMs: verifyMs,
  } as const;
  const deadlineMs = draft.nowMs + verifyMs + draft.settings.answerSlackMs;
  replica.acting = { ...draft.order(order, deadlineMs), kind: 'mend' };
}

/** The engine has answered: the canary is next, or the next step of the ladder. */
export function onMended(
  draft: Draft,
  replica: Replica,
  { ok, detail }: { ok: boolean; detail: string },
): void {
  const { phase } = replica;
  if (phase.name === 'mending') {
    if (!ok) return climbLadder(draft, replica, detail);
    ail(draft, replica, `${phase.remedy}: ${detail}; its canary is next`, { served: false, late: false });
    if (replica.phase.name === 'ailing') replica.phase = { ...replica.phase, nextProbeAtMs: draft.nowMs };
  } else if (!ok && phase.name === 'serving') climbLadder(draft, replica, detail);
}

/** The engine did not answer the call at all. */
export function onMendTimeout(draft: Draft, replica: Replica): void {
  replica.acting = null;
  onMended(draft, replica, { ok: false, detail: 'the engine did not answer' });
}

/** A remedy did not help, and the engine lives: what comes next is tried at once. */
function climbLadder(draft: Draft, replica: Replica, detail: string): void {
  const { incident } = replica;
  if (incident === null || incident.remedy === null) return;
  endTrial(draft, replica, false, detail);
  if (replica.phase.name === 'mending') ail(draft, replica, detail, { served: false, late: false });
  const { class: fault, summary } = incident;
  const diagnosis = { class: fault, confidence: 1, evidence: [], ruledOut: [] };
  treat(draft, replica, { class: fault, confidence: 1, summary: `${summary}; ${detail}`, diagnosis });
}

/** A remedy that took the engine out of rotation must have shown by its canary, within its time, that it helped. */
export function onRemedyDue(draft: Draft, replica: Replica): void {
  const dueMs = remedyDueMs(draft.settings.policy.verifyMs, replica);
  if (dueMs > draft.nowMs) return;
  if (replica.acting?.kind === 'mend') replica.acting = null;
  climbLadder(draft, replica, 'the canary did not pass in time');
}

export function remedyDueMs(verifyMs: number, { incident, phase }: Replica): number {
  const trial = incident?.remedy ?? null;
  if (trial === null || !REMEDIES[trial.remedy].outOfRotation || REMEDIES[trial.remedy].endsProcess)
    return Number.POSITIVE_INFINITY;
  const isWaiting = phase.name === 'mending' || phase.name === 'ailing';
  return isWaiting ? trial.startedAtMs + verifyMs : Number.POSITIVE_INFINITY;
}

/** Nothing speaks of a fault any more. */
function onClear(draft: Draft, replica: Replica): void {
  const { incident, phase, windowShare, growAtMs } = replica;
  const trial = incident?.remedy ?? null;
  if (phase.name === 'serving' && incident !== null && (trial === null || BESIDE_TRAFFIC.has(trial.remedy)))
    if (replica.acting?.kind !== 'mend') closeIncident(draft, replica, 'recovered', 'the signs are gone');
  if (windowShare === 1) return;
  if (growAtMs === null) replica.growAtMs = draft.nowMs + draft.settings.growMs;
  else if (draft.nowMs >= growAtMs) {
    replica.windowShare = Math.min(1, windowShare * 2);
    replica.growAtMs = replica.windowShare === 1 ? null : draft.nowMs + draft.settings.growMs;
    replica.unwritten = replica.spec.managed && !replica.stray;
    draft.fleetChanged();
  }
}
