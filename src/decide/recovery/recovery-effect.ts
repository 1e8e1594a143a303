/**
 * What the machine asks of the world. Orders are answered by an event that names their id, or time out; notices need no
 * answer. A late answer is recognised by its id and ignored.
 */
import type { ReplicaState } from '../../contract/fleet.ts';
import type { IncidentDiagnosis } from '../../contract/incidents.ts';
import type { ReadinessRung } from '../../contract/ports/engine-driver.ts';
import type { ProcessIdentity } from '../../contract/ports/process-host.ts';
import type { Remedy } from '../../contract/remedies.ts';
import type { ReplicaMemory } from './replica-memory.ts';

/** Remedies that are carried out on an engine that lives. */
export type MendingRemedy = Extract<Remedy, 'abort_request' | 'clear_caches' | 'clear_queue_and_reset'>;

export type IncidentNews =
  | {
      kind: 'opened';
      incident: string;
      generation: number;
      summary: string;
      diagnosis: IncidentDiagnosis;
      /** It takes no traffic from this moment on. */
      isolated: boolean;
    }
  | { kind: 'diagnosed'; incident: string; diagnosis: IncidentDiagnosis }
  | { kind: 'remedyStarted'; incident: string; remedy: Remedy; step: number; because: string }
  | { kind: 'remedyEnded'; incident: string; remedy: Remedy; helped: boolean; detail: string }
  | { kind: 'closed'; incident: string; outcome: 'recovered' | 'given-up' | 'stood-down'; text: string };

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
  /**
   * Takes evidence of an incident, and of the process while it lives: it is ended when this is answered, by `captured`. For one
   * that has ended nobody waits.
   */
  | {
      type: 'capture';
      id: number;
      replica: string;
      generation: number;
      incident: string;
      process: ProcessIdentity | null;
      timeoutMs: number;
    }
  /** Tries a remedy on the living engine. Answered by `mended`. */
  | {
      type: 'mend';
      id: number;
      replica: string;
      generation: number;
      remedy: MendingRemedy;
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
  /** Something about an incident: it becomes a fact. */
  | { type: 'incident'; id: number; replica: string; news: IncidentNews }
  /** Something that people should know; `page`: that they should look at. */
  | { type: 'tell'; id: number; level: 'info' | 'page'; subject: string; text: string };

export type RecoveryEffect = RecoveryOrder | RecoveryNotice;
