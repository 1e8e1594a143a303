/**
 * A gateway process: worker threads that serve, and this main thread, which takes snapshots from the node process, keeps the
 * last good one on disk, and reports facts and metrics. It serves on, for ever if need be, while the node process is away.
 */
import { flushCompileCache } from 'node:module';
import { createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { systemClock } from '../base/clock.ts';
import { createRandom } from '../base/random.ts';
import type {
  GatewayFlow,
  GatewayReport,
  GatewayToNode,
  NodeToGateway,
} from '../contract/control-protocol.ts';
import { PlatformError } from '../contract/errors.ts';
import type { Fact } from '../contract/facts.ts';
import { type GatewaySnapshot, isNewer } from '../contract/gateway-snapshot.ts';
import type { LimitShare } from '../contract/limit-share.ts';
import { SUSPECT_STATUSES, type SuspectRecord } from '../contract/suspects.ts';
import { replicasWanted, scaleOutRatio } from '../decide/scheduling/queue/scale-out.ts';
import { FILES_FOLDER } from '../drivers/storage/file-contents.ts';
import { openSuspectFile, type SuspectFile } from '../drivers/storage/suspect-file.ts';
import { replaceFileSync } from '../drivers/storage/whole-file.ts';
import { readGpuExporter } from '../drivers/telemetry/gpu-exporter.ts';
import { openLineLog } from '../drivers/telemetry/line-log.ts';
import { SlotAssigner, type SlottedSnapshot } from '../planes/gateway/fleet-table.ts';
import { GATEWAY_METRICS } from '../planes/gateway/gateway-counters.ts';
import { HealthKeeper } from '../planes/gateway/health/health-keeper.ts';
import { keepLate, keptLate } from '../planes/gateway/health/late-replicas.ts';
import { ProgressWatch } from '../planes/gateway/health/progress.ts';
import { ReplicaGates } from '../planes/gateway/health/replica-gates.ts';
import { StepTimes } from '../planes/gateway/health/step-times.ts';
import { StragglerKeeper } from '../planes/gateway/health/straggler-keeper.ts';
import { ShareKeeper } from '../planes/gateway/limits/share-keeper.ts';
import { GaugeCells } from '../planes/gateway/places/gauge-cells.ts';
import { GaugeKeeper } from '../planes/gateway/places/gauge-keeper.ts';
import { LoadCells } from '../planes/gateway/places/load-cells.ts';
import { QueueKeeper } from '../planes/gateway/places/queue-keeper.ts';
import { createSharedMemory } from '../planes/gateway/shared-memory.ts';
import { SharedState } from '../planes/gateway/shared-state.ts';
import { slotTables } from '../planes/gateway/slot-tables.ts';
import { SuspectKeeper } from '../planes/gateway/suspects/suspect-keeper.ts';
import { MetricSet } from '../wire/prometheus/metric-set.ts';
import { CacheHost } from './cache-host.ts';
import type { CacheReport } from './cache-thread-protocol.ts';
import { FirstSnapshot } from './first-snapshot.ts';
import { GatewayWorkers } from './gateway-workers.ts';
import { NodeLink } from './node-link.ts';
import { StorageHost } from './storage-host.ts';

export interface GatewayProcessOptions {
  id: string;
  /** Last good snapshot: read at start, written at each change. */
  snapshotFile: string;
  /** The file could not be written lately: the node process has a newer one. */
  isSnapshotStale: boolean;
  logFile: string;
  /** Where the state database lies; null: nothing is kept. */
  stateDir: string | null;
  /** Unix sockets where the node process may listen; none serves from the snapshot alone. */
  socketPaths: readonly string[];
  /** Another gateway of ours listens on the port already. */
  beside: boolean;
  enableFaults: boolean;
}

const TICK_MS = 250;
/** How long one that is started beside another waits for the node process, and then for its part of limits. */
const NODE_WAIT_MS = 300;
const SHARE_WAIT_MS = 1_200;
/** After this a request that was let in by a former part has been counted. */
const SHARE_SETTLE_MS = 20;
/** Between two comparisons of replicas. */
const STRAGGLERS_MS = 1_000;
/** Between two looks at GPU telemetry. */
const GAUGES_MS = 2_000;
/** Answers say `Connection: close` for this long before a replaced gateway lets go of the port. */
const ANNOUNCE_MS = 1_500;
/** Facts kept while the node process is away. */
const FACTS_MAX = 10_000;

export async function runGateway(options: GatewayProcessOptions): Promise<void> {
  let gateway: GatewayProcess | null = null;
  /** Come before there is a gateway to take them. */
  const early: NodeToGateway[] = [];
  const first = new FirstSnapshot(options);
  const link = new NodeLink({
    socketPaths: options.socketPaths,
    greeting: () => [
      { type: 'hello', gatewayId: options.id, pid: process.pid },
      ...(gateway === null ? [] : gateway.greeting()),
    ],
    onMessage: (message) => {
      if (gateway !== null) gateway.onMessage(message);
      else if (message.type === 'limitShare') early.push(message);
      else first.onMessage(message);
    },
  });
  link.start();
  try {
    gateway = new GatewayProcess(options, link, await first.taken());
  } catch (thrown) {
    return fail(link, options, PlatformError.from(thrown));
  }
  for (const message of early) gateway.onMessage(message);
  await gateway.start();
}

class GatewayProcess {
  readonly #options: GatewayProcessOptions;
  readonly #memory = createSharedMemory();
  readonly #shared = new SharedState(this.#memory, 0);
  readonly #slots = new SlotAssigner(slotTables(this.#memory, this.#shared));
  readonly #metrics = new MetricSet(GATEWAY_METRICS);
  readonly #log: ReturnType<typeof openLineLog>;
  readonly #health: HealthKeeper;
  readonly #progress = new ProgressWatch(this.#memory.progress, systemClock);
  readonly #stragglers = new StragglerKeeper({
    steps: new StepTimes(this.#memory.steps),
    gates: new ReplicaGates(this.#memory.gates),
    clock: systemClock,
    onChange: (replica, { share, stepMs }) => {
      const what = share < 1 ? 'is slower than its peers' : 'keeps up with its peers again';
      this.#logLine('info', `stragglers: ${replica} ${what}`, { replica, share, step_ms: stepMs });
    },
  });
  readonly #shares = new ShareKeeper(this.#memory.limits, systemClock);
  readonly #shareKnown = Promise.withResolvers<void>();
  readonly #load = new LoadCells(this.#memory.load);
  readonly #queues = new QueueKeeper({
    cells: this.#load,
    clock: systemClock,
    cpuMs: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1_000;
    },
    processors: availableParallelism(),
  });
  readonly #gauges = new GaugeKeeper({
    cells: new GaugeCells(this.#memory.gauges),
    clock: systemClock,
    read: readGpuExporter,
  });
  /** Refusals of each pool that the last report knew of. */
  readonly #refusals = new Map<number, number>();
  readonly #workers: GatewayWorkers;
  readonly #suspects: SuspectKeeper;
  /** Null where nothing is kept. */
  readonly #suspectFile: SuspectFile | null;
  readonly #storage: StorageHost | null;
  readonly #cache: CacheHost | null;
  #slotted: SlottedSnapshot;
  readonly #link: NodeLink;
  /** What no node process has heard of yet. */
  readonly #facts: Fact[] = [];
  #port = 0;
  #ending = false;

  constructor(options: GatewayProcessOptions, link: NodeLink, snapshot: GatewaySnapshot) {
    this.#options = options;
    this.#link = link;
    this.#log = openLineLog(options.logFile, { batched: true });
    this.#slotted = this.#slots.assign(keepLate(snapshot));
    this.#health = new HealthKeeper({
      gates: new ReplicaGates(this.#memory.gates),
      sinceProgressMs: (slot) => this.#progress.sinceMs(slot),
      clock: systemClock,
      chance: createRandom(process.pid),
      onChange: (replica, name) => this.#logLine('info', `breaker: ${replica} is ${name}`, { replica }),
    });
    this.#shares.update(this.#slotted);
    this.#health.update(this.#slotted);
    this.#stragglers.update(this.#slotted);
    this.#progress.update(this.#slotted);
    this.#gauges.update(this.#slotted);
    const { settings } = this.#slotted.snapshot;
    this.#suspectFile = options.stateDir === null ? null : openSuspectFile(options.stateDir);
    this.#suspects = new SuspectKeeper({
      gates: new ReplicaGates(this.#memory.gates),
      clock: systemClock,
      inFlight: (slot) => this.#shared.inFlight(slot),
      records: this.#suspectFile?.read().records ?? [],
      tellWorker: (worker, message) => this.#workers.tell(worker, { type: 'suspects', message }),
      tellAll: (message) => this.#workers.tellAll({ type: 'suspects', message }),
      onChanged: (records) => this.#noteSuspects(records),
    });
    this.#storage =
      options.stateDir === null
        ? null
        : new StorageHost({
            stateDir: options.stateDir,
            limits: settings.storeLimits,
            deferred: true,
            log: (level, message, detail) => this.#logLine(level, message, detail),
            onReplaced: () => this.#workers.reconnectStorage(),
          });
    this.#cache = settings.cache
      ? new CacheHost({
          settings: settings.cache,
          redis: settings.redis,
          onReport: (report) => this.#noteCache(report),
          onReplaced: () => this.#workers.reconnectCache(),
          log: (level, message, detail) => this.#logLine(level, message, detail),
          logError: (message, error) => this.#logError(message, error),
        })
      : null;
    this.#workers = new GatewayWorkers({
      count: settings.workers,
      memory: this.#memory,
      host: settings.host,
      port: settings.port,
      logFile: options.logFile,
      gatewayId: options.id,
      enableFaults: options.enableFaults,
      fileDir: join(options.stateDir ?? dirname(options.snapshotFile), FILES_FOLDER),
      storagePort: () => this.#storage?.newPort() ?? null,
      cachePort: () => this.#cache?.newPort() ?? null,
      snapshot: () => this.#slotted,
      onTelemetry: (deltas, facts, health) => {
        this.#metrics.merge(deltas);
        for (const report of health) this.#health.report(report);
        this.#report(facts);
      },
      onSuspect: (event) => this.#suspects.take(event),
      listed: () => this.#suspects.listed(),
      onEnded: (worker) => this.#suspects.workerEnded(worker),
      onReplaced: (worker, reason) => {
        this.#metrics.add('autoglm_worker_restarts_total', {});
        this.#report([{ type: 'workerReplaced', atMs: systemClock.wallMs(), worker, reason }]);
      },
      logError: (message, error) => this.#logError(message, error),
    });
    this.#suspects.update(this.#slotted);
  }

  async start(): Promise<void> {
    process.on('SIGHUP', () => {});
    process.once('SIGTERM', () => void this.#drain('stop', this.#slotted.snapshot.settings.drainTimeoutMs));
    setInterval(() => {
      this.#progress.tick();
      this.#health.tick();
      this.#suspects.tick();
      this.#queues.tick(this.#slotted.snapshot.settings);
      if (this.#shares.isShared) this.#sayLimitUse();
    }, TICK_MS).unref();
    setInterval(() => this.#stragglers.tick(), STRAGGLERS_MS).unref();
    setInterval(() => void this.#gauges.poll(), GAUGES_MS).unref();
    try {
      const { host, port } = this.#slotted.snapshot.settings;
      if (this.#options.beside && this.#options.socketPaths.length > 0)
        await Promise.race([this.#shareKnown.promise, this.#patienceForShare()]);
      if (!this.#options.beside && port !== 0) await assertFree(host, port);
      this.#port = await this.#workers.start();
    } catch (thrown) {
      const error = PlatformError.from(thrown);
      this.#logError('gateway can not serve', error);
      this.#log.close();
      await fail(this.#link, this.#options, error);
    }
    this.#link.send(this.#state());
    this.#storage?.start();
    // A process that is killed would leave its successor nothing.
    flushCompileCache();
    process.stdout.write(
      `${JSON.stringify({ message: 'gateway listening', id: this.#options.id, port: this.#port })}\n`,
    );
  }

  /** Said to each node process that comes; what happened before it came is told with it. */
  greeting(): GatewayToNode[] {
    const facts = this.#facts.splice(0);
    const { records } = this.#suspects;
    return [
      ...(this.#port === 0 ? [] : [this.#state()]),
      ...(records.length === 0 ? [] : [{ type: 'suspects' as const, records }]),
      ...(facts.length === 0 ? [] : [{ type: 'facts' as const, facts }]),
    ];
  }

  #state(): GatewayToNode {
    if (this.#ending) return { type: 'draining' };
    const { host, workers } = this.#slotted.snapshot.settings;
    return { type: 'listening', host, port: this.#port, workers };
  }

  onMessage(message: NodeToGateway): void {
    switch (message.type) {
      case 'snapshot':
        return this.#takeSnapshot(message.snapshot);
      case 'suspects':
        return this.#suspects.hear(message.records);
      case 'limitShare':
        return this.#takeShare(message.share);
      case 'collect':
        return this.#sendReport(message.id);
      case 'flow':
        void this.#sendFlow(message.id);
        return;
      case 'giveUp':
        void this.#giveUp(message);
        return;
      case 'drain':
        void this.#drain(message.mode, message.deadlineMs);
        return;
      case 'fault':
        return this.#workers.tell(message.worker, { type: 'fault', kind: message.kind });
    }
  }

  #takeSnapshot(snapshot: GatewaySnapshot): void {
    if (!isNewer(snapshot.version, this.#slotted.snapshot.version)) return;
    const keptBefore = keptLate(this.#slotted.snapshot.fleet);
    try {
      this.#slotted = this.#slots.assign(keepLate(snapshot));
    } catch (error) {
      this.#logError('a snapshot was refused; the last good one stays in use', error);
      return;
    }
    this.#shares.update(this.#slotted);
    this.#health.update(this.#slotted);
    this.#stragglers.update(this.#slotted);
    this.#progress.update(this.#slotted);
    this.#gauges.update(this.#slotted);
    this.#suspects.update(this.#slotted);
    this.#workers.tellAll({ type: 'snapshot', slotted: this.#slotted });
    for (const [model, kept] of Object.entries(keptLate(this.#slotted.snapshot.fleet))) {
      if (kept === (keptBefore[model] ?? 0)) continue;
      const detail = { model, kept };
      this.#logLine(
        'warn',
        'replicas whose health probes are late go on being used, for want of others',
        detail,
      );
    }
    try {
      // The file is shared by the gateways of a node.
      replaceFileSync(this.#options.snapshotFile, JSON.stringify(snapshot));
    } catch (error) {
      this.#logError('the snapshot could not be kept on disk; it is in use all the same', error);
    }
  }

  /** The node process keeps the list; while it is away, this one does. */
  #noteSuspects(records: readonly SuspectRecord[]): void {
    const facts = records.flatMap(
      ({ fingerprint, model, status, crashes, requestId, changedAtMs }): Fact[] => {
        if (status === 'suspected' || (status === 'released' && crashes.length < 2)) return [];
        const replicas = crashes.map(({ replica }) => replica);
        return [
          { type: 'suspectJudged', atMs: changedAtMs, fingerprint, model, status, replicas, requestId },
        ];
      },
    );
    for (const { type, ...detail } of facts) this.#logLine('warn', type, detail);
    this.#report(facts);
    const { quarantine } = this.#slotted.snapshot.settings;
    if (this.#link.send({ type: 'suspects', records: [...records] }) || quarantine === undefined) return;
    const { fingerprintKey } = quarantine;
    try {
      this.#suspectFile?.write({ fingerprintKey, records: this.#suspects.records });
    } catch (error) {
      this.#logError('suspect requests could not be kept on disk; they are kept in memory', error);
    }
  }

  async #patienceForShare(): Promise<void> {
    await systemClock.sleep(NODE_WAIT_MS);
    if (this.#link.connected) await systemClock.sleep(SHARE_WAIT_MS);
  }

  #takeShare(share: LimitShare): void {
    this.#shares.take(share);
    this.#shareKnown.resolve();
    if (share.ask !== null) setTimeout(() => this.#sayLimitUse(share.ask), SHARE_SETTLE_MS);
  }

  #sayLimitUse(answers: number | null = null): void {
    this.#link.send({ type: 'limitUse', use: this.#shares.use(answers) });
  }

  #report(facts: Fact[]): void {
    if (facts.length === 0 || this.#link.send({ type: 'facts', facts })) return;
    this.#facts.push(...facts);
    if (this.#facts.length > FACTS_MAX) this.#facts.splice(0, this.#facts.length - FACTS_MAX);
  }

  #noteCache({ entries, bytes, flights, evictions, redis }: CacheReport): void {
    this.#metrics.set('autoglm_cache_entries', {}, entries);
    this.#metrics.set('autoglm_cache_bytes', {}, bytes);
    this.#metrics.set('autoglm_cache_flights', {}, flights);
    this.#metrics.add('autoglm_cache_evictions_total', {}, evictions);
    if (redis === null) return;
    const { up, ...counts } = redis;
    this.#metrics.set('autoglm_redis_up', { user: 'cache' }, up ? 1 : 0);
    for (const [result, count] of Object.entries(counts))
      this.#metrics.add('autoglm_redis_calls_total', { user: 'cache', result }, count);
  }

  #sendReport(id: number): void {
    this.#workers.tellAll({ type: 'flush' });
    // The threads answer within a turn of their loops; what comes later is in the next report.
    setTimeout(() => this.#link.send({ type: 'report', id, report: this.#currentReport() }), 20);
  }

  async #sendFlow(id: number): Promise<void> {
    const { replicaSlots } = this.#slotted;
    const waiting: GatewayFlow['waiting'] = {};
    for (const ofWorker of (await this.#workers.waiting()).values())
      for (const [replica, { count, bytesMax }] of Object.entries(ofWorker)) {
        const known = waiting[replica] ?? { count: 0, bytesMax: 0 };
        waiting[replica] = { count: known.count + count, bytesMax: Math.max(known.bytesMax, bytesMax) };
      }
    const stepMs = Object.entries(this.#stragglers.speeds()).flatMap(([replica, speed]) =>
      speed.stepMs === null ? [] : [[replica, speed.stepMs] as const],
    );
    const inFlight = Object.fromEntries(
      Object.entries(replicaSlots).map(([replica, slot]) => [replica, this.#shared.inFlight(slot)]),
    );
    const flow = { inFlight, progressMs: this.#progress.all(), waiting, stepMs: Object.fromEntries(stepMs) };
    this.#link.send({ type: 'flow', id, flow });
  }

  async #giveUp({ id, replica, which }: Extract<NodeToGateway, { type: 'giveUp' }>): Promise<void> {
    this.#link.send({ type: 'gaveUp', id, count: await this.#workers.giveUp(replica, which) });
  }

  #currentReport(): GatewayReport {
    const { replicaSlots, poolSlots } = this.#slotted;
    const replicaInFlight = Object.fromEntries(
      Object.entries(replicaSlots).map(([replica, slot]) => [replica, this.#shared.inFlight(slot)]),
    );
    const poolQueued = Object.fromEntries(
      Object.entries(poolSlots).map(([model, slot]) => [model, this.#shared.queued(slot)]),
    );
    for (const [model, queued] of Object.entries(poolQueued)) {
      this.#metrics.set('autoglm_queued_requests', { model }, queued);
    }
    for (const [deployment, count] of Object.entries(replicaInFlight)) {
      this.#metrics.set('autoglm_replica_in_flight_requests', { deployment }, count);
    }
    this.#metrics.set('autoglm_in_flight_requests', {}, this.#shared.requests());
    this.#metrics.set('autoglm_queue_share_ratio', {}, this.#queues.share);
    const suspects = this.#suspects.counts();
    for (const status of SUSPECT_STATUSES)
      if (status !== 'released') this.#metrics.set('autoglm_suspect_requests', { status }, suspects[status]);
    for (const [model, kept] of Object.entries(keptLate(this.#slotted.snapshot.fleet)))
      this.#metrics.set('autoglm_late_replicas_kept', { model }, kept);
    this.#setScaleOut();
    const replicaSpeeds = this.#stragglers.speeds();
    this.#setSpeeds(replicaSpeeds);
    return {
      workers: this.#workers.status(),
      inFlight: this.#shared.requests(),
      queued: Object.values(poolQueued).reduce((sum, queued) => sum + queued, 0),
      replicaInFlight,
      poolQueued,
      replicaProgressMs: this.#progress.all(),
      replicaSpeeds,
      metricsText: this.#metrics.render({ gateway: this.#options.id }),
    };
  }

  #setSpeeds(speeds: GatewayReport['replicaSpeeds'] = {}): void {
    for (const name of ['autoglm_replica_speed_share_ratio', 'autoglm_replica_step_seconds'])
      this.#metrics.clear(name);
    for (const [deployment, { share, stepMs }] of Object.entries(speeds)) {
      this.#metrics.set('autoglm_replica_speed_share_ratio', { deployment }, share);
      if (stepMs !== null) this.#metrics.set('autoglm_replica_step_seconds', { deployment }, stepMs / 1_000);
    }
  }

  /** Demand against what replicas should carry, for autoscalers. */
  #setScaleOut(): void {
    const { snapshot, replicaSlots, poolSlots } = this.#slotted;
    for (const { model, replicas, leaving } of snapshot.fleet.pools) {
      const pool = poolSlots[model];
      if (pool === undefined || leaving === true) continue;
      const ready = replicas.filter(({ state }) => state === 'ready');
      const ever = this.#load.refusals(pool);
      const refused = ever - (this.#refusals.get(pool) ?? 0);
      this.#refusals.set(pool, ever);
      const load = {
        inFlight: sum(replicas, ({ id }) => this.#shared.inFlight(replicaSlots[id] ?? 0)),
        queued: this.#shared.queued(pool),
        refused,
        replicas: ready.length,
        windows: sum(ready, ({ window }) => window),
      };
      this.#metrics.set('autoglm_scale_out_ratio', { model }, scaleOutRatio(load));
      this.#metrics.set('autoglm_replicas_wanted', { model }, replicasWanted(load));
    }
  }

  async #drain(mode: 'replace' | 'stop', deadlineMs: number): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    const timer = setTimeout(() => this.#exit(), deadlineMs);
    await this.#workers.drain(mode === 'replace' ? ANNOUNCE_MS : 0, {
      stopsAll: mode === 'stop',
      onClosing: () => this.#link.send({ type: 'limitUse', use: this.#shares.stopTaking() }),
    });
    clearTimeout(timer);
    this.#exit();
  }

  #exit(): void {
    this.#link.close();
    this.#log.close();
    process.exit(0);
  }

  #logError(message: string, error: unknown): void {
    const stack = error instanceof Error ? error.stack : String(error);
    this.#logLine('error', message, { 'error.stack_trace': stack });
  }

  #logLine(level: string, message: string, detail: Record<string, unknown>): void {
    this.#log.write(
      `${JSON.stringify({ '@timestamp': new Date().toISOString(), 'log.level': level, message, ...detail })}\n`,
    );
  }
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}

/** Ends this process, and lets the node process know why, if it can be reached soon. */
async function fail(link: NodeLink, { socketPaths }: GatewayProcessOptions, error: PlatformError) {
  if (socketPaths.length === 0) process.stderr.write(`${error.message}\n`);
  else {
    for (let turn = 0; turn < 20 && !link.connected; turn++) await systemClock.sleep(50);
    link.send({ type: 'failed', code: error.code, message: error.message });
    await systemClock.sleep(100);
  }
  process.exit(1);
}

/** With SO_REUSEPORT two strangers could share a port unnoticed: an exclusive listener finds out first. */
function assertFree(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EADDRINUSE'
          ? new PlatformError(
              'port_in_use',
              `${host}:${port} is in use by another process; \`autoglm doctor\` names it`,
            )
          : new PlatformError(
              'config_invalid',
              `the gateway can not listen on ${host}:${port}: ${error.message}`,
            ),
      ),
    );
    probe.listen({ host, port }, () => probe.close(() => resolve()));
  });
}
