/**
 * The models that are served: those of the file, with what was changed at run time. The file goes first: a name that it takes
 * is its own, and a change to one of its entries lasts until that entry says something else. Pure.
 */
import type { Config } from '../../contract/config-schema.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { ModelConfig } from '../../contract/model-schema.ts';
import { entryHash, modelProblems, parseModelEntry } from './model-entry.ts';
import type { FileModelChange, RuntimeModels } from './runtime-models.ts';

export interface MergedModel {
  /** In effect, with the aliases and adapters that were given at run time. */
  config: ModelConfig;
  source: 'file' | 'runtime';
  /** What the file says, or what was loaded. */
  written: ModelConfig;
}

export interface MergedModels {
  models: MergedModel[];
  /** Entries of the file that were unloaded at run time. */
  unloaded: ModelConfig[];
  /** What does not count as it was asked for, and why; for people. */
  notes: string[];
  /** `runtime` without what the file has taken over for good. */
  kept: RuntimeModels;
}

/** As it was asked for; whether the rules allow it is not looked at. `file`: how messages name the configuration. */
export function combineModels(file: string, config: Config, runtime: RuntimeModels): MergedModels {
  return new Merge(file, config, runtime).run();
}

/** As it can be served: what does not fit beside the file any more waits on disk, for the file may make room for it. */
export function mergeModels(file: string, config: Config, runtime: RuntimeModels): MergedModels {
  const merged = combineModels(file, config, runtime);
  while (modelProblems({ ...config, models: merged.models.map((model) => model.config) }).length > 0) {
    const last = merged.models.findLastIndex(({ source }) => source === 'runtime');
    if (last < 0) break;
    const [left] = merged.models.splice(last, 1);
    merged.notes.push(
      `model "${left?.config.model_name}" was loaded at run time and does not fit beside what ${file} says; it is left out`,
    );
  }
  return merged;
}

class Merge {
  readonly #file: string;
  readonly #config: Config;
  readonly #runtime: RuntimeModels;
  readonly #models: MergedModel[] = [];
  readonly #unloaded: ModelConfig[] = [];
  readonly #notes: string[] = [];
  readonly #kept: RuntimeModels = { models: [], changes: [], aliases: [], adapters: [] };
  /** Every name that clients may use, and what has taken it. */
  readonly #taken = new Map<string, string>();

  constructor(file: string, config: Config, runtime: RuntimeModels) {
    this.#file = file;
    this.#config = config;
    this.#runtime = runtime;
  }

  run(): MergedModels {
    for (const written of this.#config.models) this.#addOfFile(written);
    for (const entry of this.#runtime.models) this.#addLoaded(entry);
    for (const alias of this.#runtime.aliases) this.#addAlias(alias);
    for (const adapter of this.#runtime.adapters) this.#addAdapter(adapter);
    return { models: this.#models, unloaded: this.#unloaded, notes: this.#notes, kept: this.#kept };
  }

  #addOfFile(written: ModelConfig): void {
    const change = this.#changeOf(written);
    // An unloaded model keeps its names: nobody else may take what the file defines.
    this.#claim(written);
    if (change?.unloaded === true) this.#unloaded.push(written);
    else this.#add(written, 'file', change?.replicas);
  }

  #changeOf(written: ModelConfig): FileModelChange | undefined {
    const change = this.#runtime.changes.find(({ model_name }) => model_name === written.model_name);
    if (change === undefined) return undefined;
    if (change.entry === entryHash(written)) {
      this.#kept.changes.push(change);
      return change;
    }
    const what =
      change.unloaded === true ? 'it was unloaded' : `it was scaled to ${change.replicas} replicas`;
    this.#notes.push(
      `${this.#file} has changed model "${written.model_name}" since ${what} at run time: the file counts`,
    );
    return undefined;
  }

  #addLoaded(entry: Record<string, unknown>): void {
    const name = String(entry.model_name);
    const owner = this.#taken.get(name);
    if (owner !== undefined) {
      this.#notes.push(
        `model "${name}" was loaded at run time, and ${this.#file} now has the name (${owner}): the file counts, what was loaded is forgotten`,
      );
      return;
    }
    this.#kept.models.push(entry);
    try {
      const written = parseModelEntry(entry);
      this.#claim(written);
      this.#add(written, 'runtime');
    } catch (error) {
      const { message } = PlatformError.from(error);
      this.#notes.push(`model "${name}", loaded at run time, is left out: ${message}`);
    }
  }

  #addAlias(alias: RuntimeModels['aliases'][number]): void {
    const { name, model } = alias;
    const owner = this.#taken.get(name);
    if (owner !== undefined) {
      this.#notes.push(
        `alias "${name}" of "${model}" was given at run time, and the name is taken by ${owner} now: the alias is forgotten`,
      );
      return;
    }
    if (this.#isGone(model, `alias "${name}"`)) return;
    this.#kept.aliases.push(alias);
    this.#taken.set(name, `an alias of model "${model}"`);
    this.#extend(model, ({ config }) => ({ ...config, aliases: [...config.aliases, name] }));
  }

  #addAdapter(adapter: RuntimeModels['adapters'][number]): void {
    const { name, path, model } = adapter;
    const owner = this.#taken.get(name);
    if (owner !== undefined) {
      this.#notes.push(
        `adapter "${name}" of "${model}" was loaded at run time, and the name is taken by ${owner} now: the adapter is forgotten`,
      );
      return;
    }
    if (this.#isGone(model, `adapter "${name}"`)) return;
    this.#kept.adapters.push(adapter);
    this.#taken.set(name, `an adapter of model "${model}"`);
    this.#extend(model, ({ config }) => ({
      ...config,
      lora_adapters: [...config.lora_adapters, { name, path }],
    }));
  }

  /** Names for an unloaded model, or for one that is left out for now, come back with it. */
  #isGone(model: string, what: string): boolean {
    const known = [...this.#config.models, ...this.#kept.models];
    if (known.some(({ model_name }) => model_name === model)) return false;
    this.#notes.push(
      `${what} was given at run time to model "${model}", which no longer exists: it is forgotten`,
    );
    return true;
  }

  #claim({ model_name, aliases, lora_adapters }: ModelConfig): void {
    const model = `model "${model_name}"`;
    this.#taken.set(model_name, model);
    for (const alias of aliases) this.#taken.set(alias, `an alias of ${model}`);
    for (const { name } of lora_adapters) this.#taken.set(name, `an adapter of ${model}`);
  }

  #add(written: ModelConfig, source: MergedModel['source'], replicas?: number): void {
    const config = replicas === undefined ? written : { ...written, replicas };
    this.#models.push({ config, source, written });
  }

  #extend(name: string, extend: (model: MergedModel) => ModelConfig): void {
    const model = this.#models.find(({ config }) => config.model_name === name);
    if (model !== undefined) model.config = extend(model);
  }
}
