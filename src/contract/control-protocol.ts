/**
 * What the node process and a gateway say to each other: newline-delimited JSON over a Unix socket that the node listens on.
 * The gateway connects, says hello, and reconnects for ever; it never waits for an answer on the request path.
 */
import type { ErrorCode } from './errors.ts';
import type { Fact } from './facts.ts';
import type { WaitingAttempts } from './flow.ts';
import type { GatewaySnapshot } from './gateway-snapshot.ts';
import type { LimitShare, LimitUse } from './limit-share.ts';
import type { SuspectRecord } from './suspects.ts';

export type GatewayToNode =
  | { type: 'hello'; gatewayId: string; pid: number }
  /** All workers listen. */
  | { type: 'listening'; host: string; port: number; workers: number }
  /** It finishes what it has, and takes nothing new: whoever asked it to may be gone. */
  | { type: 'draining' }
  | { type: 'facts'; facts: Fact[] }
  /** What it found out of suspect requests; all that it knows with its greeting. */
  | { type: 'suspects'; records: SuspectRecord[] }
  /** While there is more than one gateway, and as the answer to `limitShare`. */
  | { type: 'limitUse'; use: LimitUse }
  | { type: 'report'; id: number; report: GatewayReport }
  | { type: 'flow'; id: number; flow: GatewayFlow }
  | { type: 'gaveUp'; id: number; count: number }
  /** The gateway can not serve and ends. */
  | { type: 'failed'; code: ErrorCode; message: string };

export type NodeToGateway =
  | { type: 'snapshot'; snapshot: GatewaySnapshot }
  | { type: 'collect'; id: number }
  /** The part of a report by which engines are watched: asked often, and cheap. */
  | { type: 'flow'; id: number }
  /** Attempts on a replica are ended and tried elsewhere; `longest`: one, without a token, that has the longest body. */
  | { type: 'giveUp'; id: number; replica: string; which: 'all' | 'longest' }
  /** What the node process, or another gateway, found out. */
  | { type: 'suspects'; records: SuspectRecord[] }
  /** One that is started beside another waits for it, for a moment. */
  | { type: 'limitShare'; share: LimitShare }
  /**
   * Drain, then exit. `replace`: another gateway serves beside this one, so answers carry `Connection: close` for a while
   * before the port is let go, and idle connections end by their own timeout. `stop`: nobody takes over; as soon as what runs
   * has ended, all is closed.
   */
  | { type: 'drain'; mode: 'replace' | 'stop'; deadlineMs: number }
  /** Fault injection for tests and drills; ignored unless the gateway was started with --enable-faults. */
  | { type: 'fault'; worker: number; kind: 'throw' };

/** How fast a replica is, as one gateway has measured it. */
export interface ReplicaSpeed {
  /** How much of its weight counts because it is slower than its peers; 1: it is not. */
  share: number;
  /** For one token; null: not known lately. */
  stepMs: number | null;
}

/** What one gateway sees of the answers of each replica, by id. */
export interface GatewayFlow {
  inFlight: Record<string, number>;
  /** Ms since anything of an answer came; of those that have given any. */
  progressMs: Record<string, number>;
  /** Of attempts without a token; of those that have some. */
  waiting: Record<string, WaitingAttempts>;
  /** Ms for one token; of those that it is known of. */
  stepMs: Record<string, number>;
}

/** State of one gateway at one moment, for `status` and `/metrics`. */
export interface GatewayReport {
  workers: { index: number; state: 'listening' | 'starting' | 'draining'; restarts: number }[];
  inFlight: number;
  queued: number;
  /** In-flight requests by replica id. */
  replicaInFlight: Record<string, number>;
  /** Waiting requests by model. */
  poolQueued: Record<string, number>;
  /** By replica id, ms since anything of an answer came; of those that have given any. Default: none. */
  replicaProgressMs?: Record<string, number>;
  /** By replica id, of those that something is known of. Default: none. */
  replicaSpeeds?: Record<string, ReplicaSpeed>;
  /** Prometheus text of this gateway's counters. */
  metricsText: string;
}
