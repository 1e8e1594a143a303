/**
 * A bundle of evidence: what was seen of an engine at the moment of an incident, one file per part, and `manifest.json`, which
 * says of each part whether it was taken, and why not.
 */
import { z } from 'zod';

const EVIDENCE_PARTS = [
  'signals',
  'log',
  'stacks',
  'metrics',
  'requests',
  'configuration',
  'gpu',
  'processes',
  'memory',
  'node',
] as const;
export type EvidencePart = (typeof EVIDENCE_PARTS)[number];

export const evidenceManifestSchema = z.object({
  format: z.literal(1),
  incident: z.string(),
  replica: z.string(),
  generation: z.number(),
  engine: z.string(),
  takenAtMs: z.number(),
  tookMs: z.number(),
  parts: z.array(
    z.object({
      name: z.enum(EVIDENCE_PARTS),
      /** `partly`: what there was when the time was over, or the room. */
      state: z.enum(['taken', 'partly', 'missing']),
      /** In the folder of the bundle; null: nothing was written. */
      file: z.string().nullable(),
      bytes: z.number(),
      /** Why it is missing or not whole; null: it is whole. */
      why: z.string().nullable(),
    }),
  ),
});
export type EvidenceManifest = z.output<typeof evidenceManifestSchema>;

export interface EvidenceSettings {
  /** All bundles together. */
  bytesMax: number;
  bundlesMax: number;
  /** Longest that taking one bundle may last: an engine that is to be ended waits for it. */
  deadlineMs: number;
  /** Texts of requests may be kept, where logs and lists of requests have them. */
  prompts: boolean;
}
