/** `autoglm import litellm FILE`: writes an `autoglm.yaml` and lists every line that it could not honour. */
import { existsSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { writeFault } from '../assembly/config/file-fault.ts';
import { importLiteLlm, type LiteLlmImport } from '../assembly/config/litellm/import-litellm.ts';
import { showNotHonoured } from '../assembly/config/litellm/not-honoured.ts';
import { parseConfig, readText } from '../assembly/config/load-config.ts';
import { PlatformError } from '../contract/errors.ts';
import { EXIT_CODES } from '../contract/exit-codes.ts';
import type { CommandContext } from './command-context.ts';

export interface ImportOptions {
  output: string;
  force?: boolean;
  dryRun?: boolean;
  strict?: boolean;
  json?: boolean;
}

export function importLiteLlmFile(file: string, options: ImportOptions, context: CommandContext): void {
  const { environment, terminal } = context;
  const source = resolve(environment.workDir, file);
  const imported = importLiteLlm(source, readText(source), readText);
  checkResult(source, imported, context);
  const target = resolve(environment.workDir, options.output);
  const text = `${header(file, imported)}${imported.text}`;
  if (options.dryRun !== true) write(target, text, options.force === true);
  if (options.json === true) {
    const written = options.dryRun === true ? null : target;
    terminal.print(
      JSON.stringify({ written, notHonoured: imported.notHonoured, config: imported.text }, null, 2),
    );
  } else report(text, target, imported, options, context);
  if (options.strict === true && imported.notHonoured.length > 0) context.exit(EXIT_CODES.failed.code);
}

/** What was written must be valid; variables that are not set here may well be set where it will run. */
function checkResult(source: string, { text, locate }: LiteLlmImport, { environment }: CommandContext): void {
  const names = [...text.matchAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g)].map(([, name]) => name as string);
  const unset = names.filter((name) => environment.variables[name] === undefined);
  const stand = Object.fromEntries(unset.map((name) => [name, 'http://127.0.0.1:1']));
  parseConfig(source, text, { ...environment, variables: { ...environment.variables, ...stand } }, locate);
}

function header(file: string, { notHonoured }: LiteLlmImport): string {
  const lost = notHonoured.map(({ line, path, reason }) => `#   line ${line}: ${path}: ${reason}`);
  const list = lost.length === 0 ? [] : ['# Not honoured:', ...lost];
  return `${[`# From ${file} (LiteLLM), by autoglm import litellm.`, ...list].join('\n')}\n`;
}

function write(target: string, text: string, force: boolean): void {
  if (existsSync(target) && !force) {
    throw new PlatformError(
      'invalid_request',
      `${target} exists already; name another file with --output, or replace it with --force`,
    );
  }
  try {
    // Keys may stand in it.
    writeFileSync(target, text, { mode: 0o600 });
  } catch (error) {
    throw PlatformError.from(error, 'config_invalid', `${target}: ${writeFault(error)}`);
  }
}

function report(
  text: string,
  target: string,
  { notHonoured }: LiteLlmImport,
  { dryRun }: ImportOptions,
  { terminal }: CommandContext,
): void {
  const { colors } = terminal;
  if (dryRun === true) terminal.print(text);
  else terminal.print(`${colors.green('written:')} ${target}`);
  if (notHonoured.length === 0) return terminal.complain('every line is honoured');
  terminal.complain(
    `${notHonoured.length} ${notHonoured.length === 1 ? 'line is' : 'lines are'} not honoured:`,
  );
  for (const line of notHonoured) terminal.complain(`  ${showNotHonoured(line)}`);
}
