/**
 * Port: takes evidence of an engine in trouble. In the contract: what can be seen is written to a folder of the incident within
 * the deadline, what cannot is named with the reason, and neither a full disk nor a stuck process makes it throw or wait longer.
 * Nothing that is written holds a key, a password, or the value of an environment variable.
 */
import type { Secret } from '../../base/secret.ts';
import type { EvidenceBundle } from '../incident-report.ts';
import type { ProcessIdentity } from './process-host.ts';

export interface EvidenceSubject {
  /** Id of the incident. */
  incident: string;
  replica: string;
  engine: string;
  generation: number;
  /** Null: it has ended, or runs elsewhere. */
  process: ProcessIdentity | null;
  /** Beginning of AUTOGLM_OWNER of all that this start has left. */
  ownerPrefix: string;
  /** Null: nobody answers there any more. */
  metricsUrl: string | null;
  engineKey?: Secret | undefined;
  logFile: string | null;
}

/** What others know; plain data. */
export interface EvidenceMaterial {
  signals: unknown;
  /** Queue and requests under way; asked for under the deadline. */
  requests(): Promise<unknown>;
  /** Without keys and values of variables. */
  configuration: unknown;
  /** Releases and settings of the node. */
  node: Readonly<Record<string, unknown>>;
  /** Texts that must not be written, beside what looks like one. */
  secrets: readonly Secret[];
}

export interface EvidenceCollector {
  /** `folder`: of the incident's bundles, relative to the state directory; null: nothing could be written. */
  capture(
    subject: EvidenceSubject,
    material: EvidenceMaterial,
    signal: AbortSignal,
  ): Promise<{ folder: string | null; tookMs: number }>;
  /** Bundles of an incident, oldest first; also those that the disk did not take. */
  bundles(incident: string): Promise<EvidenceBundle[]>;
  /** Of incidents that nobody knows any more. */
  forget(incident: string): Promise<void>;
}
