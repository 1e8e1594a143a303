/**
 * Records hold wall-clock times, the machine its own monotonic ones. Both directions go by ages, so a record reads the same
 * after a reboot; a record from the future counts as from now.
 */
import type { RecordedIncident, ReplicaRecord } from '../../contract/ports/replica-records.ts';
import { NO_ADJUSTMENT } from '../../contract/remedies.ts';
import type { ReplicaMemory } from '../../decide/recovery/replica-memory.ts';

export interface Moment {
  wallMs: number;
  monotonicMs: number;
}

export function toRecord(memory: ReplicaMemory, now: Moment): ReplicaRecord {
  const wall = (atMs: number) => Math.round(atMs - now.monotonicMs + now.wallMs);
  const { sinceMs, failures, lastIncident, ladders, incident, ...same } = memory;
  return {
    ...same,
    stateSinceAtMs: wall(sinceMs),
    failures: failures.map(({ atMs, kind, restartAtMs }) => ({
      atMs: wall(atMs),
      kind,
      restartAtMs: wall(restartAtMs),
    })),
    lastIncident: lastIncident === null ? null : { ...lastIncident, atMs: wall(lastIncident.atMs) },
    ladders: ladders.map((place) => ({ ...place, lastAtMs: wall(place.lastAtMs) })),
    incident: incidentAt(incident, wall),
  };
}

/** `waitMaxMs`: the longest that a restart may lie ahead. */
export function toMemory(record: ReplicaRecord, now: Moment, waitMaxMs: number): ReplicaMemory {
  const monotonic = (atMs: number) => Math.min(now.monotonicMs, atMs - now.wallMs + now.monotonicMs);
  const planned = (atMs: number) =>
    Math.min(now.monotonicMs + waitMaxMs, atMs - now.wallMs + now.monotonicMs);
  const { stateSinceAtMs, failures, lastIncident, ladders = [], incident = null, ...same } = record;
  return {
    ...same,
    sinceMs: monotonic(stateSinceAtMs),
    failures: failures.map(({ atMs, kind, restartAtMs }) => ({
      atMs: monotonic(atMs),
      kind,
      restartAtMs: planned(restartAtMs),
    })),
    lastIncident: lastIncident === null ? null : { ...lastIncident, atMs: monotonic(lastIncident.atMs) },
    failing: record.failing ?? null,
    provenHash: record.provenHash ?? '',
    standby: record.standby ?? false,
    adjustment: record.adjustment ?? NO_ADJUSTMENT,
    ladders: ladders.map((place) => ({ ...place, lastAtMs: monotonic(place.lastAtMs) })),
    incident: incidentAt(incident, monotonic),
    windowShare: record.windowShare ?? 1,
  };
}

function incidentAt(
  incident: RecordedIncident | null,
  at: (atMs: number) => number,
): RecordedIncident | null {
  if (incident === null) return null;
  const { remedy } = incident;
  return {
    ...incident,
    openedAtMs: at(incident.openedAtMs),
    remedy: remedy === null ? null : { ...remedy, startedAtMs: at(remedy.startedAtMs) },
  };
}
