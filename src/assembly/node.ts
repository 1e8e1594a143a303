/**
 * One life of the node process: starting -> serving -> stopping. Owns supervisor, gateway host and admin server;
 * `shutdown.ts` ends them.
 */
import { systemClock } from '../base/clock.ts';
import type { Fact } from '../contract/facts.ts';
import type { ProcessHost } from '../contract/ports/process-host.ts';
import { createLogRotation } from '../drivers/process/log-rotation.ts';
import { openSuspectFile } from '../drivers/storage/suspect-file.ts';
import { SuspectList } from '../planes/control/suspect-list.ts';
import type { FenceGuard } from '../planes/supervisor/fenced.ts';
import type { Supervisor } from '../planes/supervisor/supervisor-options.ts';
import { type AdminServer, createAdminServer } from './admin/admin-server.ts';
import { banner, notReadyLine, progressLine, readyLine, tryLines } from './banner.ts';
import { type Batches, type FillerKey, newFillerKey, startBatches } from './batches.ts';
import { localOrigin } from './config/loopback.ts';
import { removeNodeRecord, writeNodeRecord } from './config/node-record.ts';
import { RELEASE } from './config/release.ts';
import type { ResolvedConfig } from './config/resolve-config.ts';
import { flowReadings } from './flow-readings.ts';
import { assembleGateways, type Gateways } from './gateways.ts';
import { assembleIncidents } from './incidents.ts';
import type { ModelRegistry } from './models/model-registry.ts';
import type { NodeLog } from './node-log.ts';
import { NodeSystem } from './node-system.ts';
import type { OwnerOptions } from './owner-pipe.ts';
import { identityOf } from './processes.ts';
import { Shutdown } from './shutdown.ts';
import { SignalMetrics } from './signal-metrics.ts';
import { assembleSupervisor } from './supervisor.ts';

export interface NodeProcessOptions {
  config: ResolvedConfig;
  registry: ModelRegistry;
  log: NodeLog;
  processHost: ProcessHost;
  /** Null: nobody is fenced. */
  guard: FenceGuard | null;
  sinceAtMs: number | undefined;
  owner: OwnerOptions | undefined;
}

export class NodeProcess {
  readonly #config: ResolvedConfig;
  readonly #registry: ModelRegistry;
  readonly #log: NodeLog;
  readonly #startedAtMs = systemClock.wallMs();
  readonly #sinceAtMs: number;
  readonly #supervisor: Supervisor;
  readonly #gateways: Gateways;
  readonly #system: NodeSystem;
  readonly #admin: AdminServer;
  readonly #shutdown: Shutdown;
  readonly #fillerKey: FillerKey = newFillerKey();
  #batches: Batches | null = null;
  readonly #startingSince = new Map<string, number>();
  #adminAddress: string;
  #bannerShown = false;
  #tryShown = false;
  #linesBeforeBanner: string[] = [];

  constructor({ config, registry, log, processHost, guard, sinceAtMs, owner }: NodeProcessOptions) {
    this.#config = config;
    this.#registry = registry;
    this.#log = log;
    this.#sinceAtMs = sinceAtMs ?? this.#startedAtMs;
    this.#adminAddress = localOrigin(config.admin.host, config.admin.port);
    const suspectFile = openSuspectFile(config.paths.root);
    const { fingerprintKey, records } = suspectFile.read();
    const gateway = {
      ...config.gateway,
      fillerKeySha256: this.#fillerKey.sha256,
      ...(config.gateway.quarantine !== undefined && {
        quarantine: { ...config.gateway.quarantine, fingerprintKey },
      }),
    };
    const parts = { config: { ...config, gateway }, clock: systemClock, processHost, log: log.write };
    this.#gateways = assembleGateways({
      ...parts,
      epoch: this.#startedAtMs,
      onFacts: (facts) => {
        for (const fact of facts) this.#onFact(fact);
      },
      suspects: () => suspects.all(),
      onSuspects: (records, from) => suspects.take(records, from),
    });
    const suspects = new SuspectList({
      clock: systemClock,
      records,
      keep: (kept) => suspectFile.write({ fingerprintKey, records: kept }),
      tell: (news, but) => this.#gateways.host.tellSuspects(news, but),
      log: log.write,
    });
    const incidents = assembleIncidents({
      ...parts,
      config,
      models: () => registry.models,
      requests: () => this.#requests(),
    });
    const logFiles = createLogRotation({
      onProblem: (file, problem) => log.write('warn', 'a log file could not be rotated', { file, problem }),
    });
    for (const file of [config.paths.nodeLog, ...this.#gateways.logFiles]) logFiles.watch(file);
    const signalMetrics = new SignalMetrics(() => systemClock.monotonicMs());
    this.#supervisor = assembleSupervisor({
      ...parts,
      guard,
      models: registry.models,
      logFiles,
      onFleet: (fleet) => this.#gateways.host.publishFleet(fleet),
      onFact: (fact) => this.#onFact(fact),
      collectInFlight: () => this.#collectInFlight(),
      sinceProgressMs: (replica) => this.#sinceProgressMs(replica),
      flow: async () => flowReadings(await this.#gateways.host.flows()),
      giveUp: (replica, which) => this.#gateways.host.giveUp(replica, which),
      signalMetrics,
      capture: incidents.capture,
    });
    registry.onChange((models) => this.#supervisor.configure(models));
    this.#system = new NodeSystem({
      config,
      startedAtMs: this.#startedAtMs,
      registry,
      supervisor: this.#supervisor,
      gatewayHost: this.#gateways.host,
      suspects,
      signalMetrics,
      incidents,
      adminAddress: () => this.#adminAddress,
      end: (request) => this.#shutdown.request(request),
    });
    this.#admin = createAdminServer({ settings: config.admin, system: this.#system, log: log.write });
    this.#shutdown = new Shutdown({
      config,
      log,
      processHost,
      system: this.#system,
      gatewayHost: this.#gateways.host,
      supervisor: this.#supervisor,
      admin: this.#admin,
      closeBatches: async () => this.#batches?.close(),
      closeIncidents: () => incidents.close(),
      owner,
    });
  }

  /** Resolves when the gateway listens. Rejects with PlatformError when it cannot; nothing that was started is left then. */
  async start(): Promise<void> {
    this.#shutdown.listen();
    this.#writeRecord({ gateway: this.#system.gatewayAddress, admin: null });
    try {
      const { port } = await this.#admin.listen();
      this.#adminAddress = localOrigin(this.#config.admin.host, port);
      await this.#startPlanes();
    } catch (error) {
      this.#log.write('error', 'the node process cannot start', { error: String(error) });
      removeNodeRecord(this.#config.paths.nodeRecord);
      throw error;
    }
    this.#writeRecord({ gateway: this.#system.gatewayAddress, admin: this.#adminAddress });
    this.#log.write('info', 'node process serves', {
      gateway: this.#system.gatewayAddress,
      admin: this.#adminAddress,
    });
    this.#batches = startBatches({
      config: this.#config,
      isKnownModel: (name) => this.#registry.serves(name),
      fillerKey: this.#fillerKey,
      gatewayOrigin: () => this.#system.gatewayAddress,
      log: this.#log.write,
    });
    this.#showBanner();
    this.#considerServing();
    void this.#announceReady();
  }

  async #startPlanes(): Promise<void> {
    await this.#registry.start();
    // The supervisor first: a gateway that is adopted must never see a fleet without its engines.
    const { adopted } = await this.#supervisor.start();
    this.#system.adoptedEngines = adopted;
    this.#system.supervising = true;
    try {
      await this.#gateways.start(this.#supervisor.fleet());
    } catch (error) {
      await this.#gateways.host.close({ stop: false });
      // Engines that ran before us are not ours to end because a port is taken.
      await this.#supervisor.stop({ engines: adopted === 0 ? 'kill' : 'leave' });
      throw error;
    }
  }

  #onFact(fact: Fact): void {
    this.#system.record(fact);
    const { type, ...detail } = fact;
    this.#log.write('info', type, detail);
    if (fact.type === 'attemptFailed') this.#supervisor.attemptFailed(fact);
    if (fact.type === 'replicaStateChanged' && fact.to === 'starting') {
      this.#startingSince.set(fact.replica, fact.atMs);
    }
    const line = progressLine(fact, this.#startedFor(fact));
    if (line !== null) this.#say(line);
    this.#considerServing();
    this.#considerTryLines();
  }

  #startedFor(fact: Fact): number {
    const sinceMs = fact.type === 'replicaStateChanged' ? this.#startingSince.get(fact.replica) : undefined;
    return fact.atMs - (sinceMs ?? this.#startedAtMs);
  }

  #considerServing(): void {
    if (this.#system.phase === 'starting' && this.#bannerShown && this.#system.canServe) {
      this.#system.phase = 'serving';
    }
  }

  /** Without a word from every gateway that lives "nothing in flight" is not known, and is left out. */
  async #collectInFlight(): Promise<Record<string, number>> {
    const { host } = this.#gateways;
    const { reports, silent } = await host.collectAll();
    const sums: Record<string, number> = {};
    for (const { replicaInFlight } of reports) {
      for (const [replica, count] of Object.entries(replicaInFlight))
        sums[replica] = (sums[replica] ?? 0) + count;
    }
    // Before a gateway listens, one of a former run may not be adopted yet.
    if (silent === 0 && host.address !== null) return sums;
    return Object.fromEntries(Object.entries(sums).filter(([, count]) => count > 0));
  }

  /** What gateways have in flight and in their queues, for evidence: counts, for they list no single requests. */
  async #requests(): Promise<unknown> {
    const { host } = this.#gateways;
    const [{ reports, silent }, flows] = await Promise.all([host.collectAll(), host.flows()]);
    return { silentGateways: silent, gateways: reports.map(({ metricsText, ...report }) => report), flows };
  }

  /** As far as gateways answer: one that is silent may know better. */
  async #sinceProgressMs(replica: string): Promise<number | null> {
    const reports = await this.#gateways.host.collect();
    const known = reports.flatMap(({ replicaProgressMs }) => replicaProgressMs?.[replica] ?? []);
    return known.length === 0 ? null : Math.min(...known);
  }

  #showBanner(): void {
    const addresses = { gateway: this.#system.gatewayAddress, admin: this.#adminAddress };
    this.#log.say(banner(RELEASE, this.#config, addresses));
    if (this.#system.adoptedEngines > 0)
      this.#log.say(`  ${this.#system.adoptedEngines} running engines adopted`);
    for (const note of this.#registry.merged.notes) this.#log.say(`  note: ${note}`);
    this.#bannerShown = true;
    for (const line of this.#linesBeforeBanner.splice(0)) this.#log.say(line);
    this.#considerTryLines();
  }

  /** Once, as soon as there is a model that answers. */
  #considerTryLines(): void {
    if (this.#tryShown || !this.#bannerShown) return;
    const ready = this.#supervisor.status().filter(({ state }) => state === 'ready');
    const model = this.#registry.models.find(({ modelName }) => ready.some((one) => one.model === modelName));
    if (model === undefined) return;
    this.#tryShown = true;
    this.#log.say(tryLines(this.#config, this.#system.gatewayAddress, model.modelName));
  }

  #say(line: string): void {
    if (this.#bannerShown) this.#log.say(line);
    else this.#linesBeforeBanner.push(line);
  }

  async #announceReady(): Promise<void> {
    const longestMs = Math.max(0, ...this.#registry.models.map(({ startTimeoutMs }) => startTimeoutMs));
    const ready = await this.#supervisor.untilReady(longestMs, this.#shutdown.signal);
    if (this.#shutdown.signal.aborted) return;
    const replicas = this.#supervisor.status();
    const count = replicas.filter(({ state }) => state === 'ready').length;
    if (ready) this.#log.say(readyLine(count, systemClock.wallMs() - this.#sinceAtMs));
    else this.#log.say(notReadyLine(count, replicas.length));
  }

  #writeRecord({ gateway, admin }: { gateway: string; admin: string | null }): void {
    const { nodeRecord } = this.#config.paths;
    try {
      writeNodeRecord(nodeRecord, {
        ...identityOf(process.pid),
        release: RELEASE,
        startedAtMs: this.#startedAtMs,
        configPath: this.#config.configPath,
        gatewayAddress: gateway,
        adminAddress: admin,
      });
    } catch (error) {
      // Commands find this process by the record, but supervision is worth more than they are: a full disk does not end it.
      const { code } = error as NodeJS.ErrnoException;
      this.#log.write(
        'error',
        'the record of the node process could not be written; free space in the state directory',
        {
          file: nodeRecord,
          code,
        },
      );
    }
  }
}
