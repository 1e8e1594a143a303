/**
 * Names what answers of a model depend on: weights, how they are loaded and how they are spoken to. The same over restarts and on
 * all machines with the same configuration; another one as soon as the configuration says something else. What only decides how
 * many requests are served at once is not part of it.
 */
import { createHash } from 'node:crypto';
import type { PoolCache } from '../../contract/fleet.ts';
import type { SupervisedModel } from './supervisor-options.ts';

const HASH_DIGITS = 16;

/** Undefined where answers are not kept for others. */
export function poolCache(model: SupervisedModel): PoolCache | undefined {
  if (model.cache === undefined) return undefined;
  const { revision, ...policy } = model.cache;
  const base = [...weightsOf(model), revision];
  const adapters = model.loraAdapters ?? [];
  return {
    ...policy,
    revision: digest(base),
    ...(adapters.length > 0 && {
      adapterRevisions: Object.fromEntries(adapters.map(({ name, path }) => [name, digest([...base, path])])),
    }),
  };
}

function weightsOf(model: SupervisedModel): unknown[] {
  const { engine, servedModel, urls, perUrl, command, env, args, protocol, chatTemplate } = model;
  return [
    engine,
    model.model,
    servedModel,
    urls,
    perUrl.map((one) => one.servedModel),
    command,
    Object.entries(env).sort(),
    args,
    model.quantize,
    model.maxSeqLength,
    model.tensorParallelSize,
    protocol ?? 'openai',
    chatTemplate,
  ];
}

function digest(parts: readonly unknown[]): string {
  // Absent is null in an array, so that no part takes the place of another.
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, HASH_DIGITS);
}
