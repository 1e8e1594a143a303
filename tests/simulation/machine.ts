/** The parts of the supervisor that a simulation runs, as they are or, by a mutation, broken. */
import type { ProcessHost } from '../../src/contract/ports/process-host.ts';
import type { ReplicaRecord } from '../../src/contract/ports/replica-records.ts';
import type { FleetState } from '../../src/decide/recovery/fleet-state.ts';
import type { RecoveryEvent } from '../../src/decide/recovery/recovery-event.ts';
import { type StepResult, step } from '../../src/decide/recovery/step.ts';
import { bootEvents } from '../../src/planes/supervisor/boot.ts';

/** What a supervisor looks at when it comes to life. */
export interface Found {
  records: readonly ReplicaRecord[];
  processHost: ProcessHost;
  /** Whether any process has this pid: what a careless supervisor would ask. */
  isTaken(pid: number): boolean;
  nowMs: number;
}

export interface Machine {
  step(state: FleetState, event: RecoveryEvent): StepResult;
  boot(found: Found): RecoveryEvent[];
}

export const INSTANCE = 'pretended';
const RESTART_WAIT_MAX_MS = 10_000;

export const MACHINE: Machine = {
  step,
  boot: ({ records, processHost, nowMs }) =>
    bootEvents(
      { processHost, paths: { instance: INSTANCE, logDir: '', workDir: '' } },
      records,
      moment(nowMs),
      RESTART_WAIT_MAX_MS,
    ),
};

/** The wall clock, for records; the machine never sees it. */
export function moment(nowMs: number) {
  return { wallMs: nowMs + 1_700_000_000_000, monotonicMs: nowMs };
}
