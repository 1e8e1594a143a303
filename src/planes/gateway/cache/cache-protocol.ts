/**
 * What workers and the cache thread of a gateway say to each other. Each question has an id of its worker's; all that is said
 * about it carries the id.
 */
import type { AnswerUsage, CachedAnswer, PackedChunks } from '../../../contract/cached-answer.ts';
import type { ErrorCode } from '../../../contract/errors.ts';
import type { RequestOutcome } from '../../../contract/outcomes.ts';

/** What a question means: a vector, among those of questions that are equal but for the words of the last one. */
export interface Meaning {
  partition: string;
  vector: Float32Array<ArrayBuffer>;
}

/** How an attempt for several requests ended. */
export interface FlightEnd {
  outcome: RequestOutcome;
  errorCode: ErrorCode | null;
  usage: AnswerUsage;
  /** Its thread died: nothing was said to those who read the answer. */
  cut: boolean;
}

export type Verdict =
  /** For all who ask the same from here on. */
  | 'keep'
  /** For those who asked at the same time, and nobody else. */
  | 'share'
  /** For nobody: whoever waits tries for itself. */
  | 'failed';

export type ToCache =
  | {
      type: 'ask';
      id: number;
      key: string;
      /** What is kept may be the answer. */
      read: boolean;
      /** The answer to another request that runs may be the answer, and the other way round. */
      join: boolean;
      ageMsMax: number;
    }
  /** The client is gone. */
  | { type: 'leave'; id: number }
  /** From whoever leads: a stream has begun. */
  | { type: 'head'; id: number; status: number; headers: Record<string, string> }
  | { type: 'frames'; id: number; chunks: PackedChunks }
  /** The answer has become too large for late comers. */
  | { type: 'outgrown'; id: number }
  /** `answer`: with `keep` always, with `share` when nothing of it was said by `head` and `frames`. */
  | {
      type: 'ended';
      id: number;
      verdict: Verdict;
      answer: CachedAnswer | null;
      ttlMs: number;
      end: FlightEnd;
      meaning: Meaning | null;
    }
  /** Whether the answer to a question that means the same is kept. */
  | { type: 'similar'; id: number; meaning: Meaning; threshold: number; ageMsMax: number }
  /** From whoever asked alone. */
  | { type: 'keep'; key: string; answer: CachedAnswer; ttlMs: number; meaning: Meaning | null };

export type FromCache =
  /** `shared`: of a request that ran at the same time. */
  | { type: 'hit'; id: number; answer: CachedAnswer; shared: boolean }
  /** `answer` is null when there is none near enough. */
  | { type: 'similar'; id: number; answer: CachedAnswer | null; similarity: number }
  /** Ask the engine for all. `wanted`: others follow already. */
  | { type: 'lead'; id: number; wanted: boolean }
  /** Ask the engine for yourself only. */
  | { type: 'alone'; id: number }
  | { type: 'follow'; id: number }
  /** To whoever leads: others follow from here on. */
  | { type: 'wanted'; id: number }
  /** To whoever leads and has left: others want the answer. */
  | { type: 'stay'; id: number }
  /** To whoever leads: nobody wants the answer any more. */
  | { type: 'cancel'; id: number }
  /** To those who follow. */
  | { type: 'head'; id: number; status: number; headers: Record<string, string> }
  | { type: 'frames'; id: number; chunks: PackedChunks }
  | { type: 'ended'; id: number; end: FlightEnd };

export interface CacheStatistics {
  entries: number;
  bytes: number;
  evictions: number;
  flights: number;
}
