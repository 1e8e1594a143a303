/**
 * What the node process and a gateway say to each other: newline-delimited JSON over a Unix socket that the node listens on.
 * The gateway connects, says hello, and reconnects for ever; it never waits for an answer on the request path.
 */
import type { Fact } from './facts.ts';
import type { GatewaySnapshot } from './gateway-snapshot.ts';

export type GatewayToNode =
  | { type: 'hello'; gatewayId: string; pid: number; startTicks: number; release: string }
  /** All workers listen. */
  | { type: 'listening'; host: string; port: number; workers: number }
  | { type: 'facts'; facts: Fact[] }
  | { type: 'report'; id: number; report: GatewayReport }
  | { type: 'drained' };

export type NodeToGateway =
  | { type: 'snapshot'; snapshot: GatewaySnapshot }
  | { type: 'collect'; id: number }
  /** Two-phase drain, then exit: `Connection: close` on answers first, then stop listening, then wait for streams. */
  | { type: 'drain'; deadlineMs: number };

/** State of one gateway at one moment, for `status` and `/metrics`. */
export interface GatewayReport {
  workers: { index: number; state: 'listening' | 'starting' | 'draining'; restarts: number }[];
  inFlight: number;
  queued: number;
  /** In-flight requests by replica id. */
  replicaInFlight: Record<string, number>;
  /** Prometheus text of this gateway's counters. */
  metricsText: string;
}
