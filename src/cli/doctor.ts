/** `autoglm doctor`: looks at this machine with the eyes of the configuration, one line for each thing, and how to mend it. */
import { loadConfig } from '../assembly/config/load-config.ts';
import { resolveConfig } from '../assembly/config/resolve-config.ts';
import { EXIT_CODES } from '../contract/exit-codes.ts';
import type { CommandContext, CommonOptions } from './command-context.ts';
import { checkEngines, checkGpu } from './doctor/engines.ts';
import type { Check, Finding } from './doctor/finding.ts';
import { checkMachine } from './doctor/machine.ts';
import { checkPorts } from './doctor/ports.ts';
import { checkStateDir } from './doctor/state-dir.ts';
import type { Terminal } from './terminal.ts';

const CHECKS: readonly Check[] = [checkMachine, checkStateDir, checkPorts, checkGpu, checkEngines];

export async function doctor(
  options: CommonOptions,
  { environment, terminal, exit }: CommandContext,
): Promise<void> {
  const loaded = loadConfig(options.config, environment);
  const config = resolveConfig(loaded);
  const findings = (await Promise.all(CHECKS.map((check) => check({ loaded, config })))).flat();
  if (options.json) terminal.print(JSON.stringify({ findings }, null, 2));
  else for (const finding of findings) printFinding(finding, terminal);
  if (findings.some(({ level }) => level === 'fail')) exit(EXIT_CODES.failed.code);
}

function printFinding({ check, level, found, remedy }: Finding, { print, colors }: Terminal): void {
  const paint = level === 'ok' ? colors.green : level === 'warn' ? colors.yellow : colors.red;
  print(`${paint(level.padEnd(4))}  ${colors.bold(check)}: ${found}`);
  if (remedy !== undefined) print(`      ${colors.dim('mend:')} ${remedy}`);
}
