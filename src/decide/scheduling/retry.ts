/**
 * May a failed attempt be followed by another one? Before the first content token only; continuation after it has rules of
 * its own (continuation.ts).
 *
 * The budget guards against retry storms: attempts that an engine answered badly, or too late, may be repeated only while
 * such retries are a small share of all requests in flight. Attempts that lost their connection because the replica died
 * are bounded by that replica's window and do not count: refusing them would fail requests just when a replica dies, and
 * they add no load that the dead replica did not carry before (docs/adr/0006-retry-budget.md).
 */
import type { AttemptFailure } from '../../contract/facts.ts';

export interface RetryState {
  failure: AttemptFailure;
  /** Attempts made so far, the failed one included. */
  attempts: number;
  /** Further attempts allowed after the first. */
  retriesMax: number;
  /** Requests in flight in this gateway, all workers. */
  inFlight: number;
  /** Budgeted retries in flight in this gateway. */
  retriesInFlight: number;
  budgetRatio: number;
}

/** Retries that are always allowed at once, whatever the ratio (Envoy: `min_retry_concurrency` 3). */
const RETRIES_MIN = 3;

export type RetryDecision = { retry: true; budgeted: boolean } | { retry: false; reason: string };

export function decideRetry(state: RetryState): RetryDecision {
  if (state.attempts > state.retriesMax) {
    return { retry: false, reason: `${state.attempts} attempts failed, the last with ${state.failure}` };
  }
  if (replicaDied(state.failure)) return { retry: true, budgeted: false };
  const allowed = Math.max(RETRIES_MIN, Math.floor(state.inFlight * state.budgetRatio));
  if (state.retriesInFlight >= allowed) {
    return {
      retry: false,
      reason: `the retry budget is spent: ${state.retriesInFlight} of ${allowed} retries are under way`,
    };
  }
  return { retry: true, budgeted: true };
}

export function replicaDied(failure: AttemptFailure): boolean {
  return failure === 'connect-refused' || failure === 'connection-lost' || failure === 'replica-suspect';
}
