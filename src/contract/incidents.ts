/**
 * An incident: what went wrong with one replica, what was done about it, and what clients felt. It is folded from facts alone, so
 * that the page, the report, the metrics and the tests cannot disagree.
 */
import { z } from 'zod';

/** `open`: found, nothing done yet. `healing`: a remedy is under way. */
const INCIDENT_STATES = ['open', 'healing', 'recovered', 'given-up', 'stood-down'] as const;
export type IncidentState = (typeof INCIDENT_STATES)[number];

const evidenceSchema = z.object({
  signal: z.string(),
  text: z.string(),
  line: z.number().optional(),
  times: z.number().optional(),
  role: z.string().optional(),
  rule: z.string().optional(),
  sources: z.array(z.string()).optional(),
});

const incidentDiagnosisSchema = z.object({
  /** A class of the taxonomy, `unknown` or `none`. */
  class: z.string(),
  confidence: z.number(),
  evidence: z.array(evidenceSchema),
  ruledOut: z.array(z.object({ class: z.string(), why: z.string() })),
});
export type IncidentDiagnosis = z.output<typeof incidentDiagnosisSchema>;

const remedyTrialSchema = z.object({
  remedy: z.string(),
  /** Step of the ladder, from 1. */
  step: z.number(),
  because: z.string(),
  startedAtMs: z.number(),
  endedAtMs: z.number().nullable(),
  /** Null while it is under way. */
  helped: z.boolean().nullable(),
  detail: z.string().nullable(),
});
export type RemedyTrial = z.output<typeof remedyTrialSchema>;

export const incidentSchema = z.object({
  /** `inc_` and letters, in the order of time. */
  id: z.string(),
  state: z.enum(INCIDENT_STATES),
  replica: z.string(),
  pool: z.string(),
  generation: z.number(),
  /** Why it was opened, in one sentence. */
  summary: z.string(),
  diagnosis: incidentDiagnosisSchema,
  /** Unix ms. The last sign of life before it; null: not known. */
  lastGoodAtMs: z.number().nullable(),
  openedAtMs: z.number(),
  /** No new request was sent to the replica from here on; null: it stayed in rotation. */
  isolatedAtMs: z.number().nullable(),
  /** Back in rotation, or given up. */
  closedAtMs: z.number().nullable(),
  remedies: z.array(remedyTrialSchema),
  clients: z.object({
    /** Attempts on the replica that failed, by how. */
    attemptsFailed: z.record(z.string(), z.number()),
    /** Streams that went on elsewhere, by tier, and the longest silence their clients saw. */
    streamsContinued: z.record(z.string(), z.number()),
    gapMaxMs: z.number().nullable(),
    /** Requests that failed for their clients. */
    requestsFailed: z.number(),
  }),
  timeline: z.array(z.object({ atMs: z.number(), source: z.string(), text: z.string() })),
  /** Folder of its evidence bundle, under the state directory; null: none was taken. */
  evidence: z.string().nullable(),
  /** It was brought about by a drill. */
  drill: z.string().nullable(),
});
export type Incident = z.output<typeof incidentSchema>;
