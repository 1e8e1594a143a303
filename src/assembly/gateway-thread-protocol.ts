/** What the main thread of a gateway and its workers say to each other; never on the path of a request. */
import type { MessagePort } from 'node:worker_threads';
import type { Fact } from '../contract/facts.ts';
import type { WaitingAttempts } from '../contract/flow.ts';
import type { SlottedSnapshot } from '../planes/gateway/fleet-table.ts';
import type { HealthReport } from '../planes/gateway/health/attempt-health.ts';
import type { SharedMemory } from '../planes/gateway/shared-memory.ts';
import type { FromDesk, ToDesk } from '../planes/gateway/suspects/suspect-messages.ts';
import type { MetricDeltas } from '../wire/prometheus/metric-set.ts';

export interface WorkerStart {
  memory: SharedMemory;
  index: number;
  slotted: SlottedSnapshot;
  logFile: string;
  /** Makes request ids unique over workers and restarts. */
  idPrefix: string;
  enableFaults: boolean;
  /** Where the bytes of files lie. */
  fileDir: string;
  /** To the storage thread; null where nothing can be kept. */
  storage: MessagePort | null;
  /** To the cache thread; null where no answer is kept for others. */
  cache: MessagePort | null;
}

export type ToWorker =
  | { type: 'listen'; host: string; port: number }
  | { type: 'snapshot'; slotted: SlottedSnapshot }
  /** Not ready; answers carry `Connection: close`. */
  | { type: 'announce-close' }
  /** Accept no more; exit when the last connection has ended. */
  | { type: 'close'; stopsAll: boolean }
  | { type: 'flush' }
  | { type: 'waiting'; id: number }
  | { type: 'giveUp'; id: number; replica: string; which: 'all' | 'longest' }
  | { type: 'suspects'; message: ToDesk }
  /** To the storage thread that replaces a dead one. */
  | { type: 'storage'; port: MessagePort }
  /** The same of the cache thread. */
  | { type: 'cache'; port: MessagePort }
  | { type: 'fault'; kind: 'throw' };

export type FromWorker =
  | { type: 'loaded' }
  | { type: 'listening'; port: number }
  | { type: 'listen-failed'; code: string; message: string }
  | { type: 'telemetry'; deltas: MetricDeltas; facts: Fact[]; health: HealthReport[] }
  | { type: 'waiting'; id: number; waiting: Record<string, WaitingAttempts> }
  | { type: 'gaveUp'; id: number; count: number }
  | { type: 'suspect'; event: FromDesk }
  | { type: 'closed' };
