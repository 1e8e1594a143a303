/** What the configuration says about each replica: from pools to replicas, and what their processes are started with. */
import { createHash } from 'node:crypto';
import type { EngineKind } from '../../contract/fleet.ts';
import { LORA_ENGINES_WHILE_RUNNING } from '../../contract/lora.ts';
import type { EngineDriver } from '../../contract/ports/engine-driver.ts';
import { replicaId } from '../../contract/replica-id.ts';
import type { RemedyMeans, ReplicaSpec } from '../../decide/recovery/replica.ts';
import type { SupervisedModel } from './supervisor-options.ts';

export interface SupervisedReplica {
  spec: ReplicaSpec;
  /** Of its pool, with what sets this replica's engine apart. */
  model: SupervisedModel;
}

const HASH_DIGITS = 12;

export function supervisedReplicas(
  models: readonly SupervisedModel[],
  drivers: ReadonlyMap<EngineKind, EngineDriver>,
): SupervisedReplica[] {
  return models.flatMap((pool) => {
    const inRotation = pool.urls?.length ?? pool.replicas;
    return Array.from({ length: inRotation + (pool.standby ?? 0) }, (_, ordinal) => {
      const url = pool.urls?.[ordinal] ?? null;
      const model = { ...pool, ...pool.perUrl[ordinal] };
      const spec = {
        id: replicaId(model.modelName, ordinal),
        pool: model.modelName,
        managed: url === null,
        launchHash: launchHash(model, url),
        url,
        startTimeoutMs: model.startTimeoutMs,
        standby: ordinal >= inRotation,
        means: meansOf(model, drivers.get(model.engine)),
      };
      return { spec, model };
    });
  });
}

function meansOf(model: SupervisedModel, driver: EngineDriver | undefined): RemedyMeans {
  return {
    // Gateways take requests off any engine.
    abort: true,
    clearCaches: driver?.clearCache !== undefined,
    saferSteps: model.saferSteps?.length ?? 0,
    spareDevices: model.spareDevices?.length ?? 0,
    window: model.maxBatchSize ?? driver?.defaultWindow ?? 1,
  };
}

/** Changes when the process would be started differently. What only gateways look at is not part of it. */
function launchHash(model: SupervisedModel, url: string | null): string {
  const { engine, servedModel, command, env, maxBatchSize, maxSeqLength, threads, protocol } = model;
  const launch = url ?? [
    model.model,
    command,
    Object.entries(env).sort(),
    maxBatchSize,
    maxSeqLength,
    threads,
    model.quantize,
    model.tensorParallelSize,
    model.args,
    ...adapterPart(model),
  ];
  const spoken = protocol === undefined || protocol === 'openai' ? [] : [protocol];
  const text = JSON.stringify([engine, servedModel, launch, ...spoken]);
  return createHash('sha256').update(text).digest('hex').slice(0, HASH_DIGITS);
}

/** Engines that load adapters while they run must be told at the start that they will; which ones is told later. */
function adapterPart({ engine, loraAdapters = [] }: SupervisedModel): unknown[] {
  if (loraAdapters.length === 0) return [];
  return LORA_ENGINES_WHILE_RUNNING.includes(engine) ? ['adapters'] : [loraAdapters];
}

/** A file name for a replica that no model name can turn into a path; simple names stay readable. */
export function fileNameOf(id: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,100}\/\d+$/.test(id)) return id.replace('/', '-');
  const readable = id.replaceAll(/[^A-Za-z0-9._-]+/g, '-').slice(0, 80);
  return `${readable}-${createHash('sha256').update(id).digest('hex').slice(0, 8)}`;
}
