/** `docs/reference/cli.md`, from the commands as commander knows them and the table of exit codes. */
import type { Argument, Command, Option } from 'commander';
import type { CommandContext } from '../../src/cli/command-context.ts';
import { createProgram } from '../../src/cli/program.ts';
import { EXIT_CODES } from '../../src/contract/exit-codes.ts';
import { GENERATED_BY, table } from './markdown.ts';

export function cliPage(): string {
  // Only names and texts are read: nothing that needs a context runs.
  const program = createProgram({} as CommandContext);
  return [
    `<!-- ${GENERATED_BY} -->`,
    '# Command line',
    '',
    program.description(),
    '',
    'In a checkout write `npx autoglm COMMAND`. Commands print tables for people and, with `--json`, JSON for programs; colours follow `NO_COLOR`. They find the running system by `--admin-url`, else by what it wrote into its state directory, else by the configuration.',
    '',
    '`autoglm --version` (`-v`) prints what `autoglm version` prints; `autoglm COMMAND --help` explains one command.',
    '',
    '## Keys',
    '',
    'Where the system has keys, commands need one of them. They take the first that there is:',
    '',
    table(
      ['for', 'option', 'environment variable', 'else'],
      [
        [
          'the gateway (`chat`)',
          '`--key`',
          '`AUTOGLM_KEY`',
          'first of `gateway.keys` and AUTOGLM_API_KEYS, where the command reads the same configuration and `--url` names no other address',
        ],
        [
          'the admin API (`status`, `models`, `drain`, `restart`)',
          '`--admin-key`',
          '`AUTOGLM_ADMIN_KEY`',
          'first of `admin.keys`, unless `--admin-url` names another address',
        ],
      ],
    ),
    '',
    'Others on the machine can read the options of a process, so prefer the variables. The curl line that `autoglm serve` prints reads `AUTOGLM_KEY` too.',
    ...program.commands.flatMap(leaves).flatMap((command) => ['', ...commandSection(command)]),
    '',
    '## Exit codes',
    '',
    table(
      ['code', 'meaning'],
      Object.values(EXIT_CODES).map(({ code, meaning }) => [String(code), meaning]),
    ),
    '',
  ].join('\n');
}

/** A command with commands of its own and no options does nothing itself. */
function leaves(command: Command): Command[] {
  const nested = command.commands.flatMap(leaves);
  return nested.length === 0 || command.options.length > 0 ? [command, ...nested] : nested;
}

function fullName(command: Command): string {
  const { parent } = command;
  return parent === null ? command.name() : `${fullName(parent)} ${command.name()}`;
}

function commandSection(command: Command): string[] {
  const lines = [`## ${fullName(command)}`, '', sentence(command.description())];
  const rows = [
    ...command.registeredArguments.map((argument: Argument) => [
      showArgument(argument),
      argument.description,
      '',
    ]),
    ...command.options.map((option: Option) => [
      `\`${option.flags}\``,
      option.description,
      showDefault(option),
    ]),
  ];
  if (rows.length > 0) lines.push('', table(['argument or option', 'meaning', 'default'], rows));
  return lines;
}

function showArgument(argument: Argument): string {
  const name = argument.variadic ? `${argument.name()}...` : argument.name();
  return `\`${argument.required ? `<${name}>` : `[${name}]`}\``;
}

function showDefault({ defaultValue }: Option): string {
  return defaultValue === undefined ? '' : `\`${String(defaultValue)}\``;
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
