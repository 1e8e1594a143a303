/** A recovery policy in words, for `autoglm validate` and the pages. */
import { POLICY_CLASSES } from '../../contract/recovery-defaults.ts';
import type { LadderStep, PolicyClass, RecoveryPolicy } from '../../contract/recovery-policy.ts';
import { type RecoveryFile, type StrategyEntry, timeText } from '../../contract/recovery-policy-schema.ts';
import type { Remedy } from '../../contract/remedies.ts';
import { remedyNamed } from '../../contract/remedy-words.ts';
import type { ResolvedModel } from './resolve-config.ts';
import type { ResolvedRecovery } from './resolve-recovery.ts';

/** `restart_process x 3, restart_safer x 3, quarantine` */
export function ladderText(ladder: readonly LadderStep[]): string {
  const last = ladder.length - 1;
  return ladder
    .map(({ remedy, times }, index) => (times === 1 || index === last ? remedy : `${remedy} x ${times}`))
    .join(', ');
}

export interface LadderRow {
  class: PolicyClass;
  ladder: string;
  delay: string;
  /** Key of the entry that it comes from. */
  from: string;
}

export function ladderRows({ policy, origins }: ResolvedRecovery): LadderRow[] {
  return POLICY_CLASSES.map((name) => ({
    class: name,
    ladder: ladderText(policy.strategies[name].ladder),
    delay: timeText(policy.strategies[name].delayMs),
    from: origins[name] ?? 'default',
  }));
}

export function settingsText({
  automatic,
  monitoring,
  confidenceMin,
  floor,
  ...times
}: RecoveryPolicy): string[] {
  const { intervalMs, metrics, cpuRatio, cpuForMs, hangFloorMs, hangUnmeasuredMs } = monitoring;
  const percent = (ratio: number) => `${Math.round(ratio * 100)} %`;
  return [
    `looks every ${timeText(intervalMs)} at ${metrics.join(', ')}`,
    `CPU above ${percent(cpuRatio)} for ${timeText(cpuForMs)} is an anomaly; a hang is considered after ${timeText(hangFloorMs)} (${timeText(hangUnmeasuredMs)} while the speed of prompts is not known)`,
    automatic
      ? `acts by itself, when it is sure to ${percent(confidenceMin)}; takes nothing out that still answers unless ${floor === 1 ? 'another replica is' : `${floor} other replicas are`} ready`
      : 'tells people, and does nothing but start again what has ended',
    `a remedy has ${timeText(times.verifyMs)} to show that it helped; a ladder begins anew after ${timeText(times.ladderWindowMs)} without an incident`,
  ];
}

/** Remedies that the user wrote and that no model has the means for. */
export function meansNotes(
  written: RecoveryFile | undefined,
  models: readonly Pick<ResolvedModel, 'standby' | 'spareDevices' | 'saferSteps'>[],
): string[] {
  const entries = Object.entries(written?.recovery?.strategies ?? {});
  const missing = (Object.keys(NEEDS) as NeedyRemedy[]).filter((remedy) => !models.some(NEEDS[remedy].has));
  return missing.flatMap((remedy) => {
    const keys = entries.flatMap(([key, entry]) => (namedIn(entry).includes(remedy) ? [key] : []));
    if (keys.length === 0) return [];
    const where = keys.map((key) => `recovery.strategies.${key}`).join(', ');
    return [`${where}: ${remedy} is left out at each incident: no model has \`${NEEDS[remedy].key}\``];
  });
}

type NeedyRemedy = 'move_to_standby' | 'rebuild_elsewhere' | 'restart_safer';
type Means = Pick<ResolvedModel, 'standby' | 'spareDevices' | 'saferSteps'>;

const NEEDS: Record<NeedyRemedy, { key: string; has(model: Means): boolean }> = {
  move_to_standby: { key: 'standby', has: ({ standby }) => standby > 0 },
  rebuild_elsewhere: { key: 'spare_devices', has: ({ spareDevices }) => spareDevices.length > 0 },
  restart_safer: { key: 'safer_steps', has: ({ saferSteps }) => saferSteps.length > 0 },
};

function namedIn(entry: StrategyEntry | undefined): Remedy[] {
  const { action, then = [], ladder = [] } = entry ?? {};
  const words = [...(action === undefined ? [] : [action]), ...then, ...ladder];
  return words.map((word) => remedyNamed(typeof word === 'string' ? word : word.action));
}
