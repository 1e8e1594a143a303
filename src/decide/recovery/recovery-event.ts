/** What the machine is told: time, answers to its orders, observations and commands. Past tense throughout. */
import type { ProcessExit, ProcessIdentity } from '../../contract/ports/process-host.ts';
import type { ReplicaSpec } from './replica.ts';
import type { ReplicaMemory } from './replica-memory.ts';
import type { Verdict } from './verdict.ts';

export type RecoveryEvent =
  /** Time has moved to `nowMs` (monotonic). Comes before every other event of that moment. */
  | { type: 'ticked'; nowMs: number }

  // Answers to orders.
  | { type: 'spawned'; effect: number; replica: string; process: ProcessIdentity; url: string | null }
  /** `permanent`: trying again cannot mend it, such as a missing program. */
  | { type: 'spawnFailed'; effect: number; replica: string; permanent: boolean; reason: string }
  | { type: 'found'; effect: number; replica: string; process: ProcessIdentity | null; url: string | null }
  /** `gone`: there was no process left to signal. */
  | { type: 'signalled'; effect: number; replica: string; gone: boolean }
  /**
   * `url`: learnt by the probe, for engines that choose their port themselves. `busy`: it did not answer in time, and gateways see
   * it work. `late`: it did not answer in time, nobody sees it work, and its port accepts connections.
   */
  | {
      type: 'probed';
      effect: number;
      replica: string;
      ok: boolean;
      detail: string;
      url?: string;
      busy?: boolean;
      late?: boolean;
    }
  /** `folder`: where the evidence lies; null: none was taken. */
  | { type: 'captured'; effect: number; replica: string; folder: string | null }
  | { type: 'mended'; effect: number; replica: string; ok: boolean; detail: string }
  | { type: 'persisted'; effect: number; replica: string; ok: boolean }

  // Observations.
  /** `lastWords`: what its log says of the cause; null: nothing. `verdict`: what all signals together say; null: not asked. */
  | {
      type: 'exited';
      replica: string;
      generation: number;
      exit: ProcessExit;
      lastWords: string | null;
      verdict: Verdict | null;
    }
  /** What the signals of a living engine say, at each look; `none` when they say nothing. */
  | { type: 'diagnosed'; replica: string; generation: number; verdict: Verdict }
  | { type: 'attemptFailed'; replica: string; generation: number }
  /** Every gateway that lives was asked and has answered, or one of them named requests; nothing is said otherwise. */
  | { type: 'inFlightReported'; replica: string; count: number }

  // The supervisor comes (back) to life: first these, then `configured`.
  /** A process of a former supervisor runs. `memory` is null when its record was never written. */
  | {
      type: 'adopted';
      replica: string;
      generation: number;
      process: ProcessIdentity;
      url: string | null;
      launchHash: string;
      memory: ReplicaMemory | null;
    }
  /** A record without a process. */
  | { type: 'recalled'; memory: ReplicaMemory }
  /** A process of ours that nothing accounts for. `name` is unique among replica ids. */
  | { type: 'strayFound'; name: string; generation: number; process: ProcessIdentity }

  // Commands.
  /** All replicas that shall be. */
  | { type: 'configured'; replicas: readonly ReplicaSpec[] }
  | { type: 'drainRequested'; replica: string }
  | { type: 'restartRequested'; replica: string }
  | { type: 'rollingRestartRequested'; pool: string; because: string }
  | { type: 'endRequested'; how: 'drain' | 'kill' };
