/** The fleet as gateways see it, and as people do: both made from the machine's state and the configuration. */
import type { ReplicaStatus } from '../../contract/admin-api.ts';
import type {
  AdapterView,
  EngineCapabilities,
  EngineKind,
  FleetSnapshot,
  PoolCache,
  PoolView,
  ReplicaView,
} from '../../contract/fleet.ts';
import type { EngineDriver } from '../../contract/ports/engine-driver.ts';
import type { RecoveryPolicy } from '../../contract/recovery-policy.ts';
import type { FleetState } from '../../decide/recovery/fleet-state.ts';
import { type Replica, stateOf } from '../../decide/recovery/replica.ts';
import { adjustedModel } from './adjusted-model.ts';
import { poolCache } from './model-revision.ts';
import type { Moment } from './record-times.ts';
import type { SupervisedReplica } from './supervised-replica.ts';
import type { SupervisedModel } from './supervisor-options.ts';

export interface ViewParts {
  models: readonly SupervisedModel[];
  /** By id; replicas on their way out included. */
  replicas: ReadonlyMap<string, SupervisedReplica>;
  drivers: ReadonlyMap<EngineKind, EngineDriver>;
  policy: RecoveryPolicy;
  /** What a replica has loaded in its present generation. */
  adaptersOf(replica: Replica): AdapterView[];
  /** Why it could not load others, by name. */
  adapterProblemsOf(replica: Replica): Readonly<Record<string, string>>;
}

/** Without a driver there is no process, so the number is never used. */
const WINDOW_WITHOUT_DRIVER = 1;

const NO_CAPABILITIES: EngineCapabilities = {
  tokenReplay: false,
  chatContinuation: false,
  tokenize: false,
  determinism: 'none',
  wholeTokenEvents: false,
};

/** Every configured pool is there with every replica, also those that have never run: gateways can say why. */
export function fleetSnapshot(state: FleetState, parts: ViewParts): FleetSnapshot {
  const pools = parts.models.map(
    (model): PoolView => ({
      model: model.modelName,
      aliases: [...model.aliases],
      ...adapterNames(model),
      ...(model.strategy !== undefined && { strategy: model.strategy }),
      ...(model.limits !== undefined && { limits: model.limits }),
      ...cacheOf(model),
      ...(model.batching !== undefined && { batching: model.batching }),
      fallbacks: [...model.fallbacks],
      replicas: inPool(state, parts, model.modelName).map(([replica, supervised]) =>
        replicaView(replica, supervised, parts),
      ),
    }),
  );
  return { pools: [...pools, ...leavingPools(state, parts.models)] };
}

/**
 * Pools that are no longer wanted, as long as one of their replicas is there: without them gateways could not say what is
 * still in flight. All is taken from the machine: after a restart nothing else knows of them.
 */
function leavingPools({ replicas }: FleetState, models: ViewParts['models']): PoolView[] {
  const leaving = new Map<string, PoolView>();
  for (const replica of Object.values(replicas)) {
    const { id, pool } = replica.spec;
    if (replica.stray || models.some(({ modelName }) => modelName === pool)) continue;
    const view = leaving.get(pool) ?? { model: pool, aliases: [], replicas: [], leaving: true };
    leaving.set(pool, view);
    view.replicas.push({
      id,
      generation: replica.generation,
      url: replica.url ?? '',
      engine: 'openai',
      servedModel: '',
      state: stateOf(replica),
      reason: replica.reason,
      window: WINDOW_WITHOUT_DRIVER,
      capabilities: NO_CAPABILITIES,
    });
  }
  return [...leaving.values()];
}

function adapterNames({ loraAdapters = [] }: SupervisedModel): { adapters?: string[] } {
  return loraAdapters.length === 0 ? {} : { adapters: loraAdapters.map(({ name }) => name) };
}

function cacheOf(model: SupervisedModel): { cache?: PoolCache } {
  const cache = poolCache(model);
  return cache === undefined ? {} : { cache };
}

function replicaView(replica: Replica, { model }: SupervisedReplica, parts: ViewParts): ReplicaView {
  const driver = parts.drivers.get(model.engine);
  const adapters = parts.adaptersOf(replica);
  const adapterProblems = parts.adapterProblemsOf(replica);
  return {
    id: replica.spec.id,
    generation: replica.generation,
    url: replica.url ?? '',
    engine: model.engine,
    servedModel: model.servedModel,
    state: stateOf(replica),
    reason: replica.reason,
    ...(replica.phase.name === 'ailing' && replica.phase.late && { late: true as const }),
    window: usedWindow(replica, model, parts),
    ...(model.weight !== undefined && { weight: model.weight }),
    ...gpuMetricsOf(model, replica.url),
    capabilities: capabilitiesOf(model, driver),
    ...(replica.startedHash !== replica.spec.launchHash && { outdated: true as const }),
    ...(adapters.length > 0 && { adapters }),
    ...(Object.keys(adapterProblems).length > 0 && { adapterProblems }),
    ...(model.engineKey !== undefined && { engineKey: model.engineKey.reveal() }),
    ...protocolOf(model),
  };
}

function gpuMetricsOf({ gpuMetricsUrl }: SupervisedModel, url: string | null): { gpuMetricsUrl?: string } {
  if (gpuMetricsUrl === undefined || url === null) return {};
  const { hostname, port } = new URL(url);
  return { gpuMetricsUrl: gpuMetricsUrl.replaceAll('{host}', hostname).replaceAll('{port}', port) };
}

/** What gateways and drivers are told of how an engine is spoken to. */
export function protocolOf({
  protocol,
  chatTemplate,
}: SupervisedModel): Pick<ReplicaView, 'protocol' | 'chatTemplate'> {
  return {
    ...(protocol !== undefined && protocol !== 'openai' && { protocol }),
    ...(chatTemplate !== undefined && { chatTemplate }),
  };
}

function capabilitiesOf({ protocol }: SupervisedModel, driver: EngineDriver | undefined): EngineCapabilities {
  if (driver === undefined) return NO_CAPABILITIES;
  return driver.capabilitiesOver?.(protocol ?? 'openai') ?? driver.capabilities;
}

export function windowOf(model: SupervisedModel, driver: EngineDriver | undefined): number {
  return model.maxBatchSize ?? driver?.defaultWindow ?? WINDOW_WITHOUT_DRIVER;
}

/** As it was started, and without what is shed. */
function usedWindow(
  { adjustment, windowShare }: Replica,
  model: SupervisedModel,
  { drivers, policy }: ViewParts,
): number {
  const driver = drivers.get(model.engine);
  const started = adjustedModel(model, adjustment, { policy, defaultWindow: driver?.defaultWindow });
  return Math.max(1, Math.floor(windowOf(started, driver) * windowShare));
}

export function replicaStatuses(
  state: FleetState,
  parts: ViewParts,
  now: Moment,
  logFileOf: (id: string) => string,
): ReplicaStatus[] {
  const pools = new Set([...parts.replicas.values()].map(({ model }) => model.modelName));
  return [...pools].flatMap((pool) =>
    inPool(state, parts, pool).map(([replica, { model }]) => ({
      id: replica.spec.id,
      model: model.modelName,
      engine: model.engine,
      state: stateOf(replica),
      reason: replica.reason,
      managed: replica.spec.managed,
      generation: replica.generation,
      url: replica.url,
      pid: replica.process?.pid ?? null,
      inFlight: replica.inFlight ?? 0,
      window: usedWindow(replica, model, parts),
      ...(replica.standby && { standby: true as const }),
      restarts: replica.restarts,
      stateForMs: Math.max(0, Math.round(now.monotonicMs - replica.sinceMs)),
      lastIncident: incidentOf(replica, now),
      logFile: replica.spec.managed ? logFileOf(replica.spec.id) : null,
    })),
  );
}

function incidentOf({ lastIncident }: Replica, now: Moment): ReplicaStatus['lastIncident'] {
  if (lastIncident === null) return null;
  return { ...lastIncident, atMs: Math.round(lastIncident.atMs - now.monotonicMs + now.wallMs) };
}

/** In the order of the configuration, what is on its way out last. */
function inPool(
  { replicas }: FleetState,
  parts: ViewParts,
  pool: string,
): (readonly [Replica, SupervisedReplica])[] {
  const found: (readonly [Replica, SupervisedReplica])[] = [];
  for (const supervised of parts.replicas.values()) {
    const replica = replicas[supervised.spec.id];
    if (supervised.model.modelName === pool && replica !== undefined) found.push([replica, supervised]);
  }
  return found;
}
