/**
 * Port: batches and the answers of their lines. In the contract: one process at a time owns a batch that runs, by a lease with
 * a number; writes under a former number change nothing. The first answer of a line that is recorded stays, and there is no
 * second. Nothing of another owner is shown to a client. Not in the contract: that a call succeeds; it rejects with
 * `storage_unavailable` then.
 */
import type { StoredFile } from './file-store.ts';

const BATCH_STATUSES = [
  'validating',
  'in_progress',
  'finalizing',
  'completed',
  'failed',
  'expired',
  'cancelling',
  'cancelled',
] as const;
export type BatchStatus = (typeof BATCH_STATUSES)[number];

/** Nothing follows these. */
export const BATCH_ENDINGS = ['completed', 'failed', 'expired', 'cancelled'] as const;
export type BatchEndStatus = (typeof BATCH_ENDINGS)[number];

/** A fault of the input that keeps the batch from running. */
export interface InputProblem {
  code: string;
  message: string;
  param: string | null;
  /** From 1, as editors count; null when it is about the whole file. */
  line: number | null;
}

export interface StoredBatch {
  id: string;
  /** Name of the key that created it; empty where no key is needed. */
  owner: string;
  endpoint: string;
  inputFileId: string;
  completionWindow: string;
  metadata: Record<string, string> | null;
  /** How long its files are kept; null: until they are deleted. */
  outputTtlMs: number | null;
  status: BatchStatus;
  /** What `finalizing` leads to; null before that. */
  ending: BatchEndStatus | null;
  createdAtMs: number;
  expiresAtMs: number;
  inProgressAtMs: number | null;
  finalizingAtMs: number | null;
  cancellingAtMs: number | null;
  /** When it came to its end, whichever. */
  endedAtMs: number | null;
  total: number;
  completed: number;
  failed: number;
  /** Null while the batch is not over. */
  outputFileId: string | null;
  errorFileId: string | null;
  problems: InputProblem[];
}

type NewBatch = Pick<
  StoredBatch,
  | 'id'
  | 'owner'
  | 'endpoint'
  | 'inputFileId'
  | 'completionWindow'
  | 'metadata'
  | 'outputTtlMs'
  | 'createdAtMs'
  | 'expiresAtMs'
>;

/** As it is created: nobody has looked at its input yet. */
export function newBatch(batch: NewBatch): StoredBatch {
  return {
    ...batch,
    status: 'validating',
    ending: null,
    inProgressAtMs: null,
    finalizingAtMs: null,
    cancellingAtMs: null,
    endedAtMs: null,
    total: 0,
    completed: 0,
    failed: 0,
    outputFileId: null,
    errorFileId: null,
    problems: [],
  };
}

export interface BatchListing {
  owner: string;
  limit: number;
  /** Id of the last batch of the page before. */
  after: string | null;
}

/** A batch in the hands of one process until the lease runs out. */
export interface HeldBatch {
  batch: StoredBatch;
  fence: number;
}

export interface BatchHold {
  id: string;
  fence: number;
}

export interface BatchClaim {
  holder: string;
  nowMs: number;
  leaseUntilMs: number;
  limit: number;
  endingOnly?: boolean;
}

export interface LineAnswer {
  /** From 0. */
  line: number;
  ok: boolean;
  /** The line of the output or error file, without its end. */
  text: string;
}

/** Names of files that the holder is about to write; not all of them need to come into being. */
export interface ReservedFiles {
  output: string;
  error: string;
}

/** What changes when the batch passes from one status to the next; what is left out stays. */
export interface BatchChange {
  status: BatchStatus;
  atMs: number;
  total?: number;
  ending?: BatchEndStatus;
  outputFileId?: string | null;
  errorFileId?: string | null;
  /** Lines without an answer, which count as failed at the end. */
  unanswered?: number;
  problems?: InputProblem[];
  /** Become known together with the change, or not at all: a former holder's files never do. */
  files?: StoredFile[];
}

export interface BatchStore {
  /** False when the owner has `openMax` batches that are not over. */
  create(batch: StoredBatch, openMax: number): Promise<boolean>;
  find(key: { id: string; owner: string }): Promise<StoredBatch | null>;
  /** Newest first; one more than `limit` when there are more. Null when `after` names no batch of the owner. */
  list(listing: BatchListing): Promise<StoredBatch[] | null>;
  /** Null when there is none. One that is finalizing or over is given back as it is. */
  requestCancel(key: { id: string; owner: string; nowMs: number }): Promise<StoredBatch | null>;

  /**
   * Takes up to `limit` batches that nobody holds: first those that only have to be ended, then the oldest. `endingOnly`: no
   * others.
   */
  claim(claim: BatchClaim): Promise<HeldBatch[]>;
  /** Gives back those that are still held, as they are at present. */
  renew(renewal: { holds: BatchHold[]; leaseUntilMs: number }): Promise<StoredBatch[]>;
  release(hold: BatchHold): Promise<void>;
  /**
   * False when the lease is lost. `FileStore.known` knows these ids from here on, until the batch is over or its holder
   * reserves others.
   */
  reserveFiles(hold: BatchHold, files: ReservedFiles): Promise<boolean>;
  /** False when the lease is lost. From `cancelling` a batch does not go back to `in_progress`. */
  change(hold: BatchHold, change: BatchChange): Promise<boolean>;
  /** False when the lease is lost. A line that has an answer keeps it. */
  record(hold: BatchHold, answers: LineAnswer[]): Promise<boolean>;
  /** Lines that have an answer, as ranges [from, to) in order, none of which touches the next. */
  answered(id: string): Promise<[from: number, to: number][]>;
  /** Answers of one kind with a line above `after`, in order: at least one if there is one, at most `bytesMax` beyond it. */
  answers(key: { id: string; ok: boolean; after: number; bytesMax: number }): Promise<LineAnswer[]>;
  /** Takes away answers of batches that are over, and batches that were over long ago. */
  sweep(nowMs: number): Promise<void>;
}
