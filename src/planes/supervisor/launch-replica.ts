/** Starts the process of one replica: the driver says how, the process host does it. */
import { join } from 'node:path';
import { PlatformError } from '../../contract/errors.ts';
import type { EngineDriver, LaunchContext, LaunchPlan } from '../../contract/ports/engine-driver.ts';
import type { ProcessIdentity } from '../../contract/ports/process-host.ts';
import type { LaunchAdjustment } from '../../contract/remedies.ts';
import { adjustedModel } from './adjusted-model.ts';
import { windowOf } from './fleet-view.ts';
import { untilAborted } from './launches.ts';
import { ownerText } from './owner-tag.ts';
import { fileNameOf, type SupervisedReplica } from './supervised-replica.ts';
import type { SupervisorOptions } from './supervisor-options.ts';

/** Engines that we start are reached by this machine only. */
const ENGINE_HOST = '127.0.0.1';

export type LaunchParts = Pick<
  SupervisorOptions,
  'drivers' | 'inherited' | 'paths' | 'policy' | 'ports' | 'processHost'
>;

export interface Start {
  generation: number;
  adjustment: LaunchAdjustment;
}

export interface Launched {
  process: ProcessIdentity;
  /** Null: the engine will leave its port in its file. */
  url: string | null;
}

/** Rejects with `PlatformError`. Once `signal` has fired nothing is started any more, however late the driver answers. */
export async function launchReplica(
  parts: LaunchParts,
  supervised: SupervisedReplica,
  start: Start,
  signal: AbortSignal,
): Promise<Launched> {
  const { spec } = supervised;
  const { generation } = start;
  const { inherited, paths, processHost } = parts;
  const { plan, port } = await untilAborted(prepare(parts, supervised, start, signal), signal);
  signal.throwIfAborted();
  const assigned = plan.portFrom === 'assigned';
  const { launchHash } = spec;
  const process = await processHost.spawn({
    command: plan.command,
    args: plan.args,
    env: { ...inherited, ...plan.env },
    cwd: paths.workDir,
    logFile: logFileOf(parts, spec.id),
    owner: ownerText(paths.instance, {
      replica: spec.id,
      generation,
      port: assigned ? port : 0,
      launchHash,
    }),
  });
  return { process, url: assigned ? engineUrl(port) : null };
}

async function prepare(
  { drivers, ports, policy }: LaunchParts,
  supervised: SupervisedReplica,
  { generation, adjustment }: Start,
  signal: AbortSignal,
): Promise<{ plan: LaunchPlan; port: number }> {
  const { spec } = supervised;
  const driver = drivers.get(supervised.model.engine);
  const { defaultWindow } = driver ?? {};
  const model = adjustedModel(supervised.model, adjustment, { policy, defaultWindow });
  if (driver?.launch === undefined) throw cannotStart(supervised, driver);
  const portFile = await ports.prepare(spec.id, generation);
  const port = await ports.free(ENGINE_HOST);
  const context: LaunchContext = {
    replicaId: spec.id,
    host: ENGINE_HOST,
    port,
    portFile,
    modelName: model.servedModel,
    model: model.model,
    maxBatchSize: windowOf(model, driver),
    maxSeqLength: model.maxSeqLength,
    threads: model.threads,
    quantize: model.quantize,
    tensorParallelSize: model.tensorParallelSize,
    args: [...(model.args ?? [])],
    adapters: model.loraAdapters ?? [],
    command: model.command === undefined ? undefined : [...model.command],
    env: { ...model.env },
    ...(model.protocol !== undefined && { protocol: model.protocol }),
  };
  return { plan: await driver.launch(context, signal), port };
}

export function logFileOf({ paths }: Pick<SupervisorOptions, 'paths'>, id: string): string {
  return join(paths.logDir, `${fileNameOf(id)}.log`);
}

export function engineUrl(port: number): string {
  return `http://${ENGINE_HOST}:${port}`;
}

/** A loop of starts cannot mend these: a person must act. */
export function isPermanent({ code }: PlatformError): boolean {
  return code === 'engine_binary_missing' || code === 'model_file_invalid' || code === 'config_invalid';
}

function cannotStart({ spec, model }: SupervisedReplica, driver: EngineDriver | undefined): PlatformError {
  const why = driver === undefined ? 'there is no driver for it' : 'its driver only watches';
  const text = `${spec.id}: engine "${model.engine}" cannot be started here: ${why}; give \`urls:\` instead`;
  return new PlatformError('config_invalid', text);
}
