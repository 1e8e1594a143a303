/**
 * What a failure leads to: start again after a while, or quarantine. Every failure passes here, and the choice is made by
 * `planRestart` and the ladder of the fault; detection and diagnosis only ever change what is passed in.
 *
 * Invariant: no window of `restartWindowMs` holds more than `restartsMax` restarts of one replica.
 */
import { backoffMs } from '../../base/backoff.ts';
import type { FailureKind } from '../../contract/ports/replica-records.ts';
import type { Remedy } from '../../contract/remedies.ts';
import { adjust, captureAfterwards } from './between-lives.ts';
import type { Draft } from './draft.ts';
import { beginTrial, closeIncident, endTrial, noteFault } from './incident.ts';
import { chooseStep } from './ladder.ts';
import type { RecoverySettings } from './recovery-settings.ts';
import type { Failure, Replica } from './replica.ts';
import { situationOf } from './situation.ts';
import { unknownVerdict, type Verdict } from './verdict.ts';

export type NextStart =
  | { kind: 'restart'; atMs: number; failures: Failure[] }
  | { kind: 'quarantine'; failures: Failure[]; reason: string };

export interface FailureHistory {
  kind: FailureKind;
  /** Without a full stop. */
  summary: string;
  attempt: number;
  failures: readonly Failure[];
  /** When the end of the process was decided on: the wait counts from there. Default: now. */
  sinceMs?: number | undefined;
  /** Least wait. Default: none. */
  delayMs?: number;
}

/** `draw` is in [0, 1): the jitter. */
export function planRestart(
  settings: RecoverySettings,
  nowMs: number,
  { kind, summary, attempt, failures, sinceMs = nowMs, delayMs = 0 }: FailureHistory,
  draw: number,
): NextStart {
  const waitMs = Math.max(backoffMs(settings.backoff, attempt, draw), delayMs);
  const restartAtMs = Math.max(nowMs, sinceMs + waitMs);
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
  failure: { kind: FailureKind; summary: string; verdict?: Verdict | null },
): void {
  const { kind } = failure;
  const verdict = failure.verdict ?? unknownVerdict(failure.summary);
  const { summary } = failure;
  replica.process = null;
  replica.inFlight = 0;
  replica.lastIncident = { atMs: draft.nowMs, summary };
  if (replica.goal.kind === 'stop') {
    closeIncident(draft, replica, 'stood-down', summary);
    return draft.enter(replica, { name: 'stopped' }, summary);
  }
  if (replica.goal.kind === 'remove') return draft.remove(replica.spec.id);
  const sinceMs = replica.goal.kind === 'fail' ? replica.incident?.remedy?.startedAtMs : undefined;
  replica.goal = { kind: 'run' };
  const attempt = draft.stayedReady(replica) ? 0 : replica.attempt;
  // One that was ended for a remedy has its answer already.
  const staysDown = kind === 'unhealthy' ? null : answerTo(draft, replica, verdict);
  if (staysDown !== null) return quarantine(draft, replica, `${summary}; ${staysDown}`);
  const history = {
    kind,
    summary,
    attempt,
    failures: replica.failures,
    sinceMs,
    delayMs: delayOf(draft, replica),
  };
  const next = planRestart(draft.settings, draft.nowMs, history, draft.draw());
  replica.failures = next.failures;
  if (next.kind === 'quarantine') return quarantine(draft, replica, next.reason);
  const wait = spanText(next.atMs - draft.nowMs);
  const reason = `${summary}; starts again in ${wait}`;
  draft.enter(replica, { name: 'waiting', untilMs: next.atMs }, reason);
  replica.attempt = attempt + 1;
}

/** What the ladder of the fault says of a process that is gone. Null: it is started again; else why it stays down. */
function answerTo(draft: Draft, replica: Replica, verdict: Verdict): string | null {
  const incident = noteFault(draft, replica, verdict, true);
  captureAfterwards(draft, replica);
  endTrial(draft, replica, false, verdict.summary);
  const { policy } = draft.settings;
  const confidence = verdict.class === incident.class ? verdict.confidence : 1;
  // Who is not sure of the class has nothing but a new start to try.
  const isSure = incident.class === 'unknown' || confidence >= policy.confidenceMin;
  const situation = situationOf(draft, replica, { class: incident.class, confidence, gone: true });
  // What was ready when it was started just so is not wrong: a port was taken meanwhile, or a file was away.
  const isDoubtful = incident.class === 'bad-configuration' && replica.provenHash === replica.startedHash;
  const choice = policy.automatic && isSure && !isDoubtful ? chooseStep(policy, replica, situation) : null;
  const { remedy, step, skipped } = choice ?? { remedy: 'restart_process' as const, step: 1, skipped: [] };
  beginTrial(draft, replica, { remedy, step, because: [verdict.summary, ...skipped].join('; ') });
  if (STAYS_DOWN.has(remedy)) return `${remedy}: ${verdict.summary}`;
  adjust(draft, replica, remedy);
  return null;
}

const STAYS_DOWN: ReadonlySet<Remedy> = new Set<Remedy>(['quarantine', 'drain', 'safe_shutdown']);

function delayOf({ settings }: Draft, { incident }: Replica): number {
  return incident === null ? 0 : settings.policy.strategies[incident.class].delayMs;
}

export function quarantine(draft: Draft, replica: Replica, reason: string): void {
  replica.process = null;
  replica.lastIncident = { atMs: draft.nowMs, summary: reason };
  replica.goal = { kind: 'run' };
  closeIncident(draft, replica, 'given-up', reason);
  draft.enter(replica, { name: 'quarantined' }, reason);
  draft.tell('page', replica.spec.id, `quarantined: ${reason}`);
}

export function spanText(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 10_000 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms / 1_000)} s`;
}
