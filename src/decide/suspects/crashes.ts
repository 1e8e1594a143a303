/** Crashes and who was there: which lives of replicas ended, whether it was the engine that died, and what that says of requests. */
import type { SuspectCrash, SuspectRecord } from '../../contract/suspects.ts';
import type { SuspectDraft } from './draft.ts';
import { type Crashed, type CrashedRun, runKey } from './suspect-state.ts';

/** A lost connection whose engine lives on for so long was not a crash. */
const CONFIRM_MS = 5_000;
/** An engine that answers with errors dies within so long, or for another reason. */
const ERRORED_MS = 10_000;
const CRASHES_MAX = 8;

/** @param alone nothing else was in flight there. */
export function noteCrash(
  draft: SuspectDraft,
  event: Crashed,
  told: { alone: boolean; surely: boolean },
): void {
  const key = runKey(event);
  const known = draft.runs.get(key);
  const unanswered = new Map(known?.unanswered);
  if (!event.committed) {
    const before = unanswered.get(event.fingerprint) ?? Number.POSITIVE_INFINITY;
    unanswered.set(event.fingerprint, Math.min(before, event.runningMs));
  }
  const witnesses = (known?.witnesses ?? 0) + 1;
  draft.runs.set(key, {
    replica: event.replica,
    generation: event.generation,
    pool: event.pool,
    atMs: known?.atMs ?? event.atMs,
    unanswered,
    witnesses,
    confirmed: known?.confirmed === true || told.surely || witnesses > 1,
  });
  addCrash(draft, event, told.alone);
}

function addCrash(draft: SuspectDraft, event: Crashed, alone: boolean): void {
  const { replica, generation, atMs, fingerprint } = event;
  const others = draft.fleet.pools.get(event.pool)?.some(({ id, ready }) => ready && id !== replica);
  const crash: SuspectCrash = { replica, generation, atMs, alone, ...(others !== true && { only: true }) };
  const known = draft.records.get(fingerprint);
  draft.passed.delete(fingerprint);
  if (known === undefined || known.status === 'released') {
    const { model, endpoint, requestId } = event;
    draft.records.set(fingerprint, {
      ...{ fingerprint, model, endpoint, requestId, status: 'suspected', crashes: [crash] },
      changedAtMs: draft.nowMs,
      expiresAtMs: draft.nowMs + draft.times.suspectTtlMs,
    });
    return;
  }
  const before = known.crashes.filter((one) => runKey(one) === runKey(crash));
  if (before.length > 0 && !alone) return;
  const former = known.crashes.filter((one) => runKey(one) !== runKey(crash));
  // The same content, sent twice at the same time to replicas that died together, tells less than one that was sent again.
  if (!alone && former.some((one) => atMs - event.runningMs < one.atMs)) return;
  const crashes = [...former, crash].slice(-CRASHES_MAX);
  draft.change(known, { crashes, requestId: event.requestId, ...accusation(draft, known, crashes) });
}

function accusation(
  { nowMs, times }: SuspectDraft,
  { status }: SuspectRecord,
  crashes: readonly SuspectCrash[],
): Partial<SuspectRecord> {
  if (status !== 'suspected') return {};
  if (weightOf(crashes) < 2) return { expiresAtMs: nowMs + times.suspectTtlMs };
  return { status: 'accused', expiresAtMs: nowMs + times.convictTtlMs };
}

/** Replicas that died with it. One that dies again and again may be at fault itself, unless there was no other to die. */
function weightOf(crashes: readonly SuspectCrash[]): number {
  const replicas = new Set<string>();
  let weight = 0;
  for (const { replica, only } of crashes) {
    if (only === true || !replicas.has(replica)) weight++;
    replicas.add(replica);
  }
  return weight;
}

/** Engines that answered with errors and are seen dead are taken for crashes; what was no crash is forgotten. */
export function confirmRuns(draft: SuspectDraft): void {
  draft.errored = draft.errored.filter((seen) => {
    if (draft.nowMs - seen.atMs > ERRORED_MS) return false;
    if (!isSeenDead(draft, seen)) return true;
    noteCrash(draft, seen, { alone: false, surely: true });
    return false;
  });
  for (const [key, run] of draft.runs) {
    if (run.confirmed) continue;
    if (isSeenDead(draft, run)) draft.runs.set(key, { ...run, confirmed: true });
    else if (draft.nowMs - run.atMs > CONFIRM_MS) withdraw(draft, key);
  }
}

function isSeenDead(
  { fleet }: SuspectDraft,
  { pool, replica, generation }: Pick<CrashedRun, 'pool' | 'replica' | 'generation'>,
) {
  const found = fleet.pools.get(pool)?.find(({ id }) => id === replica);
  if (found === undefined || found.generation !== generation) return true;
  return !found.ready && !found.planned && !found.late;
}

function withdraw(draft: SuspectDraft, key: string): void {
  draft.runs.delete(key);
  for (const record of [...draft.records.values()]) forgetCrashes(draft, record, [key]);
}

/** Whoever killed these runs is known: nobody else did. */
export function exonerate(draft: SuspectDraft, guilty: string, keys: readonly string[]): void {
  for (const record of [...draft.records.values()])
    if (record.fingerprint !== guilty) forgetCrashes(draft, record, keys);
}

function forgetCrashes(draft: SuspectDraft, record: SuspectRecord, keys: readonly string[]): void {
  const crashes = record.crashes.filter((crash) => !keys.includes(runKey(crash)));
  if (crashes.length === record.crashes.length || record.status === 'released') return;
  if (crashes.length === 0) return draft.release({ ...record, crashes });
  const expiresAtMs = draft.nowMs + draft.times.suspectTtlMs;
  const isOne = record.status !== 'convicted' && weightOf(crashes) < 2;
  draft.change(record, isOne ? { crashes, status: 'suspected', expiresAtMs } : { crashes });
}

/** Others that were there at the last two crashes too, itself included: one of them is to blame, if any. */
export function countRivals(draft: SuspectDraft, { crashes }: SuspectRecord): number {
  const last = crashes.slice(-2).map(runKey);
  let count = 0;
  for (const { status, crashes: theirs } of draft.records.values()) {
    if (status !== 'accused' && status !== 'held') continue;
    const keys = theirs.map(runKey);
    if (last.every((key) => keys.includes(key))) count++;
  }
  return count;
}
