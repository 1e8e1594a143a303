/** When the machine next wants to know the time, and what happens then. */
import type { Draft } from './draft.ts';
import { drainedAtMs, onDraining, onTerminating } from './ending.ts';
import type { FleetState } from './fleet-state.ts';
import { onProbed, onStartTimeout, probeIfDue } from './probing.ts';
import type { RecoverySettings } from './recovery-settings.ts';
import { onMendTimeout, onRemedyDue, remedyDueMs } from './remedy.ts';
import type { Replica } from './replica.ts';
import { onActingTimeout } from './spawning.ts';
import { startAgain } from './start.ts';

/** Monotonic ms; Infinity when nothing is waited for. */
export function nextDeadlineMs({ replicas, rolling, settings }: FleetState): number {
  let nextMs = Number.POSITIVE_INFINITY;
  for (const id in replicas) nextMs = Math.min(nextMs, dueAtMs(replicas[id] as Replica, settings));
  for (const pool in rolling) nextMs = Math.min(nextMs, rolling[pool]?.deadlineMs ?? nextMs);
  return nextMs;
}

export function dueAtMs(replica: Replica, { policy }: RecoverySettings): number {
  let dueMs = Math.min(phaseDueMs(replica), remedyDueMs(policy.verifyMs, replica));
  if (replica.writing !== null) dueMs = Math.min(dueMs, replica.writing.deadlineMs);
  if (replica.acting !== null) dueMs = Math.min(dueMs, replica.acting.deadlineMs);
  if (replica.probing !== null) dueMs = Math.min(dueMs, replica.probing.deadlineMs);
  return dueMs;
}

function phaseDueMs({ phase, probing, inFlight }: Replica): number {
  const never = Number.POSITIVE_INFINITY;
  switch (phase.name) {
    case 'climbing':
      return Math.min(phase.deadlineMs ?? never, probing === null ? phase.nextProbeAtMs : never);
    case 'serving':
    case 'ailing':
      return probing === null ? phase.nextProbeAtMs : never;
    case 'draining':
      return drainedAtMs(phase, inFlight);
    case 'terminating':
      return phase.deadlineMs ?? never;
    case 'waiting':
      return phase.untilMs;
    default:
      return never;
  }
}

/** Handles all that is due for one replica now. */
export function onDue(draft: Draft, replica: Replica): void {
  const { nowMs } = draft;
  if (replica.writing !== null && replica.writing.deadlineMs <= nowMs) replica.writing = null;
  if (replica.acting !== null && replica.acting.deadlineMs <= nowMs) {
    if (replica.acting.kind === 'mend') onMendTimeout(draft, replica);
    else onActingTimeout(draft, replica);
  }
  const { probing } = replica;
  if (probing !== null && probing.deadlineMs <= nowMs) {
    replica.probing = null;
    onProbed(draft, replica, probing.rung, { ok: false, detail: 'the probe was not answered', late: true });
  }
  onRemedyDue(draft, replica);
  const { phase } = replica;
  switch (phase.name) {
    case 'climbing':
      if (phase.deadlineMs !== null && phase.deadlineMs <= nowMs) return onStartTimeout(draft, replica);
      return probeIfDue(draft, replica);
    case 'serving':
    case 'ailing':
      return probeIfDue(draft, replica);
    case 'draining':
      return onDraining(draft, replica);
    case 'terminating':
      if (phase.deadlineMs !== null && phase.deadlineMs <= nowMs) onTerminating(draft, replica);
      return;
    case 'waiting':
      if (phase.untilMs <= nowMs) startAgain(draft, replica);
      return;
    default:
      return;
  }
}
