/** What the recovery machine says about an incident, as the fact that everybody reads. */
import type { Fact } from '../../contract/facts.ts';
import type { IncidentNews } from '../../decide/recovery/recovery-effect.ts';
import type { Moment } from './record-times.ts';

/** `lastGoodMs`: monotonic time of the last sign of life; null: not known. */
export function incidentFact(
  replica: string,
  news: IncidentNews,
  { wallMs: atMs, monotonicMs }: Moment,
  lastGoodMs: number | null,
): Fact {
  switch (news.kind) {
    case 'opened': {
      const { kind, ...said } = news;
      const lastGoodAtMs = lastGoodMs === null ? null : Math.round(lastGoodMs - monotonicMs + atMs);
      return { type: 'incidentOpened', atMs, replica, ...said, lastGoodAtMs };
    }
    case 'diagnosed': {
      const { kind, ...said } = news;
      return { type: 'incidentDiagnosed', atMs, replica, ...said };
    }
    case 'remedyStarted': {
      const { kind, ...said } = news;
      return { type: 'remedyStarted', atMs, replica, ...said };
    }
    case 'remedyEnded': {
      const { kind, ...said } = news;
      return { type: 'remedyEnded', atMs, replica, ...said };
    }
    case 'closed': {
      const { kind, ...said } = news;
      return { type: 'incidentClosed', atMs, replica, ...said };
    }
  }
}
