/** `autoglm validate [file]`: checks the configuration and prints what would run, without starting anything. */
import { type LoadedConfig, loadConfig } from '../assembly/config/load-config.ts';
import { readLoneRecovery } from '../assembly/config/load-recovery.ts';
import { localOrigin } from '../assembly/config/loopback.ts';
import { mergeModels } from '../assembly/config/merge-models.ts';
import { requireModelFiles } from '../assembly/config/model-files.ts';
import { meansNotes } from '../assembly/config/recovery-text.ts';
import {
  type ResolvedConfig,
  type ResolvedModel,
  resolveConfig,
  writtenRecovery,
} from '../assembly/config/resolve-config.ts';
import { resolveMerged } from '../assembly/config/resolve-merged.ts';
import { resolveRecovery } from '../assembly/config/resolve-recovery.ts';
import { readRuntimeModels } from '../assembly/config/runtime-models.ts';
import { shownConfig } from '../assembly/config/shown-config.ts';
import { loadSignalPlugins } from '../assembly/config/signal-plugins.ts';
import { createRedactor } from '../base/redaction.ts';
import type { PoolBatching } from '../contract/fleet.ts';
import { DEFAULT_STRATEGY } from '../contract/scheduling.ts';
import type { CommandContext, CommonOptions } from './command-context.ts';
import {
  describeRecovery,
  type PlannedRecovery,
  recoveryForPrograms,
  validateRecovery,
} from './validate-recovery.ts';

interface ValidateOptions extends CommonOptions {
  recovery?: boolean;
}

export function validate(file: string | undefined, options: ValidateOptions, context: CommandContext): void {
  const { environment, terminal } = context;
  const named = file ?? options.config;
  const lone = named === undefined ? null : readLoneRecovery(named, environment);
  if (lone !== null) return validateRecovery(lone, options, context);
  const loaded = loadConfig(named, environment);
  const config = resolveConfig(loaded);
  requireModelFiles(config);
  const plugins = loadSignalPlugins(config, { nowMs: () => performance.now(), log: terminal.complain });
  for (const plugin of plugins) plugin.close();
  const served = servedModels(loaded, config);
  const recovery = plannedRecovery(loaded, served);
  if (options.json) {
    const shown = { ...forPrograms(config, served), recovery: recoveryForPrograms(recovery) };
    terminal.print(JSON.stringify(shown, null, 2));
    return;
  }
  const { colors } = terminal;
  terminal.print(`${colors.green('valid:')} ${config.configPath ?? 'no file (zero config)'}`);
  terminal.print(describe(config, served).join('\n'));
  terminal.print(describeRecovery(recovery, options.recovery === true, colors));
  for (const note of recovery.notes) terminal.print(colors.yellow(`note      ${note}`));
  for (const line of config.notHonoured) terminal.print(`${colors.yellow('not honoured:')} ${line}`);
  for (const note of served.notes) terminal.print(colors.yellow(`note      ${note}`));
}

function plannedRecovery(loaded: LoadedConfig, { models }: Served): PlannedRecovery {
  const written = writtenRecovery(loaded);
  const resolved = resolveRecovery(written);
  const file = loaded.recovery?.file ?? null;
  return { ...resolved, file, notes: [...resolved.notes, ...meansNotes(written, models)] };
}

interface Served {
  models: (ResolvedModel & { source: 'file' | 'runtime' })[];
  notes: string[];
}

/** What would run: what the file says, with what was changed at run time in its state directory. */
function servedModels(loaded: LoadedConfig, { paths }: ResolvedConfig): Served {
  const { runtime, problem } = readRuntimeModels(paths.runtimeModels);
  const { merged, resolved } = resolveMerged(
    loaded,
    mergeModels(loaded.file ?? 'zero config', loaded.config, runtime),
    [],
  );
  const { models, unloaded, notes } = merged;
  return {
    models: resolved.map((model, index) => ({ ...model, source: models[index]?.source ?? 'file' })),
    notes: [
      ...notes,
      ...unloaded.map(({ model_name }) => `model "${model_name}" was unloaded at run time and does not run`),
      ...(problem === null
        ? []
        : [`${paths.runtimeModels} cannot be read and would be set aside: ${problem}`]),
    ],
  };
}

function forPrograms(config: ResolvedConfig, { models, notes }: Served) {
  return { valid: true, ...shownConfig(config, models), notes };
}

function describe({ gateway, admin, paths, signals }: ResolvedConfig, { models }: Served): string[] {
  return [
    `gateway   ${localOrigin(gateway.host, gateway.port)}/v1 (listens on ${gateway.host}, ${count(gateway.workers, 'worker')}, ${count(gateway.keys.length, 'key')})`,
    `admin     ${localOrigin(admin.host, admin.port)} (listens on ${admin.host}, ${count(admin.keys.length, 'key')})`,
    `state     ${paths.root}`,
    ...signals.plugins.map((file) => `signals   ${file}`),
    ...models.map(describeModel),
  ];
}

function describeModel(model: Served['models'][number]): string {
  const names = [model.modelName, ...model.aliases].join(', ');
  const what =
    model.urls === undefined
      ? `starts ${model.replicas}${model.standby > 0 ? ` and ${model.standby} in standby` : ''} x ${model.engine} with ${commandOf(model)}`
      : `watches ${model.engine} at ${model.urls.join(', ')}`;
  const limits = [
    model.servedModel === model.modelName ? [] : [`known there as ${model.servedModel}`],
    model.strategy === DEFAULT_STRATEGY ? [] : [`shared out by ${model.strategy}`],
    model.maxBatchSize === undefined ? [] : [`${model.maxBatchSize} at once per replica`],
    model.batching === undefined ? [] : [describeBatching(model.batching)],
    model.maxSeqLength === undefined ? [] : [`context ${model.maxSeqLength}`],
    model.threads === undefined ? [] : [count(model.threads, 'thread')],
    model.loraAdapters.map(({ name }) => `adapter ${name}`),
    model.source === 'file' ? [] : ['loaded at run time'],
  ].flat();
  return `model     ${names}: ${what}${limits.length > 0 ? ` (${limits.join(', ')})` : ''}`;
}

function commandOf({ command, model }: ResolvedModel): string {
  return command === undefined ? model : createRedactor([]).words(command).join(' ');
}

function describeBatching({ unitsMax, waitMaxMs, endpoints }: PoolBatching): string {
  return `${endpoints.join(', ')} in batches of up to ${unitsMax} within ${waitMaxMs} ms`;
}

function count(number: number, one: string): string {
  return number === 1 ? `1 ${one}` : `${number === 0 ? 'no' : number} ${one}s`;
}
