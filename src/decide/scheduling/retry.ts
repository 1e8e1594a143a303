/**
 * May a failed attempt be followed by another one? Before the first content token only; continuation after it has rules of
 * its own (continuation.ts).
 *
 * The budget (retry-budget.ts) guards against retry storms: attempts that an engine answered badly, or too late, may be repeated
 * only while such retries are a small share of all requests. Attempts that lost their connection because the replica died are
 * bounded by that replica's window and do not count: refusing them would fail requests just when a replica dies, and they add
 * no load that the dead replica did not carry before (docs/adr/0006-retry-budget.md).
 */
import type { AttemptFailure } from '../../contract/facts.ts';

export interface RetryState {
  failure: AttemptFailure;
  /** Attempts made so far, the failed one included. */
  attempts: number;
  /** Further attempts allowed after the first. */
  retriesMax: number;
}

/** `budgeted`: only if the budget gives one. */
export type RetryDecision = { retry: true; budgeted: boolean } | { retry: false; reason: string };

export function decideRetry(state: RetryState): RetryDecision {
  if (state.attempts > state.retriesMax) {
    return { retry: false, reason: `${state.attempts} attempts failed, the last with ${state.failure}` };
  }
  if (replicaDied(state.failure)) return { retry: true, budgeted: false };
  return { retry: true, budgeted: true };
}

export function replicaDied(failure: AttemptFailure): boolean {
  return (
    failure === 'connect-refused' ||
    failure === 'connection-lost' ||
    failure === 'replica-suspect' ||
    failure === 'given-up'
  );
}
