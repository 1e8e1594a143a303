/** What to make of an engine that refused a batch: whether what is in it may be the cause, and what that may cost. */

/** They speak of the request, and cost the engine next to nothing. */
const OF_CONTENT: readonly number[] = [400, 413, 422];
/** Of an engine that broke over one input, such as llama-server over one that is longer than its physical batch; or just broke. */
const BROKEN = 500;

/** Calls that a batch may still be split into. */
export interface SplitBudget {
  /** While only refusals of content are met. */
  forContent: number;
  /** Once the engine has said that it broke: enough to find one bad item, and no more to ask of an engine in trouble. */
  forFaults: number;
}

export function splitBudget(items: number): SplitBudget {
  return { forContent: 2 * items, forFaults: 2 * Math.ceil(Math.log2(Math.max(2, items))) };
}

/**
 * Whether the two halves of a batch are to be sent, after the engine's own answer had this status; the budget is charged. Others
 * (busy, unauthorised, not found, unreachable) are true of each item, and splitting would not help.
 */
export function maySplit(status: number, budget: SplitBudget): boolean {
  const account = OF_CONTENT.includes(status) ? 'forContent' : status === BROKEN ? 'forFaults' : null;
  if (account === null || budget[account] < 2) return false;
  budget[account] -= 2;
  return true;
}
