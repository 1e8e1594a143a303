/**
 * All that a gateway needs to serve: settings and fleet, with a version. It keeps the last good one on disk and serves on
 * with it when the node process is away.
 */
import type { FleetSnapshot } from './fleet.ts';
import type { LimitSettings } from './limits.ts';
import type { StoreLimits } from './ports/stores.ts';
import type { PriorityName } from './scheduling.ts';
import type { QuarantineSettings } from './suspects.ts';

export interface GatewaySettings {
  host: string;
  port: number;
  /** Worker threads; at least 2, so that a thread that dies costs only its own requests. */
  workers: number;
  /** SHA-256 (hex) of each accepted key, with its name. Empty: no key is needed (loopback only). */
  keys: KeySettings[];
  /** Largest request body, in bytes. */
  bodyBytesMax: number;
  /** Requests that may wait per pool, over all workers of one gateway. */
  queueSizeMax: number;
  /** Queues are shorter while the gateway itself has too much to do. */
  queueAdaptive: boolean;
  /** Longest wait in the queue. */
  queueTimeoutMs: number;
  /** Further attempts after the first, per request, before the first content token. */
  retryAttemptsMax: number;
  /** Share of requests in flight that may be retries at once; at least 3 are always allowed. */
  retryBudgetRatio: number;
  /** Times one stream may be continued elsewhere. */
  continuationsMax: number;
  /** Failed attempts in a row after which a replica is left out for a while; 0: failures count for nothing. */
  breakerFailures: number;
  /** A replica that comes back while others serve takes all of its share only after so long; 0: at once. */
  slowStartMs: number;
  /** Replicas that are slower than their peers get less. Default: true. */
  stragglerWeights?: boolean;
  /** A replica that refused or lost a connection gets nothing new for this long, unless it comes back under a new generation. */
  ejectionMs: number;
  /** Of requests that may have killed engines. Default: nothing is suspected. */
  quarantine?: QuarantineSettings;
  connectTimeoutMs: number;
  /** A stream that has a place on a replica gets a comment for each such span without a byte, until its first token; 0: none. */
  keepAliveMs: number;
  /** From the attempt's start to its first content token. */
  firstTokenTimeoutMs: number;
  /** Longest silence between two reads of a response that has begun. */
  stallTimeoutMs: number;
  /** From admission to the end of the answer. */
  totalTimeoutMs: number;
  /** A client that reads nothing for this long while data waits is dropped. */
  writeStallTimeoutMs: number;
  /** Bytes of a stream that are kept for its continuation; beyond them the stream can only end by tier D. */
  replayBytesMax: number;
  /** How long a response of the Responses API can be read after it was created; 0: none is stored. */
  responsesTtlMs: number;
  /** How long the answer to a request with an `Idempotency-Key` is kept; 0: such keys are ignored. */
  idempotencyTtlMs: number;
  /** Null: no answer is kept for others. */
  cache: CacheSettings | null;
  /** `redis`: rates are counted by all together who use the same Redis. Default: memory. */
  limitStore?: 'memory' | 'redis';
  /** What gateways of several machines share; null: nothing. */
  redis: RedisSettings | null;
  /** Bounds of what is kept in the state database. */
  storeLimits: StoreLimits;
  files: FileSettings;
  batches: BatchSettings;
  /** SHA-256 (hex) of the key by which the runner of batches is known; null: nobody runs any. */
  fillerKeySha256: string | null;
  /** How long a stopping gateway waits for its streams. */
  drainTimeoutMs: number;
}

export interface CacheSettings {
  /** Answers in the memory of one gateway process. */
  bytesMax: number;
  /** `redis`: beside this process's memory, answers are shared by all who use the same Redis. */
  store: 'memory' | 'redis';
}

export interface RedisSettings {
  /** With user and password, where one is needed; never logged. */
  url: string;
  /** Longest wait for the answer to a call. */
  deadlineMs: number;
  /** Begins the name of every key. */
  prefix: string;
}

/** A key that clients may use. */
export interface KeySettings {
  /** Whose it is; appears in logs, and is the tenant that queues and limits know. */
  name: string;
  /** Hex. */
  sha256: string;
  /** Share of served tokens against other keys while requests wait. Default: 1. */
  weight?: number;
  /** Of its requests; each may ask for less. Default: normal. */
  priority?: PriorityName;
  /** Of all its requests together. Default: none. */
  limits?: LimitSettings | undefined;
  /** Further ones on single models, by a name of the model. Default: none. */
  modelLimits?: Readonly<Record<string, LimitSettings>> | undefined;
  /** Whether it may see how requests are shared out. Default: false. */
  explain?: boolean;
}

export interface FileSettings {
  fileBytesMax: number;
  totalBytesMax: number;
  /** Of files with purpose `batch` that name no time themselves. */
  batchTtlMs: number;
}

export interface BatchSettings {
  /** From the creation of a batch to its expiry. */
  windowMs: number;
  linesMax: number;
  /** Batches of one key that are not over. */
  openMax: number;
  /** Lines of all batches together under way at once. */
  inFlightMax: number;
  /** From the sending of a line to the end of its answer. */
  lineTimeoutMs: number;
  /** Share of the places that clients leave free on a replica. */
  fillerShare: number;
}

/** Ordered by epoch (start of the node process, Unix ms), then sequence. */
export interface SnapshotVersion {
  epoch: number;
  seq: number;
}

export interface GatewaySnapshot {
  version: SnapshotVersion;
  settings: GatewaySettings;
  fleet: FleetSnapshot;
}

export function isNewer(a: SnapshotVersion, b: SnapshotVersion): boolean {
  return a.epoch !== b.epoch ? a.epoch > b.epoch : a.seq > b.seq;
}
