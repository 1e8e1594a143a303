/** A step in the making: copies of all that the state holds, to be changed freely; records themselves are replaced, never changed. */
import { SUSPECTS_MAX, type SuspectRecord } from '../../contract/suspects.ts';
import type {
  Ask,
  CrashedRun,
  FleetNow,
  SuspectState,
  SuspectStep,
  SuspectTimes,
  Verdict,
} from './suspect-state.ts';

/** Lives of replicas that are remembered. */
const RUNS_MAX = 64;
export const ERRORED_MAX = 256;

export class SuspectDraft {
  readonly records: Map<string, SuspectRecord>;
  readonly runs: Map<string, CrashedRun>;
  readonly asks: Map<number, Ask>;
  readonly isolation: Map<string, string>;
  readonly passed: Set<string>;
  errored: SuspectState['errored'];
  readonly fleet: FleetNow;
  readonly times: SuspectTimes;
  readonly nowMs: number;
  readonly #answers: { ask: number; verdict: Verdict }[] = [];

  constructor(
    state: SuspectState,
    { fleet, times, nowMs }: { fleet: FleetNow; times: SuspectTimes; nowMs: number },
  ) {
    this.records = new Map(state.records);
    this.runs = new Map(state.runs);
    this.asks = new Map(state.asks);
    this.isolation = new Map(state.isolation);
    this.passed = new Set(state.passed);
    this.errored = state.errored;
    this.fleet = fleet;
    this.times = times;
    this.nowMs = nowMs;
  }

  answer(ask: Ask, verdict: Verdict): void {
    this.#answers.push({ ask: ask.id, verdict });
    if (verdict.kind !== 'place') {
      this.asks.delete(ask.id);
      return;
    }
    const { replica, generation, alone } = verdict;
    const permit = { replica, generation, alone, grantedMs: this.nowMs, placedMs: null, tokenMs: null };
    this.asks.set(ask.id, { ...ask, permit });
  }

  change(record: SuspectRecord, change: Partial<SuspectRecord>): SuspectRecord {
    const changed = { ...record, ...change, changedAtMs: this.nowMs };
    this.records.set(record.fingerprint, changed);
    return changed;
  }

  /** It is harmless. */
  release(record: SuspectRecord): void {
    this.change(record, { status: 'released', expiresAtMs: this.nowMs + this.times.suspectTtlMs });
    this.passed.delete(record.fingerprint);
  }

  done(): SuspectStep {
    evictRecords(this.records);
    for (const key of this.runs.keys()) if (this.runs.size > RUNS_MAX) this.runs.delete(key);
    for (const fingerprint of this.passed)
      if (!this.records.has(fingerprint)) this.passed.delete(fingerprint);
    const { records, runs, asks, isolation, passed, errored } = this;
    return { state: { records, runs, asks, isolation, passed, errored }, answers: this.#answers };
  }
}

/** What is least worth knowing goes first, of that the oldest. */
const WORTH: Record<SuspectRecord['status'], number> = {
  released: 0,
  suspected: 1,
  accused: 2,
  held: 3,
  convicted: 4,
};

function evictRecords(records: Map<string, SuspectRecord>): void {
  if (records.size <= SUSPECTS_MAX) return;
  const order = [...records.values()].sort(
    (a, b) => WORTH[a.status] - WORTH[b.status] || a.changedAtMs - b.changedAtMs,
  );
  for (const { fingerprint } of order.slice(0, records.size - SUSPECTS_MAX)) records.delete(fingerprint);
}
