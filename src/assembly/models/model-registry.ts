/**
 * The models that are served, and the one place that changes them while everything runs: each change is checked, written to
 * disk, and then handed to whoever carries it out. A node process that dies in between finds it on disk and finishes it; one
 * that dies before has changed nothing.
 *
 * Invariant: changes happen one after another, and what is on disk is what was last accepted.
 */
import { renameSync } from 'node:fs';
import { PlatformError } from '../../contract/errors.ts';
import { isNoRoom } from '../../drivers/storage/no-room.ts';
import { writeWholeFile } from '../../drivers/storage/whole-file.ts';
import type { LoadedConfig } from '../config/load-config.ts';
import { type MergedModels, mergeModels } from '../config/merge-models.ts';
import { checkFileOf, readsModelFile } from '../config/model-files.ts';
import { type ResolvedModel, resolveModels } from '../config/resolve-config.ts';
import { resolveMerged } from '../config/resolve-merged.ts';
import { type RuntimeModels, readRuntimeModels, runtimeModelsText } from '../config/runtime-models.ts';
import type { LogLevel } from '../node-log.ts';
import type { Change, ModelsNow } from './change-models.ts';

export interface ModelRegistryOptions {
  loaded: LoadedConfig;
  /** `models.json` of the state directory. */
  file: string;
  log(level: LogLevel, message: string, detail?: Record<string, unknown>): void;
}

export class ModelRegistry {
  readonly #options: ModelRegistryOptions;
  #merged: MergedModels;
  #resolved: readonly ResolvedModel[];
  #queue: Promise<unknown> = Promise.resolve();
  /** Carries a change out; set once, by the node process. */
  #apply: (models: readonly ResolvedModel[]) => void = () => {};

  constructor(options: ModelRegistryOptions) {
    this.#options = options;
    const { runtime, problem } = readRuntimeModels(options.file);
    const { merged, resolved } = resolveMerged(
      options.loaded,
      mergeModels(this.name, options.loaded.config, runtime),
      [],
    );
    this.#merged = merged;
    this.#resolved = resolved;
    if (problem !== null) this.#setAside(problem);
    for (const note of this.#merged.notes) options.log('warn', note);
  }

  /** How messages name the configuration. */
  get name(): string {
    return this.#options.loaded.file ?? 'the configuration (zero config)';
  }

  get merged(): MergedModels {
    return this.#merged;
  }

  /** In the form that runs. */
  /** Whether clients may send this as `model` at this moment: a name, an alias or an adapter. */
  serves(name: string): boolean {
    return this.models.some(
      ({ modelName, aliases, loraAdapters }) =>
        modelName === name || aliases.includes(name) || loraAdapters.some((adapter) => adapter.name === name),
    );
  }

  get models(): readonly ResolvedModel[] {
    return this.#resolved;
  }

  /** Forgets on disk what the file has taken over, so that it does not come back when the file lets go of it. */
  async start(): Promise<void> {
    if (this.#merged.notes.length === 0) return;
    await this.#write(this.#merged.kept).catch((error: unknown) => {
      this.#options.log('error', PlatformError.from(error).message);
    });
  }

  onChange(apply: (models: readonly ResolvedModel[]) => void): void {
    this.#apply = apply;
  }

  /** Resolves with the message of the change when it is on disk and under way; rejects with PlatformError, and nothing has changed. */
  change(decide: (now: ModelsNow) => Change): Promise<string> {
    const done = this.#queue.then(() => this.#changeOnce(decide));
    this.#queue = done.catch(() => {});
    return done;
  }

  async #changeOnce(decide: (now: ModelsNow) => Change): Promise<string> {
    const { loaded, log } = this.#options;
    const { runtime, message } = decide({
      file: this.name,
      config: loaded.config,
      merged: this.#merged,
      locate: (entry) => resolveModels(loaded, [entry])[0] as ResolvedModel,
    });
    if (runtime === this.#merged.kept) return message;
    const asked = mergeModels(this.name, loaded.config, runtime);
    const { merged, resolved } = resolveMerged(loaded, asked, this.#resolved);
    this.#requireFiles(resolved);
    await this.#write(runtime);
    this.#merged = merged;
    this.#resolved = resolved;
    log('info', 'models changed', { message });
    this.#apply(resolved);
    return message;
  }

  /** Files of models that were not served before; those that run have theirs open already. */
  #requireFiles(resolved: readonly ResolvedModel[]): void {
    const known = new Set(this.#resolved.map(({ model }) => model));
    for (const model of resolved) {
      if (known.has(model.model) || !readsModelFile(model)) continue;
      const found = checkFileOf(model);
      if ('fault' in found) throw new PlatformError('config_invalid', `model: ${found.fault}`);
    }
  }

  async #write(runtime: RuntimeModels): Promise<void> {
    const { file } = this.#options;
    try {
      await writeWholeFile(file, runtimeModelsText(runtime));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const full = isNoRoom(error);
      const remedy = full ? 'free space in' : 'this system must be able to write to';
      const message = `${file} cannot be written (${code ?? String(error)}), so nothing was changed; ${remedy} the state directory`;
      throw new PlatformError(full ? 'storage_full' : 'storage_unavailable', message, { cause: error });
    }
  }

  /** What cannot be read is kept for people, and out of the way of the next change. */
  #setAside(problem: string): void {
    const { file, log } = this.#options;
    try {
      renameSync(file, `${file}.unreadable`);
    } catch {
      // It is overwritten by the next change then.
    }
    const note = `${file} could not be read (${problem}) and was set aside: only what ${this.name} says is served`;
    this.#merged.notes.push(note);
    log('error', note);
  }
}
