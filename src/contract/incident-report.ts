/**
 * What is told of incidents: one line of the list, the report of one, and the bundles of evidence. The admin API serves them,
 * the commands and the status page show them.
 */
import type { EvidenceManifest } from './evidence.ts';
import type { Incident, IncidentState } from './incidents.ts';

/** Spans in ms; null: not known, or not so far. */
export interface IncidentTimes {
  /** From the last sign of life to the finding. */
  detectMs: number | null;
  /** From the finding to the moment from which no new request was sent there. */
  isolateMs: number | null;
  /** From the finding to the moment at which the replica served again. */
  recoverMs: number | null;
}

export interface IncidentSummary {
  id: string;
  state: IncidentState;
  class: string;
  confidence: number;
  replica: string;
  summary: string;
  openedAtMs: number;
  closedAtMs: number | null;
  times: IncidentTimes;
  remedies: string[];
  requestsFailed: number;
  hasEvidence: boolean;
}

/** The incident with all that is concluded from it. */
export interface IncidentReport extends Incident {
  title: string;
  times: IncidentTimes;
  /** What a person should do now, in whole sentences. */
  todo: string[];
}

export interface IncidentEvidence {
  incident: string;
  /** Folder of all bundles of the incident, absolute; null: none was taken. */
  path: string | null;
  bundles: EvidenceBundle[];
}

export interface EvidenceBundle {
  /** Absolute; null: the disk took none of it. */
  path: string | null;
  manifest: EvidenceManifest;
}
