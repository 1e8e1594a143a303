/** How long it took to find, to isolate and to heal. A clock that was set back gives 0, never a negative span. */
import type { IncidentTimes } from '../../contract/incident-report.ts';
import type { Incident } from '../../contract/incidents.ts';

export function timesOf({
  state,
  lastGoodAtMs,
  openedAtMs,
  isolatedAtMs,
  closedAtMs,
}: Pick<Incident, 'state' | 'lastGoodAtMs' | 'openedAtMs' | 'isolatedAtMs' | 'closedAtMs'>): IncidentTimes {
  const since = (fromMs: number | null, toMs: number | null) =>
    fromMs === null || toMs === null ? null : Math.max(0, toMs - fromMs);
  return {
    detectMs: since(lastGoodAtMs, openedAtMs),
    isolateMs: since(openedAtMs, isolatedAtMs),
    recoverMs: state === 'recovered' ? since(openedAtMs, closedAtMs) : null,
  };
}
