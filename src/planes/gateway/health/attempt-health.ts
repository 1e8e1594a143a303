/** What the end of an attempt says about the health of its replica, as workers tell the main thread. */
import type { AttemptFailure } from '../../../contract/facts.ts';
import type { Lease } from '../admission.ts';
import type { AttemptEnd } from '../attempt-end.ts';

/** `probe`: the id of the probe that the attempt was; null: it was none. */
export type HealthReport = { slot: number; generation: number; probe: number | null } & (
  | { type: 'probeTaken' | 'attemptSucceeded' | 'clientErred' | 'engineBusy' | 'attemptAbandoned' }
  | { type: 'attemptFailed'; failure: AttemptFailure }
);

const BUSY_STATUSES = [429, 503];

export function healthReport({ replica, probe }: Lease, end: AttemptEnd): HealthReport {
  const about = { slot: replica.slot, generation: replica.view.generation, probe };
  switch (end.kind) {
    case 'streamed':
      return { ...about, type: 'attemptSucceeded' };
    case 'cancelled':
      return { ...about, type: 'attemptAbandoned' };
    case 'answered':
      if (BUSY_STATUSES.includes(end.status)) return { ...about, type: 'engineBusy' };
      return { ...about, type: end.status < 400 ? 'attemptSucceeded' : 'clientErred' };
    case 'failed':
      if (end.answer !== null && BUSY_STATUSES.includes(end.answer.status))
        return { ...about, type: 'engineBusy' };
      return { ...about, type: 'attemptFailed', failure: end.failure };
  }
}

/** Most attempts end well at replicas that are well, and nobody needs to know. */
export function matters({ type, probe }: HealthReport, reportsSuccess: boolean): boolean {
  if (probe !== null) return true;
  if (type === 'attemptAbandoned') return false;
  return reportsSuccess || (type !== 'attemptSucceeded' && type !== 'clientErred');
}
