/** All memory that the threads of a gateway share, by what it is for. The main thread makes it and hands it to each worker. */
import { PREFIX_INDEX_BYTES } from '../../decide/scheduling/affinity/prefix-index.ts';
import { RETRY_BUDGET_CELLS } from '../../decide/scheduling/retry-budget.ts';
import { PROGRESS_BYTES } from './health/progress.ts';
import { GATE_BYTES } from './health/replica-gates.ts';
import { STEP_BYTES } from './health/step-times.ts';
import { concurrencyCellsOf, createLimitMemory, type LimitMemory } from './limits/limit-memory.ts';
import { GAUGE_BYTES } from './places/gauge-cells.ts';
import { LOAD_BYTES } from './places/load-cells.ts';
import { COUNT_BYTES, SharedState, WORKERS_MAX } from './shared-state.ts';

export interface SharedMemory {
  counts: SharedArrayBuffer;
  /** Which replica has seen which beginning of a prompt. The system gives it pages as they are written. */
  prefixes: SharedArrayBuffer;
  /** What the breaker says of each replica. */
  gates: SharedArrayBuffer;
  /** Whether replicas are at work. */
  progress: SharedArrayBuffer;
  /** How long replicas need for a token. */
  steps: SharedArrayBuffer;
  /** The budget of retries. */
  retries: SharedArrayBuffer;
  /** What GPU telemetry says of each replica. */
  gauges: SharedArrayBuffer;
  /** How the threads fare, and what follows for the length of queues. */
  load: SharedArrayBuffer;
  /** What of limits is used. */
  limits: LimitMemory;
}

export function createSharedMemory(): SharedMemory {
  return {
    counts: new SharedArrayBuffer(COUNT_BYTES),
    prefixes: new SharedArrayBuffer(PREFIX_INDEX_BYTES),
    gates: new SharedArrayBuffer(GATE_BYTES),
    progress: new SharedArrayBuffer(PROGRESS_BYTES),
    steps: new SharedArrayBuffer(STEP_BYTES),
    retries: new SharedArrayBuffer(RETRY_BUDGET_CELLS * 4),
    gauges: new SharedArrayBuffer(GAUGE_BYTES),
    load: new SharedArrayBuffer(LOAD_BYTES),
    limits: createLimitMemory(WORKERS_MAX),
  };
}

/** Gives back all that a dead worker held. */
export function reclaimWorker(memory: SharedMemory, worker: number): void {
  concurrencyCellsOf(memory.limits, worker).reclaim();
  SharedState.reclaim(memory, worker);
}
