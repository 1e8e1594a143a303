/**
 * Scorers say how well a candidate suits, 0 (badly) to 1 (best). Each writes the scores of all candidates that are still in;
 * their weighted mean is what the picker sees. A metric that is unknown gives the middle, so that a replica without metrics
 * is neither starved nor flooded.
 */

import type { DataNeed, Decision } from './decision.ts';
import { dynamicWeight } from './dynamic-weight.ts';
import { mixTwo } from './replica-columns.ts';

export interface Scorer {
  readonly needs: readonly DataNeed[];
  score(decision: Decision, scores: Float64Array): void;
}

const UNKNOWN_SCORE = 0.5;
/** Requests waiting inside an engine at which the score of its queue is one half. */
const QUEUE_HALF = 8;

/** `write` stores the score itself: a number that a function returns would be boxed, for each candidate of each decision. */
function each(write: (decision: Decision, scores: Float64Array, index: number) => void): Scorer['score'] {
  return (decision, scores) => {
    for (let index = 0; index < decision.columns.count; index++) {
      if (decision.droppedBy[index] === 0) write(decision, scores, index);
    }
  };
}

/** Makes the largest of the kept ones 1 and keeps all ratios; NaN becomes the mean of the others, or 1 when all are NaN. */
function toRatios({ columns, droppedBy }: Decision, scores: Float64Array): void {
  let largest = 0;
  let sum = 0;
  let known = 0;
  for (let index = 0; index < columns.count; index++) {
    const value = scores[index]!;
    if (droppedBy[index] !== 0 || Number.isNaN(value)) continue;
    largest = Math.max(largest, value);
    sum += value;
    known++;
  }
  const mean = known === 0 ? 1 : sum / known;
  const scale = known === 0 ? 1 : Math.max(largest, Number.MIN_VALUE);
  for (let index = 0; index < columns.count; index++) {
    if (droppedBy[index] !== 0) continue;
    const value = Number.isNaN(scores[index]!) ? mean : scores[index]!;
    scores[index] = value / scale;
  }
}

const weightTimesShare = each(({ columns }, scores, index) => {
  scores[index] = columns.weight[index]! * columns.share[index]!;
});
const dynamicTimesShare = each(({ columns }, scores, index) => {
  const weight = dynamicWeight(columns.gpuLoad[index]!, columns.memoryUsage[index]!);
  scores[index] = weight * columns.share[index]!;
});
const weightPerWork = each((decision, scores, index) => {
  const { weight, share } = decision.columns;
  scores[index] = (weight[index]! * share[index]!) / (1 + decision.workWith(index));
});

export const SCORERS = {
  /** In proportion to the configured weights. */
  weight: {
    needs: [],
    score: (decision, scores) => {
      weightTimesShare(decision, scores);
      toRatios(decision, scores);
    },
  },
  /** In proportion to 1 / (0.6 · gpuLoad + 0.4 · memoryUsage). */
  'dynamic-weight': {
    needs: ['gpu-load', 'memory-usage'],
    score: (decision, scores) => {
      dynamicTimesShare(decision, scores);
      toRatios(decision, scores);
    },
  },
  /** 1 / (1 + l), where l is what would be in flight per unit of weight. */
  'least-in-flight': {
    needs: [],
    score: each(({ columns }, scores, index) => {
      const weight = columns.weight[index]! * columns.share[index]!;
      scores[index] = weight / (weight + columns.inFlight[index]! + 1);
    }),
  },
  /** The least work in flight gets 1, this request included; others in proportion. */
  'least-work': {
    needs: ['work-in-flight'],
    score: (decision, scores) => {
      weightPerWork(decision, scores);
      toRatios(decision, scores);
    },
  },
  'kv-cache-free': {
    needs: ['kv-cache-usage'],
    score: each(({ columns }, scores, index) => {
      const used = columns.kvCacheUsageRatio[index]!;
      scores[index] = Number.isNaN(used) ? UNKNOWN_SCORE : 1 - Math.min(1, Math.max(0, used));
    }),
  },
  'short-queue': {
    needs: ['queue-depth'],
    score: each(({ columns }, scores, index) => {
      const depth = columns.queueDepth[index]!;
      scores[index] = Number.isNaN(depth) ? UNKNOWN_SCORE : QUEUE_HALF / (QUEUE_HALF + Math.max(0, depth));
    }),
  },
  /** Share of the prompt that the replica has seen. */
  'prefix-depth': {
    needs: ['prompt', 'prefix-index'],
    score: each(({ request: { blocks }, depth }, scores, index) => {
      scores[index] = blocks === null || blocks.count === 0 ? 0 : depth[index]! / blocks.count;
    }),
  },
  /**
   * Weighted rendezvous: u ^ (1 / weight), u drawn from session and replica. A session keeps its replica when others come and
   * go, and all sessions of one that goes spread over the rest. Without a session key all are alike.
   */
  session: {
    needs: ['session-key'],
    score: each(({ request: { sessionHash }, columns }, scores, index) => {
      const draw = ((mixTwo(sessionHash, columns.idHash[index]!) >>> 0) + 1) / 4294967297;
      scores[index] = sessionHash === 0 ? 0 : draw ** (1 / columns.weight[index]!);
    }),
  },
} as const satisfies Record<string, Scorer>;
export type ScorerName = keyof typeof SCORERS;
