/**
 * What the machine asks of the world. Orders are answered by an event that names their id, or time out; notices need no
 * answer. A late answer is recognised by its id and ignored.
 */
import type { ReplicaState } from '../../contract/fleet.ts';
import type { ReadinessRung } from '../../contract/ports/engine-driver.ts';
import type { ProcessIdentity } from '../../contract/ports/process-host.ts';
import type { ReplicaMemory } from './replica-memory.ts';

export type RecoveryOrder =
  /**
   * Starts a process of this generation, at the latest at `notAfterMs`: later the machine goes by what `find` finds.
   * Answered by `spawned` or `spawnFailed`.
   */
  | { type: 'spawn'; id: number; replica: string; generation: number; notAfterMs: number }
  /** Is there a process of this generation? Answered by `found`. */
  | { type: 'find'; id: number; replica: string; generation: number }
  /** To the process group. Answered by `signalled`. */
  | {
      type: 'signal';
      id: number;
      replica: string;
      generation: number;
      process: ProcessIdentity;
      signal: 'TERM' | 'KILL';
    }
  /** Answered by `probed`. */
  | {
      type: 'probe';
      id: number;
      replica: string;
      generation: number;
      rung: ReadinessRung;
      timeoutMs: number;
    }
  /** Writes the record. Answered by `persisted`. */
  | { type: 'persist'; id: number; replica: string; memory: ReplicaMemory };

export type RecoveryNotice =
  /** Removes the record. */
  | { type: 'forget'; id: number; replica: string }
  /** The view of the fleet has changed: gateways must hear of it at once. */
  | { type: 'publish'; id: number }
  /** A replica changed its state. */
  | {
      type: 'announce';
      id: number;
      replica: string;
      generation: number;
      from: ReplicaState;
      to: ReplicaState;
      reason: string;
    }
  /** Something that people should know; `page`: that they should look at. */
  | { type: 'tell'; id: number; level: 'info' | 'page'; subject: string; text: string };

export type RecoveryEffect = RecoveryOrder | RecoveryNotice;
