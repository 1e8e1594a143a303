/**
 * Which engines serve LoRA adapters beside their model, and which of those take a new one while they run. Read by the rules of
 * the configuration; the calls themselves are the drivers' (`EngineDriver.adapters`).
 */
import type { EngineKind } from './fleet.ts';

/** With `--enable-lora`, `--lora-paths` or `--lora` in their start command. */
export const LORA_ENGINES: readonly EngineKind[] = ['vllm', 'sglang', 'llama-server', 'simulator'];

/** Of these, those that load and unload adapters by calls; the others are started again with others. */
export const LORA_ENGINES_WHILE_RUNNING: readonly EngineKind[] = ['vllm', 'sglang', 'simulator'];

export interface LoraAdapter {
  /** What clients send as `model`. */
  name: string;
  /** Where the engine finds it. */
  path: string;
}
