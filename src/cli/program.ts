/**
 * The command line: names, options and help of every command, in one place, so that `docs/reference/cli.md` can be generated
 * from it. What a command does stands in its own file, which is loaded only when the command runs.
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import { releaseLine } from '../assembly/config/release.ts';
import type { CommandContext } from './command-context.ts';

const configOption = () =>
  new Option('-c, --config <file>', 'configuration file (else AUTOGLM_CONFIG, ./autoglm.yaml, zero config)');
const jsonOption = () => new Option('--json', 'print JSON for programs');
const adminOption = () =>
  new Option(
    '--admin-url <url>',
    'address of the admin API (else that of the running node, else the configured one)',
  );

const adminKeyOption = () =>
  new Option('--admin-key <key>', 'key for the admin API (else AUTOGLM_ADMIN_KEY, else the configured one)');

export function createProgram(context: CommandContext): Command {
  const program = new Command('autoglm')
    .description(
      'Serves, heals and governs LLM inference: an OpenAI-compatible gateway, a supervisor, one file.',
    )
    .version(releaseLine(), '-v, --version', 'print the release and what it runs on')
    .helpCommand('help [command]', 'show help of a command')
    .showHelpAfterError('(autoglm --help lists commands and options)')
    .enablePositionalOptions();

  program
    .command('serve')
    .description(
      'start everything: node process, gateway and engines; Ctrl-C drains and stops, a second one stops at once',
    )
    .addOption(configOption())
    .action(async (options) => (await import('./serve.ts')).serve(options, context));

  program
    .command('status')
    .description('show gateway, pools and replicas: state, load, restarts, last incident')
    .addOption(configOption())
    .addOption(adminOption())
    .addOption(adminKeyOption())
    .addOption(jsonOption())
    .addOption(new Option('-w, --watch [seconds]', 'refresh until Ctrl-C').preset('1').argParser(readSeconds))
    .action(async (options) => (await import('./status.ts')).status(options, context));

  program
    .command('chat')
    .description('talk to a model through the gateway; reads one question from a pipe')
    .argument('[question...]', 'ask this, print the answer and exit')
    .addOption(configOption())
    .option('-m, --model <name>', 'model to talk to (else the first one that is served)')
    .option('-s, --system <text>', 'system prompt')
    .option('--max-tokens <n>', 'longest answer, in tokens', readTokens)
    .option('--url <url>', 'address of the gateway (else that of the running node, else the configured one)')
    .option('--key <key>', 'key for the gateway (else AUTOGLM_KEY, else a configured one)')
    .action(async (question, options) => (await import('./chat.ts')).chat(question, options, context));

  program
    .command('batches')
    .description('list batches, show one, or cancel one; they are created through the API (docs/batches.md)')
    .argument('[action]', 'list, show or cancel', 'list')
    .argument('[id]', 'of the batch to show or to cancel')
    .addOption(configOption())
    .addOption(
      new Option('--limit <n>', 'batches to list, newest first').default(20).argParser(readListLimit),
    )
    .option('--url <url>', 'address of the gateway (else that of the running node, else the configured one)')
    .option('--key <key>', 'key for the gateway (else AUTOGLM_KEY, else a configured one)')
    .addOption(jsonOption())
    .action(async (action, id, options) =>
      (await import('./batches.ts')).batches(action, id, options, context),
    );

  program
    .command('validate')
    .description('check the configuration and print what would run')
    .argument('[file]', 'configuration file')
    .addOption(configOption())
    .addOption(jsonOption())
    .action(async (file, options) => (await import('./validate.ts')).validate(file, options, context));

  const importCommand = program
    .command('import')
    .description('write an autoglm.yaml from the configuration of another gateway');
  importCommand
    .command('litellm')
    .description('from a LiteLLM config.yaml; lists every line that could not be honoured, with the reason')
    .argument('<file>', 'the config.yaml; files that it includes are read too')
    .option('-o, --output <file>', 'where to write', 'autoglm.yaml')
    .option('--force', 'replace the file when it exists')
    .option('--dry-run', 'write nothing, print the configuration')
    .option('--strict', 'end with code 1 when a line could not be honoured')
    .addOption(jsonOption())
    .action(async (file, options) =>
      (await import('./import-litellm.ts')).importLiteLlmFile(file, options, context),
    );

  program
    .command('doctor')
    .description('look for what is wrong on this machine and say how to mend it')
    .addOption(configOption())
    .addOption(jsonOption())
    .action(async (options) => (await import('./doctor.ts')).doctor(options, context));

  program
    .command('drain')
    .description('let a replica finish what runs, then stop it; it stays stopped until `autoglm restart`')
    .argument('<replica>', 'as `autoglm status` shows it, such as inference-ops-demo/0')
    .addOption(configOption())
    .addOption(adminOption())
    .addOption(adminKeyOption())
    .addOption(jsonOption())
    .action(async (replica, options) => (await import('./drain.ts')).drain(replica, options, context));

  program
    .command('restart')
    .description('restart a replica, a pool (one replica after the other), the gateway or the node process')
    .argument(
      '[replica or pool]',
      'such as inference-ops-demo/0 or inference-ops-demo; releases a quarantine',
    )
    .option('--gateway', 'replace the gateway process: the new one starts beside the old, which drains')
    .option('--node', 'replace the node process; gateway and engines go on and are adopted')
    .addOption(configOption())
    .addOption(adminOption())
    .addOption(adminKeyOption())
    .addOption(jsonOption())
    .action(async (target, options) => (await import('./restart.ts')).restart(target, options, context));

  program
    .command('simulate')
    .description('run one simulated engine (any dialect, seeded timing, scripted faults) in the foreground')
    .argument('[options...]', '`autoglm simulate --help` lists them')
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .action(async (options) => (await import('./simulate.ts')).simulate(options));

  program
    .command('version')
    .description('print the release and what it runs on')
    .addOption(jsonOption())
    .action(async (options) => (await import('./version.ts')).version(options, context));

  return program;
}

function readSeconds(text: string): number {
  const seconds = Number(text);
  if (seconds >= 0.1 && seconds <= 3600) return seconds;
  throw new InvalidArgumentError('would be right: seconds from 0.1 to 3600');
}

function readListLimit(text: string): number {
  const limit = Number(text);
  if (Number.isInteger(limit) && limit >= 1 && limit <= 100) return limit;
  throw new InvalidArgumentError('would be right: an integer from 1 to 100');
}

function readTokens(text: string): number {
  const tokens = Number(text);
  if (Number.isInteger(tokens) && tokens >= 1 && tokens <= 10_000_000) return tokens;
  throw new InvalidArgumentError('would be right: an integer from 1 to 10000000');
}
