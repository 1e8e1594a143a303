/**
 * What may be asked of the models at run time, as pure functions: from what is served and what was asked for to what is to be
 * written down, or a PlatformError that says what stands in the way. The registry writes it and has it carried out.
 */
import type { Config } from '../../contract/config-schema.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { ModelConfig } from '../../contract/model-schema.ts';
import { combineModels, type MergedModel, type MergedModels } from '../config/merge-models.ts';
import { entryHash, parseModelEntry, requireModelRules } from '../config/model-entry.ts';
import type { ResolvedModel } from '../config/resolve-config.ts';
import type { FileModelChange, RuntimeModels } from '../config/runtime-models.ts';
import { describeOwner, ownersOf, requireModel } from './names.ts';

export interface ModelsNow {
  /** How messages name the configuration. */
  file: string;
  config: Config;
  merged: MergedModels;
  /** Where the model or adapter lies, without regard to where this process was started. */
  locate(entry: ModelConfig): Pick<ResolvedModel, 'model' | 'loraAdapters'>;
}

export interface Change {
  runtime: RuntimeModels;
  message: string;
}

/** All others say which program runs, or how (`command`, `args`, `env`): whoever may set them may run anything. */
const HARMLESS_KEYS = [
  'model_name',
  'engine',
  'model',
  'served_model_name',
  'aliases',
  'fallbacks',
  'strategy',
  'limits',
  'lora_adapters',
  'replicas',
  'standby',
  'spare_devices',
  'urls',
  'api_key',
  'quantize',
  'tensor_parallel_size',
  'max_batch_size',
  'max_seq_length',
  'threads',
  'start_timeout_ms',
  'cache',
  'batching',
];

/** `trusted`: whether the caller has shown a key of the admin API. */
export function loadModel(now: ModelsNow, body: Record<string, unknown>, trusted: boolean): Change {
  const { merged, config, file } = now;
  const name = body.model_name;
  const written = config.models.find(({ model_name }) => model_name === name);
  if (written !== undefined) return loadFromFile(now, written, Object.keys(body).length > 1);
  if (merged.kept.models.some(({ model_name }) => model_name === name))
    throw conflict(`model "${String(name)}" is loaded already; unload it first, or change its replicas`);
  const entry = parseModelEntry(body);
  const program = Object.keys(body).find((key) => !HARMLESS_KEYS.includes(key));
  if (program !== undefined && !trusted)
    throw new PlatformError(
      'forbidden',
      `${program}: found in a model to load, but the admin API has no keys, so anyone on this machine could run a program; set \`admin.keys\`, or write the model into ${file}`,
    );
  requireFreeNames(merged, entry);
  requireKnownFallbacks(merged, entry);
  const { aliases: _aliases, lora_adapters: _adapters, ...stored } = body;
  const located = now.locate(entry);
  if (entry.model !== undefined) stored.model = located.model;
  const model = entry.model_name;
  const { kept } = merged;
  return settle(now, model, `model "${model}" is loaded: its replicas start`, {
    ...kept,
    models: [...kept.models, stored],
    aliases: [...kept.aliases, ...entry.aliases.map((alias) => ({ name: alias, model }))],
    adapters: [...kept.adapters, ...located.loraAdapters.map((adapter) => ({ ...adapter, model }))],
  });
}

/** A model of the file comes back as the file has it. */
function loadFromFile({ merged, file }: ModelsNow, written: ModelConfig, hasMore: boolean): Change {
  const { model_name: name } = written;
  if (!merged.unloaded.includes(written)) throw conflict(`model "${name}" is served already: ${file} has it`);
  if (hasMore)
    throw conflict(
      `model "${name}" is defined in ${file}; load it without further settings to have it as it stands there, or choose another name`,
    );
  const { kept } = merged;
  const changes = kept.changes.filter(({ model_name }) => model_name !== name);
  return {
    runtime: { ...kept, changes },
    message: `model "${name}" of ${file} is loaded: its replicas start`,
  };
}

function requireFreeNames(merged: MergedModels, entry: ModelConfig): void {
  const owners = ownersOf(merged);
  const own = new Set<string>();
  const claim = (key: string, name: string) => {
    const owner = owners.get(name);
    const taken = owner === undefined ? (own.has(name) ? 'this same model' : null) : describeOwner(owner);
    if (taken !== null) throw conflict(`${key}: found "${name}", which is taken by ${taken}; choose another`);
    own.add(name);
  };
  claim('model_name', entry.model_name);
  for (const [index, { name }] of entry.lora_adapters.entries()) claim(`lora_adapters[${index}].name`, name);
  for (const [index, alias] of entry.aliases.entries()) claim(`aliases[${index}]`, alias);
}

function requireKnownFallbacks(merged: MergedModels, { fallbacks }: ModelConfig): void {
  const owners = ownersOf(merged);
  const position = fallbacks.findIndex((name) => !owners.has(name));
  if (position < 0) return;
  const known = [...owners.keys()].join(', ') || 'none';
  throw new PlatformError(
    'config_invalid',
    `fallbacks[${position}]: found "${fallbacks[position]}", which is no model here; known: ${known}`,
  );
}

export function unloadModel({ merged, file }: ModelsNow, name: string): Change {
  const { kept } = merged;
  const others = {
    aliases: kept.aliases.filter((alias) => alias.model !== name),
    adapters: kept.adapters.filter((adapter) => adapter.model !== name),
  };
  const leaves = `model "${name}" takes no new requests; its engines finish what runs and end`;
  // One that is left out for now counts too: it could not be replaced otherwise.
  if (kept.models.some(({ model_name }) => model_name === name)) {
    const models = kept.models.filter(({ model_name }) => model_name !== name);
    return { runtime: { ...kept, ...others, models }, message: leaves };
  }
  const model = requireModel(merged, name, 'unload');
  const changes = withChange(kept.changes, model, { unloaded: true });
  return {
    runtime: { ...kept, ...others, changes },
    message: `${leaves} (${file} still has it: \`autoglm models load ${name}\` brings it back)`,
  };
}

export function scaleModel(now: ModelsNow, name: string, replicas: unknown): Change {
  const model = requireModel(now.merged, name, 'scale');
  if (model.config.urls !== undefined)
    throw conflict(`model "${name}" is watched at its \`urls\`: it has as many replicas as addresses`);
  const checked = parseModelEntry({ model_name: name, engine: 'simulator', replicas });
  const { kept } = now.merged;
  const count = checked.replicas;
  const message = `model "${name}": ${model.config.replicas} -> ${count} ${count === 1 ? 'replica' : 'replicas'}`;
  if (model.source === 'file') {
    const changes = withChange(kept.changes, model, { replicas: count });
    return settle(now, name, message, { ...kept, changes });
  }
  const models = kept.models.map((entry) =>
    entry.model_name === name ? { ...entry, replicas: count } : entry,
  );
  return settle(now, name, message, { ...kept, models });
}

/** A change that only says what the file says is none. */
function withChange(
  changes: readonly FileModelChange[],
  { written }: MergedModel,
  change: Pick<FileModelChange, 'replicas' | 'unloaded'>,
): FileModelChange[] {
  const { model_name } = written;
  const others = changes.filter((other) => other.model_name !== model_name);
  if (change.unloaded !== true && change.replicas === written.replicas) return others;
  return [...others, { model_name, entry: entryHash(written), ...change }];
}

/** `move`: an alias of another model that was given at run time is taken over, in one step. */
export function setAlias(now: ModelsNow, name: string, alias: string, move: boolean): Change {
  const { merged, file } = now;
  if (alias === name) throw conflict(`alias "${alias}": found the model itself; an alias is another name`);
  requireModel(merged, name, 'give the alias to');
  const owner = ownersOf(merged).get(alias);
  const { kept } = merged;
  const others = kept.aliases.filter((other) => other.name !== alias);
  const runtime = { ...kept, aliases: [...others, { name: alias, model: name }] };
  if (owner === undefined) return settle(now, name, `"${alias}" leads to model "${name}"`, runtime);
  if (owner.kind === 'alias' && owner.model === name)
    return { runtime: kept, message: `"${alias}" leads to model "${name}" already` };
  const taken = `alias "${alias}": the name is taken by ${describeOwner(owner)}`;
  if (owner.kind !== 'alias') throw conflict(`${taken}; choose another`);
  if (owner.source === 'file') throw conflict(`${taken}, which ${file} says; change it there`);
  if (!move) throw conflict(`${taken}; add --move to take it over, or choose another`);
  return settle(now, name, `"${alias}" leads to model "${name}" instead of "${owner.model}"`, runtime);
}

export function removeAlias({ merged, file }: ModelsNow, name: string, alias: string): Change {
  requireModel(merged, name, 'take the alias from');
  const owner = ownersOf(merged).get(alias);
  if (owner?.kind !== 'alias' || owner.model !== name)
    throw new PlatformError('not_found', `model "${name}" has no alias "${alias}"`);
  if (owner.source === 'file')
    throw conflict(`alias "${alias}" of model "${name}" stands in ${file}; remove it there`);
  const { kept } = merged;
  const aliases = kept.aliases.filter((other) => other.name !== alias);
  return { runtime: { ...kept, aliases }, message: `"${alias}" leads to no model any more` };
}

export function setAdapter(now: ModelsNow, name: string, adapter: string, path: unknown): Change {
  const { merged } = now;
  const model = requireModel(merged, name, 'load the adapter into');
  const owner = ownersOf(merged).get(adapter);
  if (owner !== undefined)
    throw conflict(`adapter "${adapter}": the name is taken by ${describeOwner(owner)}; choose another`);
  const entry = { model_name: name, engine: 'simulator', lora_adapters: [{ name: adapter, path }] };
  const { lora_adapters } = parseModelEntry(entry);
  const { loraAdapters } = now.locate({ ...model.config, lora_adapters });
  const { kept } = merged;
  const adapters = [...kept.adapters, ...loraAdapters.map((located) => ({ ...located, model: name }))];
  return settle(now, name, `adapter "${adapter}" is being loaded into the replicas of model "${name}"`, {
    ...kept,
    adapters,
  });
}

export function removeAdapter({ merged, file }: ModelsNow, name: string, adapter: string): Change {
  requireModel(merged, name, 'remove the adapter from');
  const owner = ownersOf(merged).get(adapter);
  if (owner?.kind !== 'adapter' || owner.model !== name)
    throw new PlatformError('not_found', `model "${name}" has no adapter "${adapter}"`);
  if (owner.source === 'file')
    throw conflict(`adapter "${adapter}" of model "${name}" stands in ${file}; remove it there`);
  const { kept } = merged;
  const adapters = kept.adapters.filter((other) => other.name !== adapter);
  return {
    runtime: { ...kept, adapters },
    message: `adapter "${adapter}" takes no new requests and is unloaded`,
  };
}

/** Throws PlatformError `config_invalid` when the models would break a rule that every file must keep. */
function settle({ file, config }: ModelsNow, name: string, message: string, runtime: RuntimeModels): Change {
  const models = combineModels(file, config, runtime).models.map((model) => model.config);
  const index = models.findIndex(({ model_name }) => model_name === name);
  requireModelRules({ ...config, models }, index);
  return { runtime, message };
}

function conflict(message: string): PlatformError {
  return new PlatformError('conflict', message);
}
