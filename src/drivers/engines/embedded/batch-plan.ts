/**
 * How many tokens of each waiting sequence go into the next batch.
 *
 * Exact mode takes one token of each. Then every token of a sequence goes through the same matrix-vector kernels, whether it
 * was prompt or answer, alone or beside others, so its logits are the same bits on every replica and an answer continues
 * elsewhere exactly. Batches with several tokens of one sequence use other kernels with another order of summation, and differ
 * in the last bits (measured: up to 0.01 in a probability). It costs prompt speed, so it is for small models.
 */
import type { BatchItem, PrioritizedBatchItem } from 'node-llama-cpp';

export interface BatchRequest {
  items: readonly BatchItem[];
  /** Tokens that the batch can hold. */
  size: number;
}

export function planExactBatch({ items, size }: BatchRequest): PrioritizedBatchItem[] {
  return items.slice(0, size).map((item) => ({ item, processAmount: 1 }));
}

/** Running answers first, one token each; prompts share what is left, in order of arrival. */
export function planFullBatch({ items, size }: BatchRequest): PrioritizedBatchItem[] {
  let left = size;
  const plan: PrioritizedBatchItem[] = [];
  const answersFirst = [...items].sort((a, b) => Number(a.tokens.length > 1) - Number(b.tokens.length > 1));
  for (const item of answersFirst) {
    const processAmount = Math.min(left, item.tokens.length);
    if (processAmount === 0) break;
    plan.push({ item, processAmount });
    left -= processAmount;
  }
  return plan;
}
