/**
 * `auto-recovery.yaml`, also `auto_recovery` of `autoglm.yaml`: one zod schema gives the type, the JSON Schema for editors and the
 * reference page. What it says is resolved to a `RecoveryPolicy` by `assembly/config/resolve-recovery.ts`.
 */
import { z } from 'zod';
import { FAULT_GROUP_NAMES } from './fault-groups.ts';
import { POLICY_CLASSES } from './recovery-defaults.ts';
import { MONITORED_METRICS } from './recovery-policy.ts';
import { REMEDY_NAMES } from './remedies.ts';
import { REMEDY_WORDS } from './remedy-words.ts';

const UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;
type Unit = keyof typeof UNITS_MS;
/** As JSON Schema has it; it holds for texts, and numbers pass. */
export const TIME_PATTERN = '^(\\d+(?:\\.\\d+)?) ?(ms|s|m|h)?$';
const TIME = new RegExp(TIME_PATTERN);

/** `2s`, `500ms`, `1m`, `1h`; a number alone is of milliseconds. Undefined: it is no time. */
export function timeMs(written: string | number): number | undefined {
  if (typeof written === 'number') return written;
  const [, number, unit = 'ms'] = TIME.exec(written) ?? [];
  return number === undefined ? undefined : Math.round(Number(number) * UNITS_MS[unit as Unit]);
}

/** The longest unit that says it without a fraction. */
export function timeText(ms: number): string {
  if (ms === 0) return '0s';
  const unit = (['h', 'm', 's'] as const).find((one) => ms % UNITS_MS[one] === 0) ?? 'ms';
  return `${ms / UNITS_MS[unit]}${unit}`;
}

function time(range: { min: string; max: string; standard: string | null }, text: string) {
  const [minMs, maxMs] = [timeMs(range.min) as number, timeMs(range.max) as number];
  const standard = range.standard === null ? '' : ` Default: ${range.standard}.`;
  return z
    .union([z.number(), z.string()])
    .superRefine((written, context) => {
      const ms = timeMs(written);
      if (ms !== undefined && ms >= minMs && ms <= maxMs) return;
      const message = `found ${JSON.stringify(written)}; would be right: a time from ${range.min} to ${range.max}, such as 500ms, 2s, 1m or 1h; a number alone is of milliseconds`;
      context.addIssue({ code: 'custom', message });
    })
    .transform((written) => timeMs(written) as number)
    .optional()
    .meta({
      description: `${text}${standard} A time from ${range.min} to ${range.max}.`,
      pattern: TIME_PATTERN,
    });
}

const action = z
  .enum(REMEDY_WORDS as [string, ...string[]])
  // What messages and pages show; the other words stand in docs/auto-recovery.md.
  .meta({ examples: REMEDY_NAMES });
const times = z
  .number()
  .int()
  .min(1)
  .max(1_000)
  .optional()
  .describe('Incidents that are answered so before the next step is taken. Default: 1.');
const steps = z
  .array(
    z.union([
      action,
      z.strictObject({ action: action.describe('The remedy.'), times: times.describe('How often.') }),
    ]),
  )
  .max(20);

const strategySchema = z
  .strictObject({
    action: action
      .optional()
      .describe(
        'The remedy that comes first. What the default ladder has after it follows, and all of the default ladder where it does not have it.',
      ),
    times: z
      .number()
      .int()
      .min(1)
      .max(1_000)
      .optional()
      .describe(
        'Incidents, within `ladder_window`, that are answered with `action` before the next step is taken. Default: as the default ladder has it, else 1.',
      ),
    // biome-ignore lint/suspicious/noThenProperty: the word of the file; nothing awaits it.
    then: steps
      .optional()
      .describe(
        'What follows `action` instead of the default ladder: remedies in their order, each a word or a map of `action` and `times`. `[]`: nothing; `action` is stayed with.',
      ),
    ladder: steps
      .min(1)
      .optional()
      .describe(
        'The whole ladder, instead of `action` and `then`. The last step is stayed with; `observe` does nothing but tell.',
      ),
    delay: time(
      { min: '0s', max: '10m', standard: '0s' },
      'Between the finding and the first remedy; for restarts, before the start that follows.',
    ),
  })
  .superRefine((strategy, context) => {
    const fault = strategyFault(strategy);
    if (fault !== undefined)
      context.addIssue({ code: 'custom', ...fault, path: fault.path === '' ? [] : [fault.path] });
  });

function strategyFault(strategy: {
  action?: unknown;
  times?: unknown;
  then?: unknown;
  ladder?: unknown;
  delay?: unknown;
}): { path: string; message: string } | undefined {
  const { action, ladder } = strategy;
  const dependent = (['times', 'then'] as const).find((key) => strategy[key] !== undefined);
  if (ladder !== undefined && action !== undefined)
    return { path: 'ladder', message: 'found together with `action`; give one of them' };
  if (ladder !== undefined && dependent !== undefined)
    return { path: dependent, message: 'found together with `ladder`, which says it all; leave it out' };
  if (action === undefined && dependent !== undefined)
    return { path: dependent, message: 'found without `action`; add the remedy that comes first' };
  if (Object.values(strategy).every((value) => value === undefined))
    return { path: '', message: 'found nothing in it; would be right: { action: restart_process }' };
  return undefined;
}

export const NATURE_KEYS = ['transient', 'permanent', 'partition'] as const;

/** As messages and pages list them; classes may be written with underscores, too. */
const CLASS_KEYS = POLICY_CLASSES.filter((name) => name.includes('-')).map((name) =>
  name.replaceAll('-', '_'),
);
export const STRATEGY_KEYS = [...POLICY_CLASSES, ...FAULT_GROUP_NAMES, ...NATURE_KEYS] as const;
const ALL_STRATEGY_KEYS = [...STRATEGY_KEYS, ...CLASS_KEYS] as [string, ...string[]];

const monitoringSchema = z
  .strictObject({
    interval: time({ min: '100ms', max: '10m', standard: '2s' }, 'Between two looks at a replica.'),
    metrics: z
      .array(z.enum(MONITORED_METRICS))
      .optional()
      .describe(
        'Figures that are looked at. What tells one fault from another always is, named or not: progress, processes, logs, kernel_log, containers, host_memory. Default: all.',
      ),
    cpu: z
      .strictObject({
        above: z
          .number()
          .min(0.05)
          .max(1)
          .optional()
          .describe('Share of the processor time of an engine that is too much. Default: 0.9.'),
        for: time({ min: '1s', max: '1h', standard: '30s' }, 'How long it has to last.'),
      })
      .optional()
      .describe('When the use of processors is an anomaly.'),
    hang: z
      .strictObject({
        floor: time(
          { min: '100ms', max: '10m', standard: '4s' },
          'Least time without a step, while there is work, before a hang is considered. What the longest prompt needs comes on top.',
        ),
        unmeasured: time(
          { min: '1s', max: '1h', standard: '2m' },
          'The same while it is not known how fast the engine reads prompts.',
        ),
      })
      .optional()
      .describe('When an engine that makes no step hangs.'),
  })
  .optional()
  .describe('What is looked at, and how often.');

const recoverySchema = z
  .strictObject({
    automatic: z
      .boolean()
      .optional()
      .describe(
        'False: faults are found, diagnosed and told, and nothing is done but the restart of what has ended. Default: true.',
      ),
    confidence: z
      .number()
      .min(0.5)
      .max(1)
      .optional()
      .describe(
        'How sure a diagnosis must be for a remedy that takes a replica out of rotation. Default: 0.7.',
      ),
    floor: z
      .number()
      .int()
      .min(1)
      .max(64)
      .optional()
      .describe(
        'Other replicas of the pool that must be ready before one that still answers is taken out of rotation. Default: 1.',
      ),
    verify_timeout: time(
      { min: '1s', max: '1h', standard: '1m' },
      'How long a remedy on a living engine has until its canary passes; then the next step is taken.',
    ),
    ladder_window: time(
      { min: '10s', max: '168h', standard: '10m' },
      'Incidents of one class that follow each other within it climb its ladder; after so long without one it begins anew.',
    ),
    fallback_env: z
      .record(z.string(), z.string())
      .optional()
      .describe('Environment of `fallback_path`. Default: NCCL_P2P_DISABLE=1.'),
    strategies: z
      .partialRecord(z.enum(ALL_STRATEGY_KEYS), strategySchema)
      .optional()
      .describe(
        'By class of fault (docs/diagnosis.md), group or nature. A class goes before its group, a group before the nature, all before the default.',
      ),
  })
  .optional()
  .describe('What is done about faults.');

export const recoveryFileSchema = z
  .strictObject({ monitoring: monitoringSchema, recovery: recoverySchema })
  .describe('How faults of engines are found and answered.');

/** What the user wrote, validated; times in milliseconds. */
export type RecoveryFile = z.output<typeof recoveryFileSchema>;
export type StrategyEntry = z.output<typeof strategySchema>;
