/** Who has which name: of a model, an alias or an adapter, in the file or at run time. Names of unloaded models stay taken. */
import { PlatformError } from '../../contract/errors.ts';
import type { MergedModels } from '../config/merge-models.ts';

export interface NameOwner {
  kind: 'model' | 'alias' | 'adapter';
  model: string;
  source: 'file' | 'runtime';
}

export function ownersOf({ models, unloaded }: MergedModels): Map<string, NameOwner> {
  const owners = new Map<string, NameOwner>();
  for (const { config, written, source } of models) {
    const model = config.model_name;
    const by = (isWritten: boolean) => (source === 'file' && isWritten ? 'file' : 'runtime');
    owners.set(model, { kind: 'model', model, source });
    for (const alias of config.aliases)
      owners.set(alias, { kind: 'alias', model, source: by(written.aliases.includes(alias)) });
    for (const { name } of config.lora_adapters) {
      const isWritten = written.lora_adapters.some((adapter) => adapter.name === name);
      owners.set(name, { kind: 'adapter', model, source: by(isWritten) });
    }
  }
  for (const { model_name: model, aliases, lora_adapters } of unloaded) {
    owners.set(model, { kind: 'model', model, source: 'file' });
    for (const alias of aliases) owners.set(alias, { kind: 'alias', model, source: 'file' });
    for (const { name } of lora_adapters) owners.set(name, { kind: 'adapter', model, source: 'file' });
  }
  return owners;
}

/** `model "a"`, `an alias of model "a"`. */
export function describeOwner({ kind, model }: NameOwner): string {
  if (kind === 'model') return `model "${model}"`;
  return `${kind === 'alias' ? 'an alias' : 'an adapter'} of model "${model}"`;
}

/** The model of this very name; throws PlatformError that says what the name is instead. */
export function requireModel(
  merged: MergedModels,
  name: string,
  why: string,
): MergedModels['models'][number] {
  const model = merged.models.find(({ config }) => config.model_name === name);
  if (model !== undefined) return model;
  const owner = ownersOf(merged).get(name);
  if (owner !== undefined && owner.kind !== 'model') {
    const message = `"${name}" is ${describeOwner(owner)}; ${why} the model itself: "${owner.model}"`;
    throw new PlatformError('conflict', message);
  }
  if (owner !== undefined) throw new PlatformError('conflict', `model "${name}" is unloaded; load it first`);
  const known = merged.models.map(({ config }) => config.model_name).join(', ') || 'none';
  throw new PlatformError('not_found', `unknown model "${name}"; known: ${known}`);
}
