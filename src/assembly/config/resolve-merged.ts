/**
 * The models that are served, in the form that runs. A file that a model was loaded with at run time and that is gone since (a
 * chat template) must stop nobody: a model that runs keeps what was read, and one that would start waits on disk, as one that
 * does not fit beside the configuration file does. Used by the node process and `autoglm validate`.
 */

import { PlatformError } from '../../contract/errors.ts';
import type { ModelConfig } from '../../contract/model-schema.ts';
import type { MergedModels } from './merge-models.ts';
import { type ModelPlace, type ResolvedModel, resolveModels } from './resolve-config.ts';

/** `merged` comes back without what was left out, and with a note about it. Throws PlatformError for models of the file. */
export function resolveMerged(
  place: ModelPlace,
  merged: MergedModels,
  running: readonly ResolvedModel[],
): { merged: MergedModels; resolved: readonly ResolvedModel[] } {
  const notes = [...merged.notes];
  const served = merged.models.flatMap((model) => {
    try {
      return [{ model, resolved: resolveOne(place, model.config, running) }];
    } catch (error) {
      if (model.source === 'file') throw error;
      const { message } = PlatformError.from(error);
      notes.push(`model "${model.config.model_name}" was loaded at run time and is left out: ${message}`);
      return [];
    }
  });
  return {
    merged: { ...merged, notes, models: served.map(({ model }) => model) },
    resolved: served.map(({ resolved }) => resolved),
  };
}

function resolveOne(
  place: ModelPlace,
  config: ModelConfig,
  running: readonly ResolvedModel[],
): ResolvedModel {
  try {
    return resolveModels(place, [config])[0] as ResolvedModel;
  } catch (error) {
    const now = running.find(({ modelName }) => modelName === config.model_name);
    if (now?.chatTemplate === undefined) throw error;
    const [model] = resolveModels(place, [{ ...config, chat_template: undefined }]);
    return Object.freeze({ ...(model as ResolvedModel), chatTemplate: now.chatTemplate });
  }
}
