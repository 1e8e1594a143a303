/** The phases in which a replica is probed, and how each begins. */
import type { Draft } from './draft.ts';
import { closeIncident } from './incident.ts';
import type { Replica } from './replica.ts';

/** Starts the readiness ladder from the bottom. */
export function climb(draft: Draft, replica: Replica, reason: string, sinceMs = draft.nowMs): void {
  const deadlineMs = climbDeadlineMs(draft, replica, sinceMs);
  draft.enter(
    replica,
    { name: 'climbing', rung: 'port', sinceMs, deadlineMs, nextProbeAtMs: draft.nowMs },
    reason,
  );
}

/**
 * A watched replica has no deadline: nobody waits for it. One that was adopted late in its start gets the time for one more
 * climb at least.
 */
export function climbDeadlineMs(draft: Draft, { spec }: Replica, sinceMs: number): number | null {
  if (!spec.managed) return null;
  const { probeTimeoutMs, generationTimeoutMs } = draft.settings;
  const oneClimbMs = sinceMs === draft.nowMs ? 0 : 3 * probeTimeoutMs + generationTimeoutMs;
  return Math.max(sinceMs + spec.startTimeoutMs, draft.nowMs + oneClimbMs);
}

export function serve(draft: Draft, replica: Replica, reason: string): void {
  const { nowMs } = draft;
  const nextProbeAtMs = nextHealthProbeMs(draft);
  closeIncident(draft, replica, 'recovered', reason);
  replica.provenHash = replica.startedHash;
  draft.enter(
    replica,
    { name: 'serving', readySinceMs: nowMs, failedProbes: 0, probedAtMs: nowMs, nextProbeAtMs },
    reason,
  );
}

/**
 * A process of a former supervisor that was ready stays in rotation and is looked at right away; the first failed probe
 * takes it out, since nobody knows how long it has been failing.
 */
export function serveOn(draft: Draft, replica: Replica, reason: string, readySinceMs = draft.nowMs): void {
  const { nowMs } = draft;
  const failedProbes = draft.settings.probeFailuresMax - 1;
  draft.enter(
    replica,
    { name: 'serving', readySinceMs, failedProbes, probedAtMs: nowMs, nextProbeAtMs: nowMs },
    reason,
  );
}

export function ail(
  draft: Draft,
  replica: Replica,
  reason: string,
  { served, late }: { served: boolean; late: boolean } = { served: false, late: false },
): void {
  const nextProbeAtMs = nextHealthProbeMs(draft);
  draft.enter(replica, { name: 'ailing', rung: 'health', nextProbeAtMs, served, late }, reason);
}

/** Spread by a tenth, so that the probes of a fleet do not fall together. */
export function nextHealthProbeMs(draft: Draft): number {
  return draft.nowMs + Math.round(draft.settings.probeIntervalMs * (0.9 + 0.2 * draft.draw()));
}
