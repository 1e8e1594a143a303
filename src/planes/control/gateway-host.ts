/**
 * The node's side of its gateways: starts one, adopts one that outlived a former node process, brings it back when it dies,
 * replaces it without a lost request, hands snapshots down and takes facts up.
 *
 * Invariant: at most one gateway is wanted; others only finish what they have. A gateway is named by pid and start time, its
 * record is on disk before it is counted on.
 */
import type { Clock } from '../../base/clock.ts';
import type { GatewayStatus } from '../../contract/admin-api.ts';
import type { GatewayReport, GatewayToNode, NodeToGateway } from '../../contract/control-protocol.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { Fact } from '../../contract/facts.ts';
import type { FleetSnapshot } from '../../contract/fleet.ts';
import type { GatewaySettings, GatewaySnapshot } from '../../contract/gateway-snapshot.ts';
import type { ControlLink } from '../../contract/ports/control-link.ts';
import type { ProcessHost, ProcessIdentity } from '../../contract/ports/process-host.ts';

export interface GatewayRecord {
  id: string;
  identity: ProcessIdentity;
}

/** Where records of gateways and the last snapshot are kept; written whole or not at all. */
export interface GatewayStore {
  readRecords(): GatewayRecord[];
  writeRecord(record: GatewayRecord): void;
  removeRecord(id: string): void;
  writeSnapshot(snapshot: GatewaySnapshot): void;
  readonly snapshotFile: string;
}

export type GatewayLink = ControlLink<GatewayToNode, NodeToGateway>;

export interface GatewayHostOptions {
  clock: Clock;
  processHost: ProcessHost;
  store: GatewayStore;
  settings: GatewaySettings;
  /** Start of the node process, Unix ms: orders the snapshots of successive node processes. */
  epoch: number;
  /** Accepts links of gateways; the plane knows no sockets. */
  listen(onLink: (link: GatewayLink) => void): Promise<{ close(): Promise<void> }>;
  /** Program and arguments of a gateway process; `--id`, `--snapshot`, `--beside` are added. */
  entry: { command: string; args: string[] };
  /** Output of the gateway process itself. */
  logFile: string;
  cwd: string;
  /** AUTOGLM_OWNER of our gateways: `<state dir key>:gateway:`. */
  ownerPrefix: string;
  onFacts(facts: Fact[]): void;
  log(level: 'info' | 'warn' | 'error', message: string, detail?: Record<string, unknown>): void;
}

type HostedState = 'starting' | 'listening' | 'draining';

interface Hosted {
  id: string;
  identity: ProcessIdentity;
  state: HostedState;
  link: GatewayLink | null;
  address: { host: string; port: number } | null;
  watch: Disposable;
  startedMs: number;
  lastReport: GatewayReport | null;
}

const START_TIMEOUT_MS = 10_000;
const ADOPT_TIMEOUT_MS = 3_000;
const COLLECT_TIMEOUT_MS = 1_000;
/** A gateway that lived shorter than this waits before it is started again, longer each time. */
const STABLE_MS = 5_000;
const RESTART_DELAY_MAX_MS = 5_000;

export class GatewayHost {
  readonly #options: GatewayHostOptions;
  readonly #hosted = new Map<string, Hosted>();
  readonly #waiters = new Set<() => void>();
  readonly #collects = new Map<number, (report: GatewayReport) => void>();
  #fleet!: FleetSnapshot;
  #seq = 0;
  #collectId = 0;
  #shortLives = 0;
  #stopping = false;
  #failure: PlatformError | null = null;
  #server: { close(): Promise<void> } | null = null;

  constructor(options: GatewayHostOptions) {
    this.#options = options;
  }

  /**
   * Adopts a living gateway or starts one; resolves when it listens. Rejects with `port_in_use` and the like.
   * `fleet` holds every configured pool from the first moment, and adopted replicas as ready: an adopted gateway takes it at
   * once, and a pool that is missing would be refused to clients.
   */
  async start(fleet: FleetSnapshot): Promise<void> {
    this.#fleet = fleet;
    this.#server = await this.#options.listen((link) => this.#onLink(link));
    this.#writeSnapshot();
    this.#adopt();
    if (this.#hosted.size > 0) {
      await this.#until(() => this.#current() !== undefined, ADOPT_TIMEOUT_MS);
    }
    if (this.#current() !== undefined) return;
    for (const hosted of this.#hosted.values()) {
      this.#options.log('warn', 'a gateway of a former run does not answer and is ended', {
        gateway: hosted.id,
      });
      this.#options.processHost.signalGroup(hosted.identity, 'SIGKILL');
    }
    await this.#launchAndWait(false);
  }

  /** A new view of the fleet for all gateways. */
  publishFleet(fleet: FleetSnapshot): void {
    this.#fleet = fleet;
    const snapshot = this.#nextSnapshot();
    for (const { link } of this.#hosted.values()) link?.send({ type: 'snapshot', snapshot });
    this.#keepSnapshot(snapshot);
  }

  status(): GatewayStatus[] {
    return [...this.#hosted.values()].map((hosted) => ({
      id: hosted.id,
      pid: hosted.identity.pid,
      state: hosted.link === null && hosted.state !== 'starting' ? 'away' : hosted.state,
      address: hosted.address === null ? '' : addressText(hosted.address),
      workers: hosted.lastReport?.workers ?? [],
      inFlight: hosted.lastReport?.inFlight ?? 0,
      queued: hosted.lastReport?.queued ?? 0,
    }));
  }

  /** Where clients connect; null before a gateway listens. */
  get address(): { host: string; port: number } | null {
    return this.#current()?.address ?? null;
  }

  /** Asks every gateway for its numbers; one that does not answer within a second is left out. */
  async collect(): Promise<GatewayReport[]> {
    const asked = [...this.#hosted.values()].map((hosted) => this.#collectFrom(hosted));
    return (await Promise.all(asked)).filter((report) => report !== null);
  }

  /** A new process beside the old one, then a two-phase drain of the old one. Resolves when the new one serves. */
  async replace(): Promise<void> {
    const old = [...this.#hosted.values()].filter(({ state }) => state !== 'draining');
    await this.#launchAndWait(true);
    for (const hosted of old) this.#drain(hosted, 'replace');
  }

  /** `stop`: drains all gateways and waits for their end. Otherwise they serve on without this node process. */
  async close({ stop }: { stop: boolean }): Promise<void> {
    this.#stopping = true;
    if (stop) {
      for (const hosted of this.#hosted.values()) this.#drain(hosted, 'stop');
      await this.#until(() => this.#hosted.size === 0, this.#options.settings.drainTimeoutMs + 2_000);
      for (const hosted of this.#hosted.values())
        this.#options.processHost.signalGroup(hosted.identity, 'SIGKILL');
      await this.#until(() => this.#hosted.size === 0, 2_000);
    }
    for (const { watch } of this.#hosted.values()) watch[Symbol.dispose]();
    await this.#server?.close();
  }

  /** Fault injection for tests and drills. */
  injectFault(worker: number): void {
    this.#current()?.link?.send({ type: 'fault', worker, kind: 'throw' });
  }

  #current(): Hosted | undefined {
    return [...this.#hosted.values()].find(({ state, link }) => state === 'listening' && link !== null);
  }

  #adopt(): void {
    const { processHost, store, ownerPrefix } = this.#options;
    const found = new Map<number, GatewayRecord>();
    for (const record of store.readRecords()) {
      if (processHost.isAlive(record.identity)) found.set(record.identity.pid, record);
      else store.removeRecord(record.id);
    }
    // A gateway whose record was never written: the node process died between the two.
    for (const { identity, owner } of processHost.findOwned(ownerPrefix)) {
      if (!found.has(identity.pid))
        found.set(identity.pid, { id: owner.slice(ownerPrefix.length), identity });
    }
    for (const record of found.values()) this.#host(record);
  }

  async #launchAndWait(beside: boolean): Promise<void> {
    this.#failure = null;
    const hosted = await this.#launch(beside);
    await this.#until(
      () => hosted.state === 'listening' || this.#failure !== null || !this.#hosted.has(hosted.id),
      START_TIMEOUT_MS,
    );
    if (hosted.state === 'listening') return;
    throw (
      this.#failure ??
      new PlatformError(
        'internal',
        `gateway ${hosted.id} does not listen after ${START_TIMEOUT_MS} ms; see ${this.#options.logFile}`,
      )
    );
  }

  async #launch(beside: boolean): Promise<Hosted> {
    const { processHost, entry, store, ownerPrefix, logFile, cwd, clock } = this.#options;
    const id = `gw-${Math.floor(clock.wallMs()).toString(36)}-${this.#seq}`;
    const identity = await processHost.spawn({
      command: entry.command,
      args: [...entry.args, '--id', id, '--snapshot', store.snapshotFile, ...(beside ? ['--beside'] : [])],
      env: {},
      cwd,
      logFile,
      owner: `${ownerPrefix}${id}`,
    });
    const record = { id, identity };
    store.writeRecord(record);
    this.#options.log('info', 'gateway started', { gateway: id, pid: identity.pid });
    return this.#host(record);
  }

  #host(record: GatewayRecord): Hosted {
    const hosted: Hosted = {
      ...record,
      state: 'starting',
      link: null,
      address: null,
      startedMs: this.#options.clock.monotonicMs(),
      lastReport: null,
      watch: this.#options.processHost.onExit(record.identity, () => this.#onExit(hosted)),
    };
    this.#hosted.set(record.id, hosted);
    return hosted;
  }

  #onExit(hosted: Hosted): void {
    if (!this.#hosted.delete(hosted.id)) return;
    hosted.watch[Symbol.dispose]();
    this.#options.store.removeRecord(hosted.id);
    this.#changed();
    if (this.#stopping || hosted.state === 'draining' || this.#failure !== null) return;
    if (hosted.state === 'starting' && this.#hosted.size > 0) return;
    const livedMs = this.#options.clock.monotonicMs() - hosted.startedMs;
    this.#shortLives = livedMs < STABLE_MS ? this.#shortLives + 1 : 0;
    const delayMs = this.#shortLives <= 1 ? 0 : Math.min(RESTART_DELAY_MAX_MS, 100 * 2 ** this.#shortLives);
    this.#options.log('error', 'a gateway ended unasked and is started again', {
      gateway: hosted.id,
      livedMs,
      delayMs,
    });
    void this.#bringBack(delayMs);
  }

  async #bringBack(delayMs: number): Promise<void> {
    try {
      if (delayMs > 0) await this.#options.clock.sleep(delayMs);
      if (this.#stopping) return;
      await this.#launch([...this.#hosted.values()].some(({ state }) => state === 'draining'));
    } catch (error) {
      this.#options.log('error', 'the gateway could not be started', { error: String(error) });
      void this.#bringBack(RESTART_DELAY_MAX_MS);
    }
  }

  #onLink(link: GatewayLink): void {
    let hosted: Hosted | undefined;
    link.onMessage((message) => {
      if (message.type === 'hello') {
        hosted = this.#hosted.get(message.gatewayId);
        if (hosted === undefined || hosted.identity.pid !== message.pid) return link.close();
        hosted.link = link;
        link.send({ type: 'snapshot', snapshot: this.#nextSnapshot() });
      } else if (hosted !== undefined) {
        this.#onMessage(hosted, message);
      }
    });
    link.onClose(() => {
      if (hosted?.link === link) hosted.link = null;
    });
  }

  #onMessage(hosted: Hosted, message: Exclude<GatewayToNode, { type: 'hello' }>): void {
    switch (message.type) {
      case 'listening':
        hosted.address = { host: message.host, port: message.port };
        if (hosted.state === 'starting') hosted.state = 'listening';
        return this.#changed();
      case 'facts':
        return this.#options.onFacts(message.facts);
      case 'report':
        hosted.lastReport = message.report;
        this.#collects.get(message.id)?.(message.report);
        return;
      case 'failed':
        this.#failure = new PlatformError(message.code, message.message);
        return this.#changed();
    }
  }

  #collectFrom(hosted: Hosted): Promise<GatewayReport | null> {
    const { link } = hosted;
    if (link === null) return Promise.resolve(null);
    const id = this.#collectId++;
    return new Promise((resolve) => {
      const timer = setTimeout(() => finish(null), COLLECT_TIMEOUT_MS);
      const finish = (report: GatewayReport | null) => {
        clearTimeout(timer);
        this.#collects.delete(id);
        resolve(report);
      };
      this.#collects.set(id, finish);
      link.send({ type: 'collect', id });
    });
  }

  #drain(hosted: Hosted, mode: 'replace' | 'stop'): void {
    if (hosted.state === 'draining') return;
    hosted.state = 'draining';
    const deadlineMs = this.#options.settings.drainTimeoutMs;
    if (hosted.link === null) this.#options.processHost.signalGroup(hosted.identity, 'SIGTERM');
    else hosted.link.send({ type: 'drain', mode, deadlineMs });
  }

  #nextSnapshot(): GatewaySnapshot {
    this.#seq++;
    return {
      version: { epoch: this.#options.epoch, seq: this.#seq },
      settings: this.#options.settings,
      fleet: this.#fleet,
    };
  }

  #writeSnapshot(): void {
    this.#options.store.writeSnapshot(this.#nextSnapshot());
  }

  /** For gateways to come; those that run keep their own copy, so a full disk is no reason to stop. */
  #keepSnapshot(snapshot: GatewaySnapshot): void {
    try {
      this.#options.store.writeSnapshot(snapshot);
    } catch (error) {
      this.#options.log('error', 'the snapshot could not be written', { error: String(error) });
    }
  }

  #changed(): void {
    for (const check of this.#waiters) check();
  }

  /** Resolves when `holds` does, or after the timeout. */
  #until(holds: () => boolean, timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiters.delete(check);
        resolve();
      };
      const check = () => {
        if (holds()) done();
      };
      const timer = setTimeout(done, timeoutMs);
      this.#waiters.add(check);
      check();
    });
  }
}

function addressText({ host, port }: { host: string; port: number }): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

export function createGatewayHost(options: GatewayHostOptions): GatewayHost {
  return new GatewayHost(options);
}
