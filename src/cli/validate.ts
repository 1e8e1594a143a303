/** `autoglm validate [file]`: checks the configuration and prints what would run, without starting anything. */
import { loadConfig } from '../assembly/config/load-config.ts';
import { localOrigin } from '../assembly/config/loopback.ts';
import { requireModelFiles } from '../assembly/config/model-files.ts';
import { type ResolvedConfig, type ResolvedModel, resolveConfig } from '../assembly/config/resolve-config.ts';
import type { CommandContext, CommonOptions } from './command-context.ts';

export function validate(
  file: string | undefined,
  options: CommonOptions,
  { environment, terminal }: CommandContext,
): void {
  const config = resolveConfig(loadConfig(file ?? options.config, environment));
  requireModelFiles(config);
  if (options.json) {
    terminal.print(JSON.stringify(forPrograms(config), null, 2));
    return;
  }
  const { colors } = terminal;
  terminal.print(`${colors.green('valid:')} ${config.configPath ?? 'no file (zero config)'}`);
  terminal.print(describe(config).join('\n'));
  for (const line of config.notHonoured) terminal.print(`${colors.yellow('not honoured:')} ${line}`);
}

/** Hashes of keys and variables of engines stay here: their names are enough. */
function forPrograms({ configPath, notHonoured, paths, gateway, admin, supervisor, models }: ResolvedConfig) {
  return {
    valid: true,
    configPath,
    notHonoured,
    stateDir: paths.root,
    gateway: { ...gateway, keys: gateway.keys.map(({ name }) => name) },
    admin: { ...admin, keys: admin.keys.map(({ name }) => name) },
    supervisor,
    models: models.map((model) => ({ ...model, env: Object.keys(model.env) })),
  };
}

function describe({ gateway, admin, paths, models }: ResolvedConfig): string[] {
  return [
    `gateway   ${localOrigin(gateway.host, gateway.port)}/v1 (listens on ${gateway.host}, ${count(gateway.workers, 'worker')}, ${count(gateway.keys.length, 'key')})`,
    `admin     ${localOrigin(admin.host, admin.port)} (listens on ${admin.host}, ${count(admin.keys.length, 'key')})`,
    `state     ${paths.root}`,
    ...models.map(describeModel),
  ];
}

function describeModel(model: ResolvedModel): string {
  const names = [model.modelName, ...model.aliases].join(', ');
  const what =
    model.urls === undefined
      ? `starts ${model.replicas} x ${model.engine} with ${model.command?.join(' ') ?? model.model}`
      : `watches ${model.engine} at ${model.urls.join(', ')}`;
  const limits = [
    model.servedModel === model.modelName ? [] : [`known there as ${model.servedModel}`],
    model.maxBatchSize === undefined ? [] : [`${model.maxBatchSize} at once per replica`],
    model.maxSeqLength === undefined ? [] : [`context ${model.maxSeqLength}`],
    model.threads === undefined ? [] : [count(model.threads, 'thread')],
  ].flat();
  return `model     ${names}: ${what}${limits.length > 0 ? ` (${limits.join(', ')})` : ''}`;
}

function count(number: number, one: string): string {
  return number === 1 ? `1 ${one}` : `${number === 0 ? 'no' : number} ${one}s`;
}
