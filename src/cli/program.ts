/**
 * The command line: names, options and help of every command, in one place, so that `docs/reference/cli.md` can be generated
 * from it. What a command does stands in its own file, which is loaded only when the command runs.
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import { nearest } from '../assembly/config/did-you-mean.ts';
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
    .option(
      '--host <address>',
      'address that the gateway listens on (else AUTOGLM_HOST, else `gateway.host`)',
    )
    .option(
      '-p, --port <port>',
      'port of the gateway, 0 for a free one (else PORT, else `gateway.port`)',
      readPort,
    )
    .option(
      '-m, --model <model>',
      'GGUF file or hf: address to serve instead of the configured models (else AUTOGLM_MODEL)',
    )
    .option(
      '--state-dir <directory>',
      'records, logs and sockets (else AUTOGLM_STATE_DIR); other commands find the system there, so they need AUTOGLM_STATE_DIR too',
    )
    .action(async (options) => (await import('./serve.ts')).serve(options, context));

  program
    .command('status')
    .description('show gateway, pools and replicas: state, load, restarts, last incident')
    .addOption(configOption())
    .addOption(adminOption())
    .addOption(adminKeyOption())
    .addOption(jsonOption())
    .option(
      '-w, --watch [seconds]',
      'refresh until Ctrl-C, each second or as often as this says',
      readSeconds,
    )
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
    .command('suspects')
    .description(
      'list requests that may have killed engines, show one, or let it in again (docs/suspects.md)',
    )
    .argument('[action]', 'list, show or release', 'list')
    .argument('[fingerprint]', 'of the request to show or to release, or at least 6 of its first characters')
    .addOption(configOption())
    .addOption(adminOption())
    .addOption(adminKeyOption())
    .addOption(jsonOption())
    .action(async (action, fingerprint, options) =>
      (await import('./suspects.ts')).suspects(action, fingerprint, options, context),
    );

  program
    .command('incidents')
    .description(
      'list what went wrong with replicas, show the report of an incident, or its evidence (docs/incidents.md)',
    )
    .argument('[action]', 'list, show or evidence', 'list')
    .argument('[id]', 'of the incident, or at least 10 of its first characters')
    .addOption(
      new Option('--limit <n>', 'incidents to list, newest first').default(20).argParser(readListLimit),
    )
    .option('--markdown', 'show the report as Markdown')
    .addOption(configOption())
    .addOption(adminOption())
    .addOption(adminKeyOption())
    .addOption(jsonOption())
    .action(async (action, id, options) =>
      (await import('./incidents.ts')).incidents(action, id, options, context),
    );

  program
    .command('validate')
    .description('check the configuration and print what would run')
    .argument('[file]', 'configuration file, or a recovery policy (auto-recovery.yaml) alone')
    .option('--recovery', 'print what is done about each class of fault')
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
    .command('diagnose')
    .description(
      'say from a log what went wrong with an engine: the lines that count, what was ruled out and why, what to do',
    )
    .argument('<file>', 'log of an engine or of the kernel, also .gz; - reads standard input')
    .option('-e, --engine <engine>', 'whose log it is (else recognised by its lines)')
    .addOption(jsonOption())
    .action(async (file, options) => (await import('./diagnose.ts')).diagnose(file, options, context));

  program
    .command('memory')
    .description(
      'who holds the memory of GPUs and host, whether engines grow, and what to do; looks at this machine (docs/signals.md)',
    )
    .addOption(configOption())
    .option('--for <seconds>', 'go on looking for so long, to see growth (else one look)', readWatchSeconds)
    .addOption(jsonOption())
    .action(async (options) => (await import('./memory.ts')).memory(options, context));

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

  addModelCommands(program, context);

  program
    .command('simulate')
    .description(
      'run one simulated engine in the foreground; with --recovery first, what decides about recovery, over thousands of hours',
    )
    .argument('[options...]', '`autoglm simulate --help` and `autoglm simulate --recovery --help` list them')
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .action(async (options) => (await import('./simulate.ts')).simulate(options, context));

  addPlanCommand(program, context);

  program
    .command('version')
    .description('print the release and what it runs on')
    .addOption(jsonOption())
    .action(async (options) => (await import('./version.ts')).version(options, context));

  return program;
}

function addPlanCommand(program: Command, context: CommandContext): void {
  program
    .command('plan')
    .description('say how many replicas a load needs, how full they are and what decides (docs/planning.md)')
    .option('--rate <n>', 'requests per second, over all replicas')
    .option('--prompt <tokens>', 'mean length of a prompt')
    .option('--output <tokens>', 'mean length of an answer')
    .option(
      '--gpu <name>',
      'such as h100 (`--list` has all), or memory=GIB,bandwidth=GB/S,tflops=N[,fp8=N,int8=N]',
    )
    .option(
      '--model <name>',
      'such as 8b, or params=N,layers=N,hidden=N,kv-heads=N[,head-dim=N,active=N] (else 8b)',
    )
    .option(
      '--tp <n>',
      'GPUs that share one replica: 1, 2, 4 or 8 (else as few as the model and the objective need)',
    )
    .option('--dtype <type>', 'of the weights: bf16, fp8, int8 or int4 (else bf16)')
    .option('--kv-dtype <type>', 'of the cache: bf16, fp8 or int8 (else bf16)')
    .option('--slo-ttft <time>', 'longest time to the first token, such as 800ms or 1s (else 1s)')
    .option('--slo-itl <time>', 'longest gap between two tokens, such as 50ms (else any)')
    .option('--percentile <n>', 'of requests and gaps for which these hold, 50 to 99.9 (else 99)')
    .option('--distribution <kind>', 'lengths of prompts and answers: lognormal or fixed (else lognormal)')
    .option('--arrivals <kind>', 'poisson (each by itself) or even (else poisson)')
    .option('--prefix-hits <share>', 'of each prompt that the prefix cache has, 0 to 0.99 (else 0)')
    .option('--max-num-seqs <n>', 'sequences that an engine runs at once (else 256)')
    .option('--max-batched-tokens <n>', 'tokens that it computes in one step (else 8192)')
    .option('--memory-share <share>', 'of the GPU memory that it may take (else 0.9)')
    .option('--seed <n>', 'of the requests that are drawn (else 1)')
    .option(
      '--calibrate <file>',
      'measured steps, CSV or JSON with T_prefill, batch, sum_ctx, step_ms; alone it prints the fit',
    )
    .option('--svg <file>', 'write the picture to this file')
    .option('--list', 'list GPUs and models that are known, with sources')
    .addOption(jsonOption())
    .action(async (options) => (await import('./plan.ts')).plan(options, context));
}

/** Each option that says which system is meant, and `--json`. */
function atSystem(command: Command): Command {
  for (const option of [configOption(), adminOption(), adminKeyOption(), jsonOption()])
    command.addOption(option);
  return command;
}

const repeated = (value: string, before: string[] = []) => [...before, value];

function addModelCommands(program: Command, context: CommandContext): void {
  const models = atSystem(program.command('models'))
    .description('list, load, unload and change models while everything runs')
    .enablePositionalOptions()
    .allowExcessArguments()
    .action(async (options, command: Command) => {
      const [unknown] = command.args;
      if (unknown !== undefined) refuseCommand(command, unknown);
      await (await import('./models/list.ts')).listModels(options, context);
    });
  const noWait = () => new Option('--no-wait', 'return as soon as it is under way');
  const modelCommand = (name: string, text: string) =>
    atSystem(models.command(name)).description(text).argument('<model>', 'as `autoglm models` shows it');

  atSystem(models.command('list'))
    .description('list what is served, and where it comes from')
    .action(async (options) => (await import('./models/list.ts')).listModels(options, context));

  atSystem(models.command('load'))
    .description(
      'load a model, and wait until it is ready; it is there again after restarts, until it is unloaded',
    )
    .argument('<name>', 'name that clients send; alone it brings back an unloaded model of the configuration')
    .option('--engine <engine>', 'what serves it, as in the configuration (else embedded)')
    .option('--model <model>', 'file, hf: address, or the name that the engine understands')
    .option('--replicas <n>', 'engines to start (else 1)')
    .option('--alias <name>', 'further name; repeatable', repeated)
    .option('--url <url>', 'engine that runs already: watched, not started; repeatable', repeated)
    .option('--adapter <name=path>', 'LoRA adapter to serve beside it; repeatable', repeated)
    .option('--set <key=value>', 'any other key of `models` in the configuration; repeatable', repeated)
    .addOption(noWait())
    .action(async (name, options) => (await import('./models/load.ts')).loadModel(name, options, context));

  modelCommand('unload', 'take a model out: no new requests, finish what runs, end its engines')
    .addOption(noWait())
    .action(async (name, options) =>
      (await import('./models/change.ts')).unloadModel(name, options, context),
    );

  modelCommand('scale', 'change the number of replicas, and wait until they are ready')
    .argument('<n>', 'replicas, 1 to 64')
    .addOption(noWait())
    .action(async (name, count, options) =>
      (await import('./models/change.ts')).scaleModel(name, count, options, context),
    );

  modelCommand('alias', 'give a model a further name')
    .argument('<alias>', 'the further name')
    .option('--move', 'take it over from another model, without a gap')
    .option('--remove', 'take the name away')
    .action(async (name, alias, options) =>
      (await import('./models/change.ts')).aliasModel(name, alias, options, context),
    );

  modelCommand('adapter', 'load a LoRA adapter into the replicas of a model, or unload it')
    .argument('<adapter>', 'name that clients send for it')
    .option('--path <path>', 'where the engine finds it')
    .option('--remove', 'unload it')
    .addOption(noWait())
    .action(async (name, adapter, options) =>
      (await import('./models/adapter.ts')).adaptModel(name, adapter, options, context),
    );
}

/** As commander does it for commands of the first level. */
function refuseCommand(parent: Command, unknown: string): never {
  const known = parent.commands.map((command) => command.name());
  const meant = nearest(unknown, known);
  const hint = meant === undefined ? `known: ${known.join(', ')}` : `did you mean ${meant}?`;
  return parent.error(`error: unknown command '${parent.name()} ${unknown}'; ${hint}`);
}

function readSeconds(text: string): number {
  const seconds = Number(text);
  if (seconds >= 0.1 && seconds <= 3600) return seconds;
  throw new InvalidArgumentError('would be right: seconds from 0.1 to 3600');
}

function readWatchSeconds(text: string): number {
  const seconds = Number(text);
  if (seconds >= 1 && seconds <= 86_400) return seconds;
  throw new InvalidArgumentError('would be right: seconds from 1 to 86400');
}

function readPort(text: string): string {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return text;
  throw new InvalidArgumentError('would be right: an integer from 0 to 65535');
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
