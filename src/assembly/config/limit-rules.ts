/** Limits from the words of the file to those of the planes, and what about them only the whole file can tell. */
import type { Config } from '../../contract/config-schema.ts';
import { LIMITED_MAX, type LimitSettings } from '../../contract/limits.ts';
import type { ModelConfig } from '../../contract/model-schema.ts';
import type { ConfigProblem } from './config-problem.ts';

type WrittenLimits = NonNullable<ModelConfig['limits']>;
type WrittenKeyLimits = Config['gateway']['keys'][number]['limits'];

/** Undefined where nothing is limited. */
export function limitSettings(written: WrittenLimits | undefined): LimitSettings | undefined {
  if (written === undefined) return undefined;
  const settings = {
    requestsPerMinute: written.requests_per_minute,
    tokensPerMinute: written.tokens_per_minute,
    parallelRequests: written.parallel_requests,
  };
  return Object.values(settings).some((amount) => amount !== undefined) ? settings : undefined;
}

export function keyLimits(written: WrittenKeyLimits): {
  limits?: LimitSettings | undefined;
  modelLimits?: Record<string, LimitSettings> | undefined;
} {
  const ofModels = Object.entries(written?.models ?? {}).flatMap(([name, limits]) => {
    const settings = limitSettings(limits);
    return settings === undefined ? [] : [[name, settings] as const];
  });
  return {
    limits: limitSettings(written),
    modelLimits: ofModels.length === 0 ? undefined : Object.fromEntries(ofModels),
  };
}

/** `names`: every name that clients may use. A limit on a model that is not there would hold nobody back, unnoticed. */
export function checkLimitedModels({ gateway }: Config, names: readonly string[]): ConfigProblem[] {
  return gateway.keys.flatMap(({ limits }, index) =>
    Object.keys(limits?.models ?? {})
      .filter((name) => !names.includes(name))
      .map((name) => ({
        path: ['gateway', 'keys', index, 'limits', 'models', name],
        message: `found "${name}", which is no model here; known: ${names.join(', ')}`,
      })),
  );
}

/** The threads of a gateway share a table with so many places. */
export function checkLimitCount({ gateway, models }: Config): ConfigProblem[] {
  const ofKeys = gateway.keys.map(({ limits }) => keyLimits(limits));
  const ofModels = models.filter(({ limits }) => limitSettings(limits) !== undefined);
  const count = ofKeys.reduce(
    (sum, { limits, modelLimits = {} }) =>
      sum + (limits === undefined ? 0 : 1) + Object.keys(modelLimits).length,
    ofModels.length,
  );
  if (count <= LIMITED_MAX) return [];
  const message = `found limits for ${count} keys, models of keys, and models together; would be right: at most ${LIMITED_MAX}`;
  return [{ path: ['gateway', 'keys'], message }];
}
