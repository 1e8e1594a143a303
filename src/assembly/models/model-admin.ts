/** The registry as the admin API serves it: what is served, from where, and the changes that people may ask for. */
import type {
  ActionResult,
  ModelList,
  ModelStatus,
  ReplicaStatus,
  SourcedName,
} from '../../contract/admin-api.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { ModelConfig } from '../../contract/model-schema.ts';
import type { Supervisor } from '../../planes/supervisor/supervisor-options.ts';
import type { ModelAdmin } from '../admin/admin-system.ts';
import { combineModels, type MergedModel } from '../config/merge-models.ts';
import type { ResolvedModel } from '../config/resolve-config.ts';
import {
  type Change,
  loadModel,
  type ModelsNow,
  removeAdapter,
  removeAlias,
  scaleModel,
  setAdapter,
  setAlias,
  unloadModel,
} from './change-models.ts';
import type { ModelRegistry } from './model-registry.ts';

export interface ModelAdminParts {
  registry: ModelRegistry;
  replicas(): readonly ReplicaStatus[];
  adaptersOf: Supervisor['adaptersOf'];
  /** Resolves when every gateway that answers has what was published before: a client may use the change at once. */
  heardByGateways(): Promise<unknown>;
  /** Why nothing may be changed now; null: it may. */
  refusal(): string | null;
}

/** The tables that the threads of a gateway share: what is still ending has its place there as well. */
const REPLICAS_MAX = 512;
const MODELS_MAX = 128;

export function createModelAdmin(parts: ModelAdminParts): ModelAdmin {
  const { registry } = parts;
  const change = async (decide: (now: ModelsNow) => Change): Promise<ActionResult> => {
    const refusal = parts.refusal();
    if (refusal !== null) throw new PlatformError('conflict', refusal);
    const message = await registry.change(decide);
    await parts.heardByGateways();
    return { ok: true, message };
  };
  return {
    list: () => listModels(parts),
    load: (entry, trusted) => change((now) => requireRoom(parts, now, loadModel(now, entry, trusted))),
    unload: (model) => change((now) => unloadModel(now, model)),
    scale: (model, replicas) => change((now) => requireRoom(parts, now, scaleModel(now, model, replicas))),
    setAlias: (model, alias, move) => change((now) => setAlias(now, model, alias, move)),
    removeAlias: (model, alias) => change((now) => removeAlias(now, model, alias)),
    setAdapter: (model, adapter, path) => change((now) => setAdapter(now, model, adapter, path)),
    removeAdapter: (model, adapter) => change((now) => removeAdapter(now, model, adapter)),
  };
}

/** What leaves holds its places until its last request has ended. */
function requireRoom({ replicas }: ModelAdminParts, { file, config }: ModelsNow, change: Change): Change {
  const models = combineModels(file, config, change.runtime).models.map((model) => model.config);
  const names = new Set(models.map(({ model_name }) => model_name));
  const leaving = replicas().filter(({ model }) => !names.has(model));
  const wanted = models.reduce((sum, { urls, replicas: count }) => sum + (urls?.length ?? count), 0);
  const leavingModels = new Set(leaving.map(({ model }) => model)).size;
  if (wanted + leaving.length <= REPLICAS_MAX && names.size + leavingModels <= MODELS_MAX) return change;
  throw new PlatformError(
    'conflict',
    `${leaving.length} replicas of unloaded models have not ended yet and there is no room beside them (at most ${MODELS_MAX} models and ${REPLICAS_MAX} replicas); try again when they have`,
    { retryAfterS: 10 },
  );
}

function listModels(parts: ModelAdminParts): ModelList {
  const { registry } = parts;
  const { merged, models } = registry;
  const served = merged.models.map((model, index) =>
    servedModel(parts, model, models[index] as ResolvedModel),
  );
  const names = new Set(models.map(({ modelName }) => modelName));
  const unloaded = merged.unloaded.map((config) => goneModel(parts, config));
  const gone = new Set(unloaded.map(({ model }) => model));
  const leaving = [...new Set(parts.replicas().map(({ model }) => model))]
    .filter((name) => !names.has(name) && !gone.has(name))
    .map((name) => leavingModel(parts, name));
  return { models: [...served, ...unloaded, ...leaving], notes: [...merged.notes] };
}

function servedModel(parts: ModelAdminParts, model: MergedModel, resolved: ResolvedModel): ModelStatus {
  const { config, written, source } = model;
  const name = config.model_name;
  const isScaled = source === 'file' && config.replicas !== written.replicas;
  return {
    model: name,
    source,
    state: 'served',
    engine: config.engine,
    what: resolved.urls?.join(', ') ?? resolved.command?.join(' ') ?? resolved.model,
    ready: readyOf(parts, name),
    replicas: resolved.replicas,
    replicasInFile: isScaled ? written.replicas : null,
    aliases: sourced(config.aliases, source, written.aliases),
    adapters: sourced(
      config.lora_adapters.map((adapter) => adapter.name),
      source,
      written.lora_adapters.map((adapter) => adapter.name),
    ).map((adapter) => ({
      ...adapter,
      path: resolved.loraAdapters.find((known) => known.name === adapter.name)?.path ?? '',
      ...adapterState(parts, name, adapter.name),
    })),
  };
}

function adapterState(
  { replicas, adaptersOf }: ModelAdminParts,
  model: string,
  adapter: string,
): { ready: number; problem: string | null } {
  const own = replicas()
    .filter((replica) => replica.model === model && replica.state === 'ready')
    .map(({ id }) => adaptersOf(id));
  const problems = own.flatMap(({ problems: found }) => found[adapter] ?? []);
  const ready = own.filter(({ loaded }) => loaded.some(({ name }) => name === adapter)).length;
  return { ready, problem: problems[0] ?? null };
}

function sourced(
  names: readonly string[],
  source: MergedModel['source'],
  written: readonly string[],
): SourcedName[] {
  return names.map((name) => ({
    name,
    source: source === 'file' && written.includes(name) ? 'file' : 'runtime',
  }));
}

/** A model of the file that was unloaded. */
function goneModel(parts: ModelAdminParts, config: ModelConfig): ModelStatus {
  const running = parts.replicas().filter(({ model }) => model === config.model_name).length;
  return {
    model: config.model_name,
    source: 'file',
    state: running > 0 ? 'leaving' : 'unloaded',
    engine: config.engine,
    what: config.urls?.map(originOf).join(', ') ?? config.model ?? '',
    ready: 0,
    replicas: running,
    replicasInFile: config.replicas,
    aliases: config.aliases.map((name) => ({ name, source: 'file' })),
    adapters: config.lora_adapters.map(({ name, path }) => ({
      name,
      path,
      source: 'file',
      ready: 0,
      problem: null,
    })),
  };
}

function originOf(entry: NonNullable<ModelConfig['urls']>[number]): string {
  return typeof entry === 'string' ? entry : entry.url;
}

function leavingModel(parts: ModelAdminParts, name: string): ModelStatus {
  const replicas = parts.replicas().filter(({ model }) => model === name);
  return {
    model: name,
    source: 'runtime',
    state: 'leaving',
    engine: replicas[0]?.engine ?? 'openai',
    what: '',
    ready: 0,
    replicas: replicas.length,
    replicasInFile: null,
    aliases: [],
    adapters: [],
  };
}

function readyOf({ replicas }: ModelAdminParts, name: string): number {
  return replicas().filter(({ model, state }) => model === name && state === 'ready').length;
}
