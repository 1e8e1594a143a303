/**
 * What a failure leads to: start again after a while, or quarantine. Every failure passes here, and the choice is made by
 * `chooseRemedy` alone; detection and diagnosis only ever change what is passed in.
 *
 * Invariant: no window of `restartWindowMs` holds more than `restartsMax` restarts of one replica.
 */
import { backoffMs } from '../../base/backoff.ts';
import type { FailureKind } from '../../contract/ports/replica-records.ts';
import type { Draft } from './draft.ts';
import type { RecoverySettings } from './recovery-settings.ts';
import type { Failure, Replica } from './replica.ts';

export type Remedy =
  | { kind: 'restart'; atMs: number; failures: Failure[] }
  | { kind: 'quarantine'; failures: Failure[]; reason: string };

export interface FailureHistory {
  kind: FailureKind;
  /** Without a full stop. */
  summary: string;
  attempt: number;
  failures: readonly Failure[];
}

/** `draw` is in [0, 1): the jitter. */
export function chooseRemedy(
  settings: RecoverySettings,
  nowMs: number,
  { kind, summary, attempt, failures }: FailureHistory,
  draw: number,
): Remedy {
  const restartAtMs = nowMs + backoffMs(settings.backoff, attempt, draw);
  // Counted at the moment of the restart, so that no wait between failure and restart can crowd a window.
  const counted = failures.filter((failure) => failure.restartAtMs > restartAtMs - settings.restartWindowMs);
  const all = [...counted, { atMs: nowMs, kind, restartAtMs }];
  if (counted.length < settings.restartsMax) return { kind: 'restart', atMs: restartAtMs, failures: all };
  const reason = `${verbFor(all)} ${all.length} times within ${spanText(nowMs - all[0]!.atMs)}; last: ${summary}`;
  return { kind: 'quarantine', failures: all, reason };
}

function verbFor(failures: readonly Failure[]): string {
  if (failures.every(({ kind }) => kind === 'exited')) return 'exited';
  return failures.every(({ kind }) => kind !== 'exited') ? 'failed to start' : 'failed';
}

/** The replica failed, and no process of it is left. A goal beyond failing is reached by the failure, too. */
export function failed(
  draft: Draft,
  replica: Replica,
  failure: { kind: FailureKind; summary: string },
): void {
  replica.process = null;
  replica.inFlight = 0;
  replica.lastIncident = { atMs: draft.nowMs, summary: failure.summary };
  if (replica.goal.kind === 'stop') return draft.enter(replica, { name: 'stopped' }, failure.summary);
  if (replica.goal.kind === 'remove') return draft.remove(replica.spec.id);
  replica.goal = { kind: 'run' };
  const attempt = draft.stayedReady(replica) ? 0 : replica.attempt;
  const history = { ...failure, attempt, failures: replica.failures };
  const remedy = chooseRemedy(draft.settings, draft.nowMs, history, draft.draw());
  replica.failures = remedy.failures;
  if (remedy.kind === 'quarantine') return quarantine(draft, replica, remedy.reason);
  const wait = spanText(remedy.atMs - draft.nowMs);
  const reason = `${failure.summary}; starts again in ${wait}`;
  draft.enter(replica, { name: 'waiting', untilMs: remedy.atMs }, reason);
  replica.attempt = attempt + 1;
}

export function quarantine(draft: Draft, replica: Replica, reason: string): void {
  replica.process = null;
  replica.lastIncident = { atMs: draft.nowMs, summary: reason };
  draft.enter(replica, { name: 'quarantined' }, reason);
  draft.tell('page', replica.spec.id, `quarantined: ${reason}`);
}

export function spanText(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 10_000 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms / 1_000)} s`;
}
