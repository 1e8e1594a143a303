/**
 * What the lines of a log mean: data, one YAML file per engine, because wordings change from release to release.
 * `drivers/engines` loads the files, `decide/diagnosis` matches lines against them.
 */
import { z } from 'zod';
import { readPattern } from './bounded-pattern.ts';
import { FAULT_CLASSES } from './faults.ts';

/**
 * `root`: may be the cause. `cascade`: follows from something earlier. `confirmation`: says that something is wrong, not what.
 * `advice`: what to try; never evidence, though it quotes the words of faults.
 */
const LOG_ROLES = ['root', 'cascade', 'confirmation', 'advice'] as const;
export type LogRole = (typeof LOG_ROLES)[number];

const PATTERN_CHARACTERS_MAX = 400;
const examples = z.array(z.string().min(1)).min(1);

const patternSchema = z
  .string()
  .min(4)
  .max(PATTERN_CHARACTERS_MAX)
  .superRefine((text, context) => {
    const { fault } = readPattern(text);
    if (fault !== null) context.addIssue({ code: 'custom', message: `${fault} (in ${text})` });
  });

const logRuleSchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9]+(-[a-z0-9]+)*$/),
  pattern: patternSchema,
  class: z.enum(FAULT_CLASSES),
  role: z.enum(LOG_ROLES),
  /** Proves nothing alone: an engine that is well prints it, too. Another witness makes it count. */
  weak: z.boolean().default(false),
  /** How often it must come within one attempt to be evidence; for what is normal once and a storm often. */
  timesMin: z.int().min(1).max(1_000).default(1),
  /** Releases that print it, as far as known. */
  versions: z.string().min(1),
  /** Threads or source files that the wording was taken from. */
  sources: z.array(z.string().min(1)).min(1),
  /** Lines that the rule must match, and no rule before it. */
  examples,
});
export type LogRule = z.output<typeof logRuleSchema>;

/**
 * Lines that are no fault, and say where the engine is. `start`: an attempt begins; `phase`: the start goes on; `ready`: it
 * serves; `work`: it made a step; `stop`: it ends in order; `quote`: it is about what a
 * client sent or did, so no rule applies to it.
 */
const MARKER_KINDS = ['start', 'phase', 'ready', 'work', 'stop', 'quote'] as const;
export type MarkerKind = (typeof MARKER_KINDS)[number];

const logMarkerSchema = z.strictObject({ kind: z.enum(MARKER_KINDS), pattern: patternSchema, examples });
export type LogMarker = z.output<typeof logMarkerSchema>;

/** Named groups of a sample's pattern: what the engine says of itself. */
export const SAMPLE_FIELDS = [
  'running',
  'waiting',
  'kvPercent',
  'kvRatio',
  'generationPerS',
  'promptPerS',
] as const;

/** A line with figures about the engine's work. */
const logSampleSchema = z.strictObject({
  pattern: patternSchema.refine(
    (text) =>
      [...text.matchAll(/\(\?<(\w+)>/g)].every(([, name]) =>
        (SAMPLE_FIELDS as readonly string[]).includes(name as string),
      ),
    `its named groups must be among: ${SAMPLE_FIELDS.join(', ')}`,
  ),
  examples,
});
export type LogSample = z.output<typeof logSampleSchema>;

export const logRuleFileSchema = z.strictObject({
  /** Of this format. */
  version: z.literal(1),
  /** The name that people know the engine by. */
  title: z.string().min(1),
  /** Files whose rules come after these: `cuda` means `cuda.yaml`. */
  include: z.array(z.string().regex(/^[a-z-]+$/)).default([]),
  markers: z.array(logMarkerSchema).max(50).default([]),
  samples: z.array(logSampleSchema).max(10).default([]),
  rules: z.array(logRuleSchema).max(200),
  /** Lines of an engine that is well; no rule may match them, but for weak ones. */
  healthy: z.array(z.string().min(1)).default([]),
});
export type LogRuleFile = z.output<typeof logRuleFileSchema>;

/** All that is known of an engine's log: its file, and what that includes. */
export interface LogKnowledge {
  rules: readonly LogRule[];
  markers: readonly LogMarker[];
  samples: readonly LogSample[];
}
