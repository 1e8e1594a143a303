/**
 * From what `auto-recovery.yaml` says to the policy that runs: every class of fault with its ladder. The most specific entry
 * counts: class, then group, then nature, then the default. Pure.
 */
import { FAULT_GROUP_NAMES, FAULT_GROUPS, type FaultGroup } from '../../contract/fault-groups.ts';
import { FAULT_CLASSES, FAULTS } from '../../contract/faults.ts';
import { DEFAULT_RECOVERY_POLICY, POLICY_CLASSES } from '../../contract/recovery-defaults.ts';
import type {
  LadderStep,
  MonitoredMetric,
  MonitoringPolicy,
  PolicyClass,
  RecoveryPolicy,
  RecoveryStrategy,
} from '../../contract/recovery-policy.ts';
import {
  NATURE_KEYS,
  type RecoveryFile,
  STRATEGY_KEYS,
  type StrategyEntry,
} from '../../contract/recovery-policy-schema.ts';
import { remedyNamed } from '../../contract/remedy-words.ts';
import type { ConfigProblem } from './config-problem.ts';
import { senseless } from './recovery-sense.ts';

export interface ResolvedRecovery {
  policy: RecoveryPolicy;
  /** Key of the entry that each class has its ladder from; null: the default. */
  origins: Readonly<Record<PolicyClass, string | null>>;
  /** Parts of entries that do not count, and why; for people. */
  notes: string[];
  /** With paths as in `auto-recovery.yaml`. */
  problems: ConfigProblem[];
}

const DEFAULTS = DEFAULT_RECOVERY_POLICY;

/**
 * Not figures but what tells one fault from another: whoever names figures has not asked for strategies that cannot be told when
 * to act. `host_memory` counts the kills for want of memory. What of them a system shall not look at, `signals` says.
 */
const ALWAYS_LOOKED_AT: ReadonlySet<MonitoredMetric> = new Set<MonitoredMetric>([
  'progress',
  'processes',
  'logs',
  'kernel_log',
  'containers',
  'host_memory',
]);

export function resolveRecovery(file: RecoveryFile | undefined): ResolvedRecovery {
  const { recovery } = file ?? {};
  const { strategies, origins, notes, problems } = resolveStrategies(recovery?.strategies ?? {});
  return {
    policy: {
      automatic: recovery?.automatic ?? DEFAULTS.automatic,
      monitoring: resolveMonitoring(file?.monitoring),
      confidenceMin: recovery?.confidence ?? DEFAULTS.confidenceMin,
      floor: recovery?.floor ?? DEFAULTS.floor,
      verifyMs: recovery?.verify_timeout ?? DEFAULTS.verifyMs,
      ladderWindowMs: recovery?.ladder_window ?? DEFAULTS.ladderWindowMs,
      fallbackEnv: recovery?.fallback_env ?? DEFAULTS.fallbackEnv,
      strategies,
    },
    origins,
    notes,
    problems,
  };
}

function resolveMonitoring(written: RecoveryFile['monitoring']): MonitoringPolicy {
  const standard = DEFAULTS.monitoring;
  return {
    intervalMs: written?.interval ?? standard.intervalMs,
    metrics: standard.metrics.filter(
      (metric) => ALWAYS_LOOKED_AT.has(metric) || (written?.metrics?.includes(metric) ?? true),
    ),
    cpuRatio: written?.cpu?.above ?? standard.cpuRatio,
    cpuForMs: written?.cpu?.for ?? standard.cpuForMs,
    hangFloorMs: written?.hang?.floor ?? standard.hangFloorMs,
    hangUnmeasuredMs: written?.hang?.unmeasured ?? standard.hangUnmeasuredMs,
  };
}

type Entries = Readonly<Record<string, StrategyEntry | undefined>>;

/** What an entry would do for each of its classes, and what speaks against that. */
interface Meant {
  key: string;
  written: string;
  entry: StrategyEntry;
  perClass: { name: PolicyClass; strategy: RecoveryStrategy; fault: LadderFault | null }[];
}

interface LadderFault {
  path: readonly (string | number)[];
  message: string;
}

function resolveStrategies(entries: Entries): {
  strategies: Record<PolicyClass, RecoveryStrategy>;
  origins: Record<PolicyClass, string | null>;
  notes: string[];
  problems: ConfigProblem[];
} {
  const strategies = { ...DEFAULTS.strategies };
  const origins = Object.fromEntries(POLICY_CLASSES.map((name) => [name, null])) as Record<
    PolicyClass,
    string | null
  >;
  const notes: string[] = [];
  const problems: ConfigProblem[] = [];
  const { known, twice } = byKey(entries);
  problems.push(...twice);
  // From the widest to the narrowest, so that the narrower one has the last word.
  for (const { key, classes } of WIDEST_FIRST) {
    const found = known.get(key);
    if (found === undefined) continue;
    const meant = meanFor({ key, ...found }, classes);
    problems.push(...faultsOf(meant));
    notes.push(...notesOf(meant));
    for (const { name, strategy, fault } of meant.perClass) {
      if (fault !== null) continue;
      strategies[name] = strategy;
      origins[name] = found.written;
    }
  }
  return { strategies, origins, notes, problems };
}

const WIDEST_FIRST: readonly { key: string; classes: readonly PolicyClass[] }[] = [
  ...NATURE_KEYS.map((nature) => ({
    key: nature as string,
    classes: FAULT_CLASSES.filter((name) => FAULTS[name].nature === nature),
  })),
  ...FAULT_GROUP_NAMES.map((key) => ({ key: key as string, classes: classesOf(key) })).toSorted(
    (a, b) => b.classes.length - a.classes.length,
  ),
  ...POLICY_CLASSES.map((name) => ({ key: name as string, classes: [name] })),
];

function classesOf(group: FaultGroup): readonly PolicyClass[] {
  return FAULT_GROUPS[group];
}

/** Classes may be written with underscores; one class in both spellings is a mistake. */
function byKey(entries: Entries): {
  known: Map<string, { written: string; entry: StrategyEntry }>;
  twice: ConfigProblem[];
} {
  const known = new Map<string, { written: string; entry: StrategyEntry }>();
  const twice: ConfigProblem[] = [];
  for (const [written, entry] of Object.entries(entries)) {
    if (entry === undefined) continue;
    const key =
      STRATEGY_KEYS.find((one) => one === written || one.replaceAll('-', '_') === written) ?? written;
    const other = known.get(key);
    if (other === undefined) known.set(key, { written, entry });
    else
      twice.push({
        path: ['recovery', 'strategies', written],
        message: `found together with "${other.written}", which is the same class; leave one of them out`,
        atKey: true,
      });
  }
  return { known, twice };
}

function meanFor(
  { key, written, entry }: { key: string; written: string; entry: StrategyEntry },
  classes: readonly PolicyClass[],
): Meant {
  const perClass = classes.map((name) => {
    const standard = DEFAULTS.strategies[name];
    const { ladder, places } = ladderOf(entry, standard.ladder);
    const fault = firstFault(name, ladder, places);
    return { name, strategy: { ladder, delayMs: entry.delay ?? standard.delayMs }, fault };
  });
  return { key, written, entry, perClass };
}

/** Where in its entry a step was written; null: it comes from the default. */
type Place = readonly (string | number)[] | null;

function ladderOf(
  entry: StrategyEntry,
  standard: readonly LadderStep[],
): { ladder: LadderStep[]; places: Place[] } {
  if (entry.ladder !== undefined) {
    return { ladder: entry.ladder.map(stepOf), places: entry.ladder.map((_, index) => ['ladder', index]) };
  }
  if (entry.action === undefined) return { ladder: [...standard], places: standard.map(() => null) };
  const remedy = remedyNamed(entry.action);
  const at = standard.findIndex((step) => step.remedy === remedy);
  const first = { remedy, times: entry.times ?? standard[at]?.times ?? 1 };
  const rest = entry.then?.map(stepOf) ?? standard.slice(at + 1);
  const restPlaces = rest.map((_, index): Place => (entry.then === undefined ? null : ['then', index]));
  return { ladder: [first, ...rest], places: [['action'], ...restPlaces] };
}

function stepOf(written: string | { action: string; times?: number | undefined }): LadderStep {
  if (typeof written === 'string') return { remedy: remedyNamed(written), times: 1 };
  return { remedy: remedyNamed(written.action), times: written.times ?? 1 };
}

function firstFault(
  name: PolicyClass,
  ladder: readonly LadderStep[],
  places: readonly Place[],
): LadderFault | null {
  for (const [index, { remedy }] of ladder.entries()) {
    const place = places[index];
    if (place === undefined || place === null) continue;
    const why = senseless(name, remedy, ladder.slice(0, index));
    if (why !== null)
      return { path: place, message: `found ${remedy}, which makes no sense for ${name}: ${why}` };
  }
  return null;
}

/** An entry that fits none of its classes is a mistake. One that fits some counts for them. */
function faultsOf({ written, perClass }: Meant): ConfigProblem[] {
  const [first] = perClass;
  if (first === undefined || first.fault === null || perClass.some(({ fault }) => fault === null)) return [];
  const { path, message } = first.fault;
  return [{ path: ['recovery', 'strategies', written, ...path], message }];
}

function notesOf({ written, perClass }: Meant): string[] {
  const left = perClass.filter(({ fault }) => fault !== null);
  if (left.length === 0 || left.length === perClass.length) return [];
  const names = left.map(({ name }) => name).join(', ');
  return [`recovery.strategies.${written} does not count for ${names}: it makes no sense there`];
}
