/**
 * The running system behind the admin API: joins what supervisor and gateways say into one status, and passes actions on.
 * Holds the recent facts in memory; the log has them all.
 */
import type { ActionResult, PoolStatus, SystemStatus } from '../contract/admin-api.ts';
import type { GatewayReport } from '../contract/control-protocol.ts';
import { PlatformError } from '../contract/errors.ts';
import type { Fact } from '../contract/facts.ts';
import type { IncidentEvidence, IncidentReport, IncidentSummary } from '../contract/incident-report.ts';
import type { SuspectRecord } from '../contract/suspects.ts';
import type { GatewayHost } from '../planes/control/gateway-host.ts';
import type { SuspectList } from '../planes/control/suspect-list.ts';
import type { Supervisor } from '../planes/supervisor/supervisor-options.ts';
import type { AdminSystem, ModelAdmin, NodePhase } from './admin/admin-system.ts';
import { mergeMetrics } from './admin/merge-metrics.ts';
import { readEnvironment } from './config/environment.ts';
import { loadConfig } from './config/load-config.ts';
import { localOrigin } from './config/loopback.ts';
import { RELEASE } from './config/release.ts';
import { type ResolvedConfig, resolveConfig } from './config/resolve-config.ts';
import type { Incidents } from './incidents.ts';
import { createModelAdmin } from './models/model-admin.ts';
import type { ModelRegistry } from './models/model-registry.ts';
import { nodeMetrics } from './node-metrics.ts';
import type { SignalMetrics } from './signal-metrics.ts';

/** How the process ends when an action asks for it. */
export type EndRequest = 'restart' | 'stop' | 'kill';

export interface NodeSystemOptions {
  config: ResolvedConfig;
  startedAtMs: number;
  registry: ModelRegistry;
  supervisor: Supervisor;
  gatewayHost: GatewayHost;
  suspects: SuspectList;
  signalMetrics: SignalMetrics;
  incidents: Incidents;
  adminAddress(): string;
  end(request: EndRequest): void;
}

const FACTS_MAX = 1_000;

export class NodeSystem implements AdminSystem {
  phase: NodePhase = 'starting';
  adoptedEngines = 0;
  /** The supervisor has taken up what a former one left: models may be changed from here on. */
  supervising = false;
  readonly models: ModelAdmin;
  readonly #options: NodeSystemOptions;
  readonly #facts: Fact[] = [];

  constructor(options: NodeSystemOptions) {
    this.#options = options;
    const { registry, supervisor } = options;
    this.models = createModelAdmin({
      registry,
      replicas: () => supervisor.status(),
      adaptersOf: (id) => supervisor.adaptersOf(id),
      heardByGateways: () => options.gatewayHost.collect(),
      refusal: () => this.#refusal(),
    });
  }

  get canServe(): boolean {
    const { gatewayHost, supervisor } = this.#options;
    return gatewayHost.address !== null && supervisor.status().some(({ state }) => state === 'ready');
  }

  get gatewayAddress(): string {
    const { gatewayHost, config } = this.#options;
    const { host, port } = gatewayHost.address ?? config.gateway;
    return localOrigin(host, port);
  }

  record(fact: Fact): void {
    this.#facts.push(fact);
    this.#options.incidents.book.record(fact);
    if (this.#facts.length > FACTS_MAX) this.#facts.splice(0, this.#facts.length - FACTS_MAX);
  }

  facts(limit: number): Fact[] {
    return this.#facts.slice(-limit).reverse();
  }

  async status(): Promise<SystemStatus> {
    const { config, startedAtMs, gatewayHost, adminAddress } = this.#options;
    const reports = await gatewayHost.collect();
    return {
      release: RELEASE,
      node: {
        pid: process.pid,
        startedAtMs,
        adoptedEngines: this.adoptedEngines,
        stateDir: config.paths.root,
        configPath: config.configPath,
      },
      gatewayAddress: this.gatewayAddress,
      adminAddress: adminAddress(),
      gateways: gatewayHost.status(),
      pools: this.#pools(reports),
    };
  }

  async metrics(): Promise<string> {
    const reports = await this.#options.gatewayHost.collect();
    const own = nodeMetrics(this.#pools(reports), this.#options.startedAtMs);
    return mergeMetrics([
      own,
      this.#options.signalMetrics.render(),
      this.#options.incidents.metrics(),
      ...reports.map(({ metricsText }) => metricsText),
    ]);
  }

  async drainReplica(id: string): Promise<ActionResult> {
    return this.#options.supervisor.drain(this.#knownReplica(id));
  }

  async restartReplica(id: string): Promise<ActionResult> {
    return this.#options.supervisor.restart(this.#knownReplica(id));
  }

  async restartPool(model: string): Promise<ActionResult> {
    const { registry, supervisor } = this.#options;
    const known = registry.models.map(({ modelName }) => modelName);
    if (!known.includes(model)) {
      throw new PlatformError('not_found', `unknown pool "${model}"; known: ${known.join(', ')}`);
    }
    return supervisor.rollingRestart(model);
  }

  suspects(): SuspectRecord[] {
    return this.#options.suspects.list();
  }

  suspect(fingerprint: string): SuspectRecord {
    return this.#options.suspects.find(fingerprint);
  }

  releaseSuspect(fingerprint: string): ActionResult {
    const { fingerprint: released, model } = this.#options.suspects.release(fingerprint);
    return { ok: true, message: `${released} (model ${model}) may be sent again like any other request` };
  }

  incidents(): IncidentSummary[] {
    return this.#options.incidents.book.list();
  }

  incident(id: string): IncidentReport {
    return this.#options.incidents.book.report(id);
  }

  incidentEvidence(id: string): Promise<IncidentEvidence> {
    return this.#options.incidents.evidence(id);
  }

  async restartGateway(): Promise<ActionResult> {
    const { gatewayHost } = this.#options;
    if (this.phase === 'stopping') throw new PlatformError('conflict', 'the system is being stopped');
    await gatewayHost.replace();
    const pids = gatewayHost.status().filter(({ state }) => state === 'listening');
    return {
      ok: true,
      message: `a new gateway serves (pid ${pids.at(-1)?.pid ?? 'unknown'}); the old one finishes what it has`,
    };
  }

  /** A configuration that the new process would refuse is refused here, while the old one still runs. */
  restartNode(): ActionResult {
    const { config, end } = this.#options;
    const next = resolveConfig(loadConfig(config.configPath ?? undefined, readEnvironment()));
    if (next.paths.instance !== config.paths.instance) {
      throw new PlatformError(
        'config_invalid',
        `state_dir: found ${next.paths.root}, which differs from ${config.paths.root}; stop \`autoglm serve\` to change it`,
      );
    }
    end('restart');
    return {
      ok: true,
      message: `node process ${process.pid} ends and is started again; gateway and engines go on`,
    };
  }

  stop(immediate: boolean): ActionResult {
    this.#options.end(immediate ? 'kill' : 'stop');
    return { ok: true, message: immediate ? 'killing everything' : 'draining, then stopping engines' };
  }

  #refusal(): string | null {
    if (this.phase === 'stopping') return 'the system is being stopped';
    return this.supervising ? null : 'the system is just starting; try again in a moment';
  }

  #knownReplica(id: string): string {
    const known = this.#options.supervisor.status().map((replica) => replica.id);
    if (known.includes(id)) return id;
    throw new PlatformError('not_found', `unknown replica "${id}"; known: ${known.join(', ')}`);
  }

  #pools(reports: readonly GatewayReport[]): PoolStatus[] {
    const replicas = this.#options.supervisor.status();
    const { merged } = this.#options.registry;
    const served = merged.models.map(({ config, source }) => ({
      model: config.model_name,
      aliases: [...config.aliases],
      source,
      leaving: false,
    }));
    const names = new Set(served.map(({ model }) => model));
    const leaving = [...new Set(replicas.map(({ model }) => model))]
      .filter((model) => !names.has(model))
      .map((model) => ({ model, aliases: [], source: 'runtime' as const, leaving: true }));
    return [...served, ...leaving].map((pool) => {
      const own = replicas
        .filter(({ model }) => model === pool.model)
        .map((replica) => ({
          ...replica,
          inFlight: total(reports.map(({ replicaInFlight }) => replicaInFlight[replica.id] ?? 0)),
          ...speedShareOf(replica.id, reports),
        }));
      return {
        ...pool,
        ready: own.filter(({ state }) => state === 'ready').length,
        total: own.filter(({ standby }) => standby !== true).length,
        queued: total(reports.map(({ poolQueued }) => poolQueued[pool.model] ?? 0)),
        replicas: own,
      };
    });
  }
}

function total(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Each gateway has its own view; the one that gives it least is told. */
function speedShareOf(replica: string, reports: readonly GatewayReport[]): { speedShare?: number } {
  const speedShare = Math.min(1, ...reports.map(({ replicaSpeeds }) => replicaSpeeds?.[replica]?.share ?? 1));
  return speedShare < 1 ? { speedShare } : {};
}
