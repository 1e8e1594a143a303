/** The part of `autoglm validate` that is about recovery, and all of it where only a recovery policy was named. */
import type { LoadedRecovery } from '../assembly/config/load-recovery.ts';
import { ladderRows, settingsText } from '../assembly/config/recovery-text.ts';
import { type ResolvedRecovery, resolveRecovery } from '../assembly/config/resolve-recovery.ts';
import type { CommandContext, CommonOptions } from './command-context.ts';
import { plainTable } from './plain-table.ts';
import type { Colors } from './terminal.ts';

export interface PlannedRecovery extends ResolvedRecovery {
  /** Who says so; null: nobody, these are the defaults. */
  file: string | null;
}

export function validateRecovery(
  { file, written }: LoadedRecovery,
  options: CommonOptions,
  { terminal }: CommandContext,
): void {
  const planned = { ...resolveRecovery(written), file };
  if (options.json) {
    terminal.print(JSON.stringify({ valid: true, recovery: recoveryForPrograms(planned) }, null, 2));
    return;
  }
  const { colors } = terminal;
  terminal.print(`${colors.green('valid:')} ${file}`);
  terminal.print(describeRecovery(planned, true, colors));
  for (const note of planned.notes) terminal.print(colors.yellow(`note      ${note}`));
}

/** `whole`: with the ladders of all classes; else of those that the policy changes. */
export function describeRecovery(planned: PlannedRecovery, whole: boolean, colors: Colors): string {
  const { file, policy } = planned;
  if (file === null && !whole)
    return 'recovery  defaults: `autoglm validate --recovery` prints them, auto-recovery.yaml changes them';
  const own = ladderRows(planned).filter(({ from }) => whole || from !== 'default');
  const [looks = '', ...others] = settingsText(policy);
  const lines = [`recovery  ${file ?? 'defaults'}: ${looks}`, ...others.map((text) => `          ${text}`)];
  if (!whole) lines.push('          what is done about each class of fault: `autoglm validate --recovery`');
  if (own.length === 0) return lines.join('\n');
  const table = plainTable(['CLASS', 'REMEDIES', 'DELAY', 'FROM'], colors);
  for (const { class: name, ladder, delay, from } of own) table.push([name, ladder, delay, from]);
  return [...lines, table.toString()].join('\n');
}

export function recoveryForPrograms({ file, policy, origins, notes }: PlannedRecovery) {
  const { fallbackEnv, strategies, ...settings } = policy;
  return {
    file,
    ...settings,
    // Values may be secrets, as those of engines may.
    fallbackEnv: Object.keys(fallbackEnv),
    strategies: Object.fromEntries(
      Object.entries(strategies).map(([name, strategy]) => [
        name,
        { ...strategy, from: origins[name as keyof typeof origins] ?? 'default' },
      ]),
    ),
    notes,
  };
}
