/**
 * Probes and what follows from them: the climb from an open port to a generated token, the health of what takes traffic,
 * and the way back into rotation. A probe never ends a process that was ready once: a busy engine answers late, too.
 */
import { READINESS_RUNGS, type ReadinessRung } from '../../contract/ports/engine-driver.ts';
import type { Draft } from './draft.ts';
import { terminate } from './ending.ts';
import { ail, nextHealthProbeMs, serve } from './entering.ts';
import { spanText } from './failing.ts';
import { noteFault } from './incident.ts';
import type { Replica } from './replica.ts';
import { unknownVerdict } from './verdict.ts';

export interface ProbeAnswer {
  ok: boolean;
  detail: string;
  url?: string;
  busy?: boolean;
  late?: boolean;
}

/** Sends the probe that is due; at most one per replica is under way. */
export function probeIfDue(draft: Draft, replica: Replica): void {
  const { phase } = replica;
  if (replica.probing !== null) return;
  if (phase.name !== 'climbing' && phase.name !== 'serving' && phase.name !== 'ailing') return;
  if (phase.nextProbeAtMs > draft.nowMs) return;
  const rung: ReadinessRung = phase.name === 'serving' ? 'health' : phase.rung;
  const { probeTimeoutMs, generationTimeoutMs, answerSlackMs } = draft.settings;
  const timeoutMs = rung === 'generation' ? generationTimeoutMs : probeTimeoutMs;
  const { id } = replica.spec;
  const order = { type: 'probe', replica: id, generation: replica.generation, rung, timeoutMs } as const;
  replica.probing = { ...draft.order(order, draft.nowMs + timeoutMs + answerSlackMs), rung };
  if (phase.name === 'serving') replica.phase = { ...phase, probedAtMs: draft.nowMs };
}

/** `rung` is what was asked; the replica may have moved on since. */
export function onProbed(draft: Draft, replica: Replica, rung: ReadinessRung, answer: ProbeAnswer): void {
  switch (replica.phase.name) {
    case 'climbing':
      return answer.ok ? climbOn(draft, replica, rung, answer) : slip(draft, replica, rung, answer);
    case 'serving':
      return judgeHealth(draft, replica, answer);
    case 'ailing':
      return recover(draft, replica, rung, answer);
    default:
      return;
  }
}

/** A gateway's attempt failed: look now, unless somebody has just looked. */
export function onAttemptFailed(draft: Draft, replica: Replica): void {
  if (replica.phase.name !== 'serving') return;
  const soonestMs = Math.max(draft.nowMs, replica.phase.probedAtMs + draft.settings.reprobeMs);
  if (replica.phase.nextProbeAtMs > soonestMs) replica.phase = { ...replica.phase, nextProbeAtMs: soonestMs };
}

/** The time from start to ready is over. */
export function onStartTimeout(draft: Draft, replica: Replica): void {
  if (replica.phase.name !== 'climbing') return;
  const spent = spanText(draft.nowMs - replica.phase.sinceMs);
  const summary = `not ready after ${spent}; ${replica.reason}`;
  replica.goal = { kind: 'fail', failure: 'not-ready', summary };
  replica.lastIncident = { atMs: draft.nowMs, summary };
  terminate(draft, replica, summary);
}

function climbOn(draft: Draft, replica: Replica, rung: ReadinessRung, answer: ProbeAnswer): void {
  if (replica.phase.name !== 'climbing') return;
  if (answer.url !== undefined && answer.url !== replica.url) {
    replica.url = answer.url;
    replica.unwritten = true;
    draft.fleetChanged();
  }
  const next = rungAfter(rung);
  if (next === undefined) return serve(draft, replica, 'all probes passed');
  replica.phase = { ...replica.phase, rung: next, nextProbeAtMs: draft.nowMs };
  replica.reason = `${rung} passed, ${next} comes next`;
}

function slip(draft: Draft, replica: Replica, rung: ReadinessRung, { detail }: ProbeAnswer): void {
  if (replica.phase.name !== 'climbing') return;
  const reason = `${rung}: ${detail}`;
  if (!replica.spec.managed) return ail(draft, replica, reason);
  replica.reason = reason;
  const pauseMs = pauseBetweenTries(draft.nowMs - replica.phase.sinceMs);
  replica.phase = { ...replica.phase, nextProbeAtMs: draft.nowMs + pauseMs };
}

/** Small engines are ready in a second, large ones in minutes. */
function pauseBetweenTries(sinceStartMs: number): number {
  if (sinceStartMs < 5_000) return 50;
  return sinceStartMs < 60_000 ? 250 : 1_000;
}

function judgeHealth(draft: Draft, replica: Replica, answer: ProbeAnswer): void {
  const { ok, detail, busy = false, late = false } = answer;
  if (replica.phase.name !== 'serving') return;
  const failedProbes = ok ? 0 : replica.phase.failedProbes + 1;
  const { probeFailuresMax } = draft.settings;
  if (failedProbes >= probeFailuresMax) {
    ail(draft, replica, `health: ${detail}`, { served: true, late });
    noteFault(draft, replica, unknownVerdict(`its health probes fail: ${detail}`));
    return;
  }
  replica.reason = ok
    ? busy
      ? detail
      : 'all probes passed'
    : `health probe failed, ${failedProbes} of ${probeFailuresMax}: ${detail}`;
  replica.phase = { ...replica.phase, failedProbes, nextProbeAtMs: nextHealthProbeMs(draft) };
}

function recover(draft: Draft, replica: Replica, rung: ReadinessRung, answer: ProbeAnswer): void {
  if (replica.phase.name !== 'ailing') return;
  const { ok, detail } = answer;
  if (!ok) {
    const late = replica.phase.served && answer.late === true;
    if (late !== replica.phase.late) draft.fleetChanged();
    replica.reason = `${rung}: ${detail}`;
    replica.phase = { ...replica.phase, rung: 'health', nextProbeAtMs: nextHealthProbeMs(draft), late };
    return;
  }
  const next = rungAfter(rung);
  if (next === undefined) return serve(draft, replica, 'all probes pass again');
  replica.phase = { ...replica.phase, rung: next, nextProbeAtMs: draft.nowMs };
}

function rungAfter(rung: ReadinessRung): ReadinessRung | undefined {
  return READINESS_RUNGS[READINESS_RUNGS.indexOf(rung) + 1];
}
