/**
 * Verdicts for requests that wait for one. Suspects that had not been answered are sent one after the other to one replica of
 * their pool, so that a second crash says which it was; streams that had begun go on at once, elsewhere. What was there at two
 * crashes is tried where it is alone, as long as the pool can do without that replica, or is refused.
 */
import { isRefused, type SuspectRecord } from '../../contract/suspects.ts';
import { countRivals, exonerate } from './crashes.ts';
import type { SuspectDraft } from './draft.ts';
import { type Ask, type CrashedRun, type Permit, type ReplicaNow, runKey } from './suspect-state.ts';

/** Requests of one crash that are sent one after the other: the youngest, for what kills an engine does so when it is begun. */
const ISOLATED_MAX = 8;
/** Time for others of the same crash to tell of it; longer while some of them still count as in flight. */
const GATHER_MS = 40;
const GATHER_MAX_MS = 250;
/** A suspect has the isolated place to itself for half as long again as it had run, within these bounds. */
const SEAT_MIN_MS = 1_000;
const SEAT_MAX_MS = 5_000;
/** A death is in the snapshot by then. */
const SNAPSHOT_MS = 10_000;
/** Nobody waits longer for the isolated place while a replica is ready: most engines die of something else. */
const ISOLATED_WAIT_MS = 8_000;
/** From the first token on, a request that is alone is watched for so long before it counts as harmless. */
export const TRIAL_MS = 2_000;
/** One without a first token, because its answer comes as a whole, is watched for at most so long. */
const TRIAL_MAX_MS = 60_000;

export function settle(draft: SuspectDraft): void {
  convict(draft);
  endPermits(draft);
  const waiting = [...draft.asks.values()].filter(({ permit }) => permit === null);
  // What kills an engine mostly does so when it is begun: the youngest is the likeliest.
  for (const ask of waiting.sort((a, b) => a.runningMs - b.runningMs)) consider(draft, ask);
  const busy = new Set([...draft.asks.values()].map(({ pool }) => pool));
  for (const pool of draft.isolation.keys()) if (!busy.has(pool)) draft.isolation.delete(pool);
}

function convict(draft: SuspectDraft): void {
  for (const record of [...draft.records.values()]) {
    if (record.status === 'convicted' || record.status === 'released') continue;
    // Records of other gateways and former lives hold only crashes that were confirmed, or are accused again by age.
    const guilty = record.crashes.some(
      (crash) => crash.alone && draft.runs.get(runKey(crash))?.confirmed === true,
    );
    if (!guilty) continue;
    draft.change(record, { status: 'convicted', expiresAtMs: draft.nowMs + draft.times.convictTtlMs });
    const explained = record.crashes.map(runKey);
    exonerate(draft, record.fingerprint, explained);
    // Judged once: when the sentence is over it may be tried again.
    for (const key of explained) draft.runs.delete(key);
  }
}

function endPermits(draft: SuspectDraft): void {
  const { nowMs } = draft;
  for (const ask of [...draft.asks.values()]) {
    const { permit, fingerprint, runningMs } = ask;
    if (permit === null) continue;
    if (permit.placedMs === null && !isReady(draft, ask.pool, permit)) {
      draft.asks.set(ask.id, { ...ask, permit: null });
    } else if (permit.alone) {
      const passedIt = permit.tokenMs !== null && nowMs - permit.tokenMs >= TRIAL_MS;
      if (!passedIt && (permit.placedMs === null || nowMs - permit.placedMs < TRIAL_MAX_MS)) continue;
      const record = draft.records.get(fingerprint);
      if (record !== undefined) draft.release(record);
      draft.asks.delete(ask.id);
    } else {
      const seatMs = Math.min(SEAT_MAX_MS, Math.max(SEAT_MIN_MS, 1.5 * runningMs + 500));
      if (permit.placedMs !== null && nowMs - permit.placedMs > seatMs) {
        draft.passed.add(fingerprint);
        draft.asks.delete(ask.id);
      } else if (permit.placedMs === null && hasWaitedEnough(ask, permit, nowMs)) {
        draft.answer(ask, { kind: 'go', avoid: avoided(draft, ask, isolationOf(draft, ask)) });
      }
    }
  }
}

/**
 * A place on a replica that stays full is none. It still may be had until then, so whoever waits for it is not forgotten: if that
 * replica dies, it is sent to the next.
 */
function hasWaitedEnough({ servableMs }: Ask, { grantedMs }: Permit, nowMs: number): boolean {
  return nowMs - (servableMs ?? grantedMs) > ISOLATED_WAIT_MS && nowMs - grantedMs > SEAT_MIN_MS;
}

/** Whoever could not take the isolated place in time lets the next one try. */
function keepsOthersOut({ alone, placedMs, grantedMs }: Permit, nowMs: number): boolean {
  return alone || placedMs !== null || nowMs - grantedMs <= SEAT_MAX_MS;
}

function consider(draft: SuspectDraft, ask: Ask): void {
  const record = draft.records.get(ask.fingerprint);
  if (record === undefined || record.status === 'released')
    return draft.answer(ask, { kind: 'go', avoid: [] });
  if (isRefused(record)) return draft.answer(ask, { kind: 'refuse', record });
  const run = ask.run === null ? undefined : draft.runs.get(ask.run);
  // Nobody waits for a pool that is down for good; it is refused, or served by another pool, as ever.
  if (draft.fleet.pools.get(ask.pool)?.some(({ comesBack }) => comesBack) !== true)
    return draft.answer(ask, { kind: 'go', avoid: [] });
  if (record.status === 'accused') considerAccused(draft, ask, { record, run });
  else considerSuspected(draft, ask, run);
}

function considerSuspected(draft: SuspectDraft, ask: Ask, run: CrashedRun | undefined): void {
  const isolated = isolationOf(draft, ask);
  const elsewhere = { kind: 'go', avoid: avoided(draft, ask, isolated) } as const;
  if (ask.committed || draft.passed.has(ask.fingerprint)) return draft.answer(ask, elsewhere);
  // All are down: who comes back first must not be given all suspects at once.
  if (isolated === null) return;
  if (ask.servableMs === null) draft.asks.set(ask.id, { ...ask, servableMs: draft.nowMs });
  else if (draft.nowMs - ask.servableMs > ISOLATED_WAIT_MS) return draft.answer(ask, elsewhere);
  const gathering = run === undefined ? 'done' : gatheringOf(draft, run);
  if (gathering === 'wait') return;
  if (gathering === 'lives-on' || (run !== undefined && !isIsolated(run, ask)))
    return draft.answer(ask, elsewhere);
  for (const { permit, pool } of draft.asks.values())
    if (permit !== null && pool === ask.pool && keepsOthersOut(permit, draft.nowMs)) return;
  draft.answer(ask, {
    kind: 'place',
    replica: isolated.replica,
    generation: isolated.generation,
    alone: false,
  });
}

function considerAccused(
  draft: SuspectDraft,
  ask: Ask,
  { record, run }: { record: SuspectRecord; run: CrashedRun | undefined },
): void {
  if (run !== undefined && gatheringOf(draft, run) === 'wait') return;
  // A connection may be lost for other reasons; what was no crash is withdrawn before long.
  if (record.crashes.some((crash) => draft.runs.get(runKey(crash))?.confirmed === false)) return;
  const replicas = (draft.fleet.pools.get(ask.pool) ?? []).filter(({ planned }) => !planned);
  const ready = replicas.filter((replica) => isUp(draft, replica));
  // In the middle of an answer it has shown that it can be served, and its client has something to lose: it waits for a trial.
  const mayRefuse = replicas.length < 2 || (!ask.committed && ready.length < replicas.length);
  if (mayRefuse && countRivals(draft, record) === 1) {
    const held = draft.change(record, { status: 'held', expiresAtMs: draft.nowMs + draft.times.holdTtlMs });
    return draft.answer(ask, { kind: 'refuse', record: held });
  }
  if (!canSpareOne(replicas.length, ready.length)) return;
  for (const { permit, pool } of draft.asks.values()) if (permit !== null && pool === ask.pool) return;
  const dead = record.crashes.map(({ replica }) => replica);
  const chosen = leastBusy(ready, dead);
  if (chosen === undefined) return;
  draft.answer(ask, { kind: 'place', replica: chosen.id, generation: chosen.generation, alone: true });
}

/** Half of the replicas serve, also if the one that is tried on dies. One replica alone has nothing to keep. */
export function canSpareOne(replicas: number, ready: number): boolean {
  return replicas === 1 ? ready === 1 : ready - 1 >= Math.ceil(replicas / 2);
}

/** `lives-on`: others are still in flight there, so it was this connection that was lost. */
function gatheringOf(
  draft: SuspectDraft,
  { replica, atMs, pool, witnesses }: CrashedRun,
): 'wait' | 'done' | 'lives-on' {
  const sinceMs = draft.nowMs - atMs;
  if (sinceMs < GATHER_MS) return 'wait';
  const found = draft.fleet.pools.get(pool)?.find(({ id }) => id === replica);
  if (found === undefined || found.inFlight === 0) return 'done';
  if (sinceMs < GATHER_MAX_MS) return 'wait';
  return witnesses === 1 && found.ready ? 'lives-on' : 'done';
}

function isIsolated({ unanswered }: CrashedRun, { fingerprint, runningMs }: Ask): boolean {
  let younger = 0;
  for (const [other, theirs] of unanswered) if (other !== fingerprint && theirs < runningMs) younger++;
  return younger < ISOLATED_MAX;
}

/** Null when no replica of the pool is ready. */
function isolationOf(draft: SuspectDraft, ask: Ask): { replica: string; generation: number } | null {
  const ready = (draft.fleet.pools.get(ask.pool) ?? []).filter(
    (replica) => isUp(draft, replica) && keyOf(replica) !== ask.run,
  );
  const kept = draft.isolation.get(ask.pool);
  const dead = draft.records.get(ask.fingerprint)?.crashes.map(({ replica }) => replica) ?? [];
  const chosen = ready.find((replica) => keyOf(replica) === kept) ?? leastBusy(ready, dead);
  if (chosen === undefined) return null;
  draft.isolation.set(ask.pool, keyOf(chosen));
  return { replica: chosen.id, generation: chosen.generation };
}

/** A second crash of the replica that died would say less than one of another. */
function avoided(
  draft: SuspectDraft,
  ask: Ask,
  isolated: { replica: string; generation: number } | null,
): string[] {
  const crashes = draft.records.get(ask.fingerprint)?.crashes ?? [];
  const replicas = draft.fleet.pools.get(ask.pool) ?? [];
  const died = replicas
    .filter(({ id, generation }) => crashes.some((one) => one.replica === id && one.generation < generation))
    .map(keyOf);
  if (isolated === null) return died;
  const key = runKey(isolated);
  const rest = replicas.some(
    (replica) => isUp(draft, replica) && keyOf(replica) !== key && keyOf(replica) !== ask.run,
  );
  // Where there is no other, it is better beside those that are tried than on the replica that died of it.
  return rest || died.length === 0 ? [...new Set([key, ...died])] : died;
}

function leastBusy(ready: readonly ReplicaNow[], dead: readonly string[]): ReplicaNow | undefined {
  const order = (replica: ReplicaNow) => (dead.includes(replica.id) ? 1e9 : 0) + replica.inFlight;
  let best = ready[0];
  for (const replica of ready) if (order(replica) < order(best!)) best = replica;
  return best;
}

function isReady(
  draft: SuspectDraft,
  pool: string,
  { replica, generation }: { replica: string; generation: number },
) {
  const found = draft.fleet.pools.get(pool)?.find(({ id }) => id === replica);
  return found !== undefined && found.generation === generation && isUp(draft, found);
}

/** What requests tell of a death comes sooner than the snapshot that shows it. */
function isUp({ runs, nowMs }: SuspectDraft, replica: ReplicaNow): boolean {
  const crashed = runs.get(keyOf(replica));
  return replica.ready && !(crashed?.confirmed === true && nowMs - crashed.atMs < SNAPSHOT_MS);
}

function keyOf({ id, generation }: ReplicaNow): string {
  return runKey({ replica: id, generation });
}
