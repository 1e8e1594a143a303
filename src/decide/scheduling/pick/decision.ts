/**
 * The scratch of one scheduling decision, reused by the next: what filters dropped, what scorers gave. Filters, scorers and
 * pickers read and write it in turn; afterwards it holds what `explain` needs.
 */
import type { Random } from '../../../base/random.ts';
import type { PromptBlocks } from '../affinity/prompt-blocks.ts';
import type { ReplicaColumns } from './replica-columns.ts';

/** What a decision knows of the request. The gateway keeps one object and changes it. */
export interface RequestFacts {
  /** Null where the strategy does not ask for it. */
  blocks: PromptBlocks | null;
  /** Hash of the session key, 0: none. */
  sessionHash: number;
  /** Tokens to prefill when nothing of the prompt is cached. */
  promptTokens: number;
  /** Tokens that the answer is expected to have. */
  answerTokens: number;
  /** Monotonic. */
  nowMs: number;
}

/** Data that a part may need. The configuration says what is there; a part that lacks its data fails at load. */
export const DATA_NEEDS = {
  'gpu-load': 'the metric gpu_load of each replica (a GPU telemetry source)',
  'memory-usage': 'the metric gpu_memory of each replica (a GPU telemetry source)',
  'kv-cache-usage': 'the metric kv_cache_usage of each replica (an engine with /metrics)',
  'queue-depth': 'the metric request_queue of each replica (an engine with /metrics)',
  'work-in-flight': 'tokens in flight per replica, counted by the gateway',
  prompt: 'the prompt of each request (not with bodies that pass through unread)',
  'prefix-index': 'memory for remembered prefixes',
  'session-key': 'a session key of each request (a header or field that names the session)',
} as const;
export type DataNeed = keyof typeof DATA_NEEDS;

export class Decision {
  readonly columns: ReplicaColumns;
  request: RequestFacts;
  /** 0: kept; otherwise 1 + the place of the filter that dropped it. */
  readonly droppedBy: Uint8Array;
  /** Candidates that are kept. */
  kept = 0;
  /** Blocks of the prompt that each has seen. */
  readonly depth: Int32Array;
  /** Weighted mean of the scores, 0 to 1. */
  readonly total: Float64Array;
  readonly chance: Random;

  constructor(columns: ReplicaColumns, request: RequestFacts, chance: Random) {
    this.columns = columns;
    this.request = request;
    this.chance = chance;
    this.droppedBy = new Uint8Array(columns.capacity);
    this.depth = new Int32Array(columns.capacity);
    this.total = new Float64Array(columns.capacity);
  }

  /** Tokens that the replica would have in flight with this request: what it has seen of the prompt is not done again. */
  workWith(index: number): number {
    const { blocks, promptTokens, answerTokens } = this.request;
    const seen = blocks === null || blocks.count === 0 ? 0 : this.#seenRatio(blocks, index);
    return this.columns.work[index]! + promptTokens * (1 - seen) + answerTokens;
  }

  #seenRatio(blocks: PromptBlocks, index: number): number {
    return this.depth[index]! / Math.max(blocks.count, 1);
  }
}
