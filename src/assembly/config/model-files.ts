/**
 * Model files that an engine of ours would load: are they there, whole, and GGUF? The same check as the engine's own, before
 * anything is started. Called by `validate`, which shows the place in the configuration, and by `doctor`.
 */
import { readFileSync } from 'node:fs';
import { PlatformError } from '../../contract/errors.ts';
import { isModelAddress } from '../../drivers/engines/embedded/model-address.ts';
import { checkModelFile } from '../../drivers/engines/embedded/model-file.ts';
import { checkGgufQuantize } from '../../drivers/engines/gguf-quantize.ts';
import { parseConfigDocument } from './config-document.ts';
import { configError, showProblem } from './config-problem.ts';
import type { ResolvedConfig, ResolvedModel } from './resolve-config.ts';

/** Whether the engine of the model is started by us and reads `model` as a file. */
export function readsModelFile({ urls, command, engine, model }: ResolvedModel): boolean {
  const takesFiles = engine === 'embedded' || engine === 'llama-server';
  return takesFiles && urls === undefined && command === undefined && !isModelAddress(model);
}

/** Size of the file in bytes, or what is wrong with it. */
export function checkFileOf({ model, quantize }: ResolvedModel): { bytes: number } | { fault: string } {
  try {
    const { bytes } = checkModelFile(model);
    checkGgufQuantize(model, quantize);
    return { bytes };
  } catch (error) {
    return { fault: PlatformError.from(error).message };
  }
}

/** Throws PlatformError `config_invalid` with a line for each model whose file cannot be loaded. */
export function requireModelFiles({ configPath, models }: ResolvedConfig): void {
  const faults = models.flatMap((model, index) => {
    const found = readsModelFile(model) ? checkFileOf(model) : { bytes: 0 };
    return 'fault' in found ? [{ index, message: found.fault }] : [];
  });
  if (faults.length === 0) return;
  const file = configPath ?? '(zero config)';
  const document = parseConfigDocument(file, configPath === null ? '' : readFileSync(configPath, 'utf8'));
  throw configError(
    faults.map(({ index, message }) => {
      const path = ['models', index, 'model'];
      return showProblem(file, { path, message }, document.locate(path));
    }),
  );
}
