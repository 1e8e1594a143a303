/** The parts of the supervisor that a simulation runs, as they are or, by a mutation, broken. */
import type { ProcessHost } from '../../src/contract/ports/process-host.ts';
import type { ReplicaRecord } from '../../src/contract/ports/replica-records.ts';
import { diagnose } from '../../src/decide/diagnosis/diagnose.ts';
import type { SignalWindow } from '../../src/decide/diagnosis/signals.ts';
import type { FleetState } from '../../src/decide/recovery/fleet-state.ts';
import type { RecoveryEvent } from '../../src/decide/recovery/recovery-event.ts';
import { type StepResult, step } from '../../src/decide/recovery/step.ts';
import type { Verdict } from '../../src/decide/recovery/verdict.ts';
import { bootEvents } from '../../src/planes/supervisor/boot.ts';
import { verdictOf } from '../../src/planes/supervisor/watch/verdict-of.ts';

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
  /** What signals say of an engine. */
  judge(window: SignalWindow): Verdict;
  /** Whether an order of a supervisor is refused because another one, of that number, has taken over. */
  refuses(life: number, newest: number): boolean;
}

export const INSTANCE = 'pretended';
const RESTART_WAIT_MAX_MS = 10_000;

export const MACHINE: Machine = {
  step,
  judge: (window) => verdictOf(diagnose(window)),
  refuses: (life, newest) => life !== newest,
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
