/** The decider of suspect requests: `stepSuspects(state, event)`, pure. The gateway's main thread is the only caller outside tests. */
import type { SuspectRecord } from '../../contract/suspects.ts';
import { confirmRuns, noteCrash } from './crashes.ts';
import { ERRORED_MAX, SuspectDraft } from './draft.ts';
import { settle } from './settle.ts';
import {
  type Ask,
  type FleetNow,
  runKey,
  type SuspectEvent,
  type SuspectState,
  type SuspectStep,
  type SuspectTimes,
} from './suspect-state.ts';

/** What was refused stays accused for so long after that: it is tried alone before it is let in again. */
const PROBATION_MS = 86_400_000;

export function stepSuspects(
  state: SuspectState,
  event: SuspectEvent,
  around: { fleet: FleetNow; times: SuspectTimes },
): SuspectStep {
  const draft = new SuspectDraft(state, { ...around, nowMs: event.atMs });
  expire(draft);
  take(draft, event);
  confirmRuns(draft);
  settle(draft);
  return draft.done();
}

function take(draft: SuspectDraft, event: SuspectEvent): void {
  switch (event.type) {
    case 'crashed':
      return takeCrash(draft, event);
    case 'errored':
      draft.errored = [...draft.errored, event].slice(-ERRORED_MAX);
      return;
    case 'arrived':
      draft.asks.set(event.ask, newAsk(event, { id: event.ask, committed: false, runningMs: 0, run: null }));
      return;
    case 'placed':
      return changePermit(draft, event.ask, { placedMs: event.atMs });
    case 'answering':
      return takeToken(draft, event.ask);
    case 'ended':
      return takeEnd(draft, event);
    case 'released': {
      const record = draft.records.get(event.fingerprint);
      if (record !== undefined) draft.release(record);
      return;
    }
    case 'heard':
      for (const record of event.records) hear(draft, record);
      return;
    case 'ticked':
      return;
  }
}

function takeCrash(draft: SuspectDraft, event: Extract<SuspectEvent, { type: 'crashed' }>): void {
  const permit = event.former === null ? null : (draft.asks.get(event.former)?.permit ?? null);
  if (event.former !== null) draft.asks.delete(event.former);
  const alone = permit?.alone === true && permit.placedMs !== null && runKey(permit) === runKey(event);
  noteCrash(draft, event, { alone, surely: event.surely });
  if (event.ask === null) return;
  const { committed, runningMs } = event;
  draft.asks.set(event.ask, newAsk(event, { id: event.ask, committed, runningMs, run: runKey(event) }));
}

function newAsk(
  { fingerprint, pool }: Pick<Ask, 'fingerprint' | 'pool'>,
  more: Pick<Ask, 'id' | 'committed' | 'runningMs' | 'run'>,
): Ask {
  return { fingerprint, pool, servableMs: null, permit: null, ...more };
}

function changePermit(
  draft: SuspectDraft,
  id: number,
  change: { placedMs?: number; tokenMs?: number },
): void {
  const ask = draft.asks.get(id);
  if (ask === undefined || ask.permit === null) return;
  draft.asks.set(id, { ...ask, permit: { ...ask.permit, ...change } });
}

/** A suspect that got as far as that leaves the isolated place to the next one; a trial goes on for a while. */
function takeToken(draft: SuspectDraft, id: number): void {
  const ask = draft.asks.get(id);
  if (ask === undefined || ask.permit === null) return;
  if (ask.permit.alone) return changePermit(draft, id, { tokenMs: ask.permit.tokenMs ?? draft.nowMs });
  draft.passed.add(ask.fingerprint);
  draft.asks.delete(id);
}

function takeEnd(draft: SuspectDraft, event: Extract<SuspectEvent, { type: 'ended' }>): void {
  if (event.ask !== null) draft.asks.delete(event.ask);
  const record = draft.records.get(event.fingerprint);
  if (!event.completed || record === undefined) return;
  if (record.status === 'suspected' || record.status === 'accused') draft.release(record);
}

function hear(draft: SuspectDraft, record: SuspectRecord): void {
  const known = draft.records.get(record.fingerprint);
  if (known !== undefined && known.changedAtMs >= record.changedAtMs) return;
  if (record.expiresAtMs > draft.nowMs) draft.records.set(record.fingerprint, record);
}

function expire(draft: SuspectDraft): void {
  for (const record of [...draft.records.values()]) {
    if (record.expiresAtMs > draft.nowMs) continue;
    if (record.status === 'held' || record.status === 'convicted')
      draft.change(record, { status: 'accused', expiresAtMs: draft.nowMs + PROBATION_MS });
    else draft.records.delete(record.fingerprint);
  }
}
