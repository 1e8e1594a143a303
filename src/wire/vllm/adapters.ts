/**
 * LoRA adapters as vLLM serves them: names beside the model's own, given at the start or by two calls while it runs. The calls
 * exist only where adapters were enabled at the start, as in vLLM with VLLM_ALLOW_RUNTIME_LORA_UPDATING.
 */
import type { LoraAdapter } from '../../contract/lora.ts';
import type { Fields } from './request-fields.ts';

export interface AdapterShelfOptions {
  /** Loaded at the start. */
  adapters: readonly LoraAdapter[];
  /** Whether there is an adapter at this path. */
  exists(path: string): boolean;
}

/** Status and body of an answer: a text, or vLLM's error object. */
export interface AdapterAnswer {
  status: number;
  text: string;
}

export class AdapterShelf {
  readonly #options: AdapterShelfOptions;
  readonly #paths = new Map<string, string>();

  constructor(options: AdapterShelfOptions) {
    this.#options = options;
    for (const { name, path } of options.adapters) this.#paths.set(name, path);
  }

  has(name: string): boolean {
    return this.#paths.has(name);
  }

  add(name: string, path: string): 'added' | 'there already' | 'no such path' {
    if (this.#paths.has(name)) return 'there already';
    if (!this.#options.exists(path)) return 'no such path';
    this.#paths.set(name, path);
    return 'added';
  }

  /** False: there was none of this name. */
  remove(name: string): boolean {
    return this.#paths.delete(name);
  }

  /** By name. */
  get paths(): Record<string, string> {
    return Object.fromEntries(this.#paths);
  }

  /** Entries of /v1/models. */
  models(parent: { model: string; ownedBy: string }, created: number): object[] {
    return [...this.#paths].map(([id, root]) => ({
      id,
      object: 'model',
      created,
      owned_by: parent.ownedBy,
      root,
      parent: parent.model,
      max_model_len: null,
    }));
  }

  /** POST /v1/load_lora_adapter */
  load({ lora_name: name, lora_path: path }: Fields): AdapterAnswer {
    if (typeof name !== 'string' || typeof path !== 'string' || name === '' || path === '')
      return refused(400, 'InvalidUserInput', "Both 'lora_name' and 'lora_path' must be provided.");
    const added = this.add(name, path);
    if (added === 'there already') {
      const message = `The lora adapter '${name}' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.`;
      return refused(400, 'InvalidUserInput', message);
    }
    if (added === 'no such path') return refused(404, 'NotFoundError', `No adapter found for ${path}`);
    return { status: 200, text: `Success: LoRA adapter '${name}' added successfully.` };
  }

  /** POST /v1/unload_lora_adapter */
  unload({ lora_name: name }: Fields): AdapterAnswer {
    if (typeof name !== 'string' || name === '')
      return refused(400, 'InvalidUserInput', "'lora_name' needs to be provided to unload a LoRA adapter.");
    if (!this.remove(name))
      return refused(404, 'NotFoundError', `The lora adapter '${name}' cannot be found.`);
    return { status: 200, text: `Success: LoRA adapter '${name}' removed successfully.` };
  }
}

function refused(code: number, type: string, message: string): AdapterAnswer {
  return { status: code, text: JSON.stringify({ error: { message, type, param: null, code } }) };
}
