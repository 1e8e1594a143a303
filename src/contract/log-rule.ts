/**
 * What a line of an engine's log means: data, one YAML file per engine, because wordings change from release to release.
 * `drivers/engines` loads the rules, `decide/recovery` matches lines against them.
 */
import { z } from 'zod';

/** Classes of faults, each with its row in the table of docs/engines.md. */
export const FAULT_CLASSES = {
  'engine-core-dead': 1,
  'clean-exit-after-fatal': 2,
  'cuda-sticky-error': 3,
  'gpu-out-of-memory': 4,
  'no-memory-at-start': 5,
  'host-out-of-memory': 6,
  'killed-from-outside': 7,
  'collective-timeout': 8,
  'engine-rpc-timeout': 9,
  'shared-memory-heartbeat': 10,
  hung: 11,
  'head-of-line-deadlock': 12,
  'watchdog-timeout': 13,
  'child-dead': 14,
  'slot-wedge': 15,
  busy: 16,
  'frontend-starved': 17,
  'orphan-holds-gpu': 18,
  'gpu-lost': 19,
  'driver-not-ready': 20,
  'network-transient': 21,
  'shared-memory-too-small': 22,
  'kv-exhausted': 23,
  'poison-request': 24,
  'stream-stall': 25,
  'leaked-slots': 26,
  'corrupt-output': 27,
  'slow-start': 28,
  'ready-too-early': 29,
  'bad-configuration': 30,
  straggler: 31,
  'empty-success': 32,
  'dead-parallel-rank': 33,
  'kv-connector-stall': 34,
  'gateway-fault': 35,
} as const;
export type FaultClass = keyof typeof FAULT_CLASSES;

/**
 * `root`: may be the cause. `cascade`: follows from something earlier. `confirmation`: says that something is wrong, not what.
 * `advice`: what to try; never evidence, though it quotes the words of faults.
 */
const LOG_ROLES = ['root', 'cascade', 'confirmation', 'advice'] as const;
export type LogRole = (typeof LOG_ROLES)[number];

const PATTERN_CHARACTERS_MAX = 300;

const logRuleSchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9]+(-[a-z0-9]+)*$/),
  pattern: z.string().min(4).max(PATTERN_CHARACTERS_MAX).refine(isPattern, 'not a regular expression'),
  class: z.enum(Object.keys(FAULT_CLASSES) as [FaultClass, ...FaultClass[]]),
  role: z.enum(LOG_ROLES),
  /** Releases that print it, as far as known. */
  versions: z.string().min(1),
  /** Threads or source files that the wording was taken from. */
  sources: z.array(z.string().min(1)).min(1),
  /** Lines that the rule must match, and no rule before it. */
  examples: z.array(z.string().min(1)).min(1),
});
export type LogRule = z.output<typeof logRuleSchema>;

export const logRuleFileSchema = z.strictObject({
  /** Files beside this one's folder whose rules come after these: `cuda` means `../cuda/log-rules.yaml`. */
  include: z.array(z.string().regex(/^[a-z-]+$/)).default([]),
  rules: z.array(logRuleSchema).max(200),
  /** Lines of an engine that is well; no rule may match them. */
  healthy: z.array(z.string().min(1)).default([]),
});
export type LogRuleFile = z.output<typeof logRuleFileSchema>;

function isPattern(text: string): boolean {
  try {
    new RegExp(text);
    return true;
  } catch {
    return false;
  }
}
