/**
 * The node's side of its gateways: starts one, adopts one that outlived a former node process, brings it back when it dies,
 * replaces it without a lost request, hands snapshots down and takes facts up.
 *
 * Invariant: at most one gateway is wanted; others only finish what they have. A gateway is named by pid and start time, its
 * record is on disk before it is counted on.
 */
import type { Clock } from '../../base/clock.ts';
import { Waiters } from '../../base/waiters.ts';
import type { GatewayStatus } from '../../contract/admin-api.ts';
import type {
  GatewayFlow,
  GatewayReport,
  GatewayToNode,
  NodeToGateway,
} from '../../contract/control-protocol.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { Fact } from '../../contract/facts.ts';
import type { FleetSnapshot } from '../../contract/fleet.ts';
import type { GatewaySettings, GatewaySnapshot } from '../../contract/gateway-snapshot.ts';
import type { ControlListener } from '../../contract/ports/control-link.ts';
import type { GatewayRecord, GatewayStore } from '../../contract/ports/gateway-store.ts';
import type { ProcessHost } from '../../contract/ports/process-host.ts';
import type { SuspectRecord } from '../../contract/suspects.ts';
import { type GatewayLink, type Hosted, statusOf } from './hosted-gateway.ts';
import { LimitSharing } from './limit-sharing.ts';

export interface GatewayHostOptions {
  clock: Clock;
  processHost: ProcessHost;
  store: GatewayStore;
  settings: GatewaySettings;
  /** Start of the node process, Unix ms: orders the snapshots of successive node processes. */
  epoch: number;
  /** Accepts links of gateways; the plane knows no sockets. */
  listen(onLink: (link: GatewayLink) => void): Promise<ControlListener>;
  /** Program and arguments of a gateway process; `--id`, `--snapshot`, `--stale`, `--beside` are added. */
  entry: { command: string; args: string[] };
  /** Output of the gateway process itself. */
  logFile: string;
  cwd: string;
  /** AUTOGLM_OWNER of our gateways: `<state dir key>:gateway:`. */
  ownerPrefix: string;
  onFacts(facts: Fact[]): void;
  /** What is known of suspect requests, for a gateway that says hello. */
  suspects(): SuspectRecord[];
  /** What a gateway found out, to be told to the others by `tellSuspects`. */
  onSuspects(records: readonly SuspectRecord[], gateway: string): void;
  log(level: 'info' | 'warn' | 'error', message: string, detail?: Record<string, unknown>): void;
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
  readonly #waiters = new Waiters();
  readonly #sharing = new LimitSharing();
  readonly #asked = new Map<number, (answer: unknown) => void>();
  #fleet!: FleetSnapshot;
  #seq = 0;
  #launches = 0;
  #collectId = 0;
  #shortLives = 0;
  #stopping = false;
  /** The replacement under way; a second request for one joins it. */
  #replacing: Promise<void> | null = null;
  /** All gateways are to end: one that is just being started, too. */
  #ending = false;
  /** Gateways on their way into the world, which nobody could end yet. */
  #spawning = 0;
  #listener: ControlListener | null = null;

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
    this.#listener = await this.#options.listen((link) => this.#onLink(link));
    this.#keepSnapshot(this.#nextSnapshot());
    this.#adopt();
    // All of them: one that has not said hello yet could only be ended by a signal, at the cost of its connections.
    await this.#waiters.until(() => this.#stopping || this.#wanted().every(serves), ADOPT_TIMEOUT_MS);
    // Told to stop before anything was up: `close` ends what was adopted, and nothing is started any more.
    if (this.#stopping) return;
    if (this.#current() !== undefined) return this.#keepNewest();
    for (const hosted of this.#wanted()) {
      this.#options.log('warn', 'a gateway of a former run does not answer and is ended', {
        gateway: hosted.id,
      });
      this.#end(hosted);
    }
    // One that still drains holds the port too.
    await this.#launchAndWait(this.#hosted.size > 0);
  }

  /** A new view of the fleet for all gateways. */
  publishFleet(fleet: FleetSnapshot): void {
    this.#fleet = fleet;
    const snapshot = this.#nextSnapshot();
    for (const { link } of this.#hosted.values()) link?.send({ type: 'snapshot', snapshot });
    this.#keepSnapshot(snapshot);
  }

  /** @param but the gateway that knows already. */
  tellSuspects(records: readonly SuspectRecord[], but: string | null): void {
    for (const { id, link } of this.#hosted.values())
      if (id !== but) link?.send({ type: 'suspects', records: [...records] });
  }

  status(): GatewayStatus[] {
    return [...this.#hosted.values()].map(statusOf);
  }

  /** Where clients connect; null before a gateway listens. */
  get address(): { host: string; port: number } | null {
    return this.#current()?.address ?? null;
  }

  /** Reports of the gateways that answer within a second. */
  async collect(): Promise<GatewayReport[]> {
    return (await this.collectAll()).reports;
  }

  /** Asks every living gateway for its numbers. `silent` ones did not answer in time: what they have in flight is unknown. */
  async collectAll(): Promise<{ reports: GatewayReport[]; silent: number }> {
    const answers = await Promise.all([...this.#hosted.values()].map((hosted) => this.#collectFrom(hosted)));
    const reports = answers.filter((report) => report !== null);
    return { reports, silent: answers.length - reports.length };
  }

  /** A new process beside the old one, then a two-phase drain of the old one. Resolves when the new one serves. */
  replace(): Promise<void> {
    this.#replacing ??= this.#replaceOnce().finally(() => {
      this.#replacing = null;
    });
    return this.#replacing;
  }

  async #replaceOnce(): Promise<void> {
    if (this.#stopping) throw new PlatformError('conflict', 'the gateways are being stopped');
    const old = this.#wanted();
    await this.#launchAndWait(old.length > 0);
    for (const hosted of old) this.#drain(hosted, 'replace');
  }

  /** `stop`: drains all gateways and waits for their end. Otherwise they serve on without this node process. */
  async close({ stop }: { stop: boolean }): Promise<void> {
    this.#stopping = true;
    this.#ending = stop;
    this.#waiters.check();
    await this.#replacing?.catch(() => {});
    if (stop) {
      for (const hosted of this.#hosted.values()) this.#drain(hosted, 'stop');
      const ended = () => this.#hosted.size === 0 && this.#spawning === 0;
      await this.#waiters.until(ended, this.#options.settings.drainTimeoutMs + 2_000);
      for (const hosted of this.#hosted.values())
        this.#options.processHost.signalGroup(hosted.identity, 'SIGKILL');
      await this.#waiters.until(ended, 2_000);
    }
    for (const { watch } of this.#hosted.values()) watch[Symbol.dispose]();
    this.#sharing.close();
    await this.#listener?.close();
  }

  /** Fault injection for tests and drills. */
  injectFault(worker: number): void {
    this.#current()?.link?.send({ type: 'fault', worker, kind: 'throw' });
  }

  /** Gateways that are meant to serve. */
  #wanted(): Hosted[] {
    return [...this.#hosted.values()].filter(({ state }) => state !== 'draining');
  }

  #current(): Hosted | undefined {
    return this.#wanted().find(serves);
  }

  /** A node process that died while it replaced a gateway leaves two that serve: the older ones drain. */
  #keepNewest(): void {
    const newest = this.#wanted()
      .filter(serves)
      .reduce((a, b) => (b.identity.startTicks > a.identity.startTicks ? b : a));
    for (const hosted of this.#wanted()) if (hosted !== newest) this.#drain(hosted, 'replace');
  }

  #adopt(): void {
    const { processHost, store, ownerPrefix } = this.#options;
    const found = new Map<number, GatewayRecord>();
    for (const record of store.readRecords()) {
      if (processHost.isAlive(record.identity)) found.set(record.identity.pid, record);
      else this.#removeRecord(record.id);
    }
    // A gateway whose record was never written: the node process died between the two.
    for (const { identity, owner } of processHost.findOwned(ownerPrefix)) {
      const id = owner.slice(ownerPrefix.length);
      if (!found.has(identity.pid)) found.set(identity.pid, { id, identity, draining: false });
    }
    for (const record of found.values()) this.#host(record);
  }

  async #launchAndWait(beside: boolean): Promise<void> {
    const hosted = await this.#launch(beside, true);
    await this.#waiters.until(
      () => hosted.state !== 'starting' || hosted.failure !== null || !this.#hosted.has(hosted.id),
      START_TIMEOUT_MS,
    );
    hosted.attended = false;
    if (hosted.state === 'listening' && this.#hosted.has(hosted.id)) return;
    const ended = !this.#hosted.has(hosted.id);
    this.#end(hosted);
    const what = ended
      ? 'ended before it listened'
      : `does not listen after ${START_TIMEOUT_MS} ms and was ended`;
    throw (
      hosted.failure ??
      new PlatformError('internal', `gateway ${hosted.id} ${what}; see ${this.#options.logFile}`)
    );
  }

  async #launch(beside: boolean, attended: boolean): Promise<Hosted> {
    const { processHost, entry, store, ownerPrefix, logFile, cwd, clock } = this.#options;
    // What a gateway starts from may have been deleted with the state directory.
    const isKept = this.#keepSnapshot(this.#nextSnapshot());
    await this.#restoreListener();
    const id = `gw-${Math.floor(clock.wallMs()).toString(36)}-${this.#launches++}`;
    this.#spawning++;
    try {
      const identity = await processHost.spawn({
        command: entry.command,
        args: [
          ...entry.args,
          ...['--id', id],
          ...['--snapshot', store.snapshotFile],
          ...(isKept ? [] : ['--stale']),
          ...(beside ? ['--beside'] : []),
        ],
        env: {},
        cwd,
        logFile,
        owner: `${ownerPrefix}${id}`,
      });
      const record = { id, identity, draining: false };
      this.#keepRecord(record);
      this.#options.log('info', 'gateway started', { gateway: id, pid: identity.pid });
      const hosted = this.#host(record, attended);
      if (this.#ending) this.#end(hosted);
      return hosted;
    } finally {
      this.#spawning--;
      this.#waiters.check();
    }
  }

  /** Ends a gateway that is of no use; its exit does the rest. */
  #end(hosted: Hosted): void {
    this.#options.processHost.signalGroup(hosted.identity, 'SIGKILL');
  }

  #host(record: GatewayRecord, attended = false): Hosted {
    const hosted: Hosted = {
      id: record.id,
      identity: record.identity,
      state: record.draining ? 'draining' : 'starting',
      link: null,
      address: null,
      startedMs: this.#options.clock.monotonicMs(),
      lastReport: null,
      failure: null,
      attended,
      watch: this.#options.processHost.onExit(record.identity, () => this.#onExit(hosted)),
    };
    this.#hosted.set(record.id, hosted);
    return hosted;
  }

  #onExit(hosted: Hosted): void {
    if (!this.#hosted.delete(hosted.id)) return;
    hosted.watch[Symbol.dispose]();
    this.#removeRecord(hosted.id);
    this.#sharing.leave(hosted.id);
    this.#waiters.check();
    if (this.#stopping || hosted.attended || this.#wanted().length > 0) return;
    const livedMs = this.#options.clock.monotonicMs() - hosted.startedMs;
    this.#shortLives = livedMs < STABLE_MS ? this.#shortLives + 1 : 0;
    const delayMs = this.#shortLives <= 1 ? 0 : Math.min(RESTART_DELAY_MAX_MS, 100 * 2 ** this.#shortLives);
    const reason = hosted.failure?.message;
    this.#options.log('error', 'a gateway ended unasked and is started again', {
      gateway: hosted.id,
      livedMs,
      delayMs,
      reason,
    });
    void this.#bringBack(delayMs);
  }

  /** Starts a successor, and ends it when it does not listen in time; each end leads here again. */
  async #bringBack(delayMs: number): Promise<void> {
    if (delayMs > 0) await this.#options.clock.sleep(delayMs);
    if (this.#stopping || this.#wanted().length > 0) return;
    try {
      const hosted = await this.#launch(this.#hosted.size > 0, false);
      await this.#waiters.until(
        () => hosted.state !== 'starting' || !this.#hosted.has(hosted.id),
        START_TIMEOUT_MS,
      );
      if (hosted.state === 'starting' && this.#hosted.has(hosted.id)) this.#end(hosted);
    } catch (error) {
      this.#options.log('error', 'the gateway could not be started', { error: String(error) });
      await this.#bringBack(RESTART_DELAY_MAX_MS);
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
        link.send({ type: 'suspects', records: this.#options.suspects() });
        void this.#sharing.join(hosted.id, {
          taking: hosted.state !== 'draining',
          send: (share) => link.send({ type: 'limitShare', share }),
        });
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
        return this.#waiters.check();
      case 'draining':
        hosted.state = 'draining';
        return this.#waiters.check();
      case 'limitUse':
        return this.#sharing.said(hosted.id, message.use);
      case 'facts':
        return this.#options.onFacts(message.facts);
      case 'suspects':
        return this.#options.onSuspects(message.records, hosted.id);
      case 'report':
        hosted.lastReport = message.report;
        this.#asked.get(message.id)?.(message.report);
        return;
      case 'flow':
        this.#asked.get(message.id)?.(message.flow);
        return;
      case 'gaveUp':
        this.#asked.get(message.id)?.(message.count);
        return;
      case 'failed':
        hosted.failure = new PlatformError(message.code, message.message);
        return this.#waiters.check();
    }
  }

  /** What each gateway sees of the answers of replicas; of those that answer in time. */
  async flows(): Promise<GatewayFlow[]> {
    return await this.#askAll<GatewayFlow>((id) => ({ type: 'flow', id }));
  }

  /** Attempts on a replica that gateways have ended. */
  async giveUp(replica: string, which: 'all' | 'longest'): Promise<number> {
    const counts = await this.#askAll<number>((id) => ({ type: 'giveUp', id, replica, which }));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  async #askAll<Answer>(question: (id: number) => NodeToGateway): Promise<Answer[]> {
    const answers = await Promise.all(
      [...this.#hosted.values()].map(({ link }) =>
        link === null ? null : this.#ask<Answer>(link, question),
      ),
    );
    return answers.filter((answer) => answer !== null);
  }

  /** Null: no answer in time. */
  #ask<Answer>(
    link: NonNullable<Hosted['link']>,
    question: (id: number) => NodeToGateway,
  ): Promise<Answer | null> {
    const id = this.#collectId++;
    return new Promise((resolve) => {
      const timer = setTimeout(() => finish(null), COLLECT_TIMEOUT_MS);
      const finish = (answer: unknown) => {
        clearTimeout(timer);
        this.#asked.delete(id);
        resolve(answer as Answer | null);
      };
      this.#asked.set(id, finish);
      link.send(question(id));
    });
  }

  #collectFrom({ link }: Hosted): Promise<GatewayReport | null> {
    return link === null ? Promise.resolve(null) : this.#ask(link, (id) => ({ type: 'collect', id }));
  }

  #drain(hosted: Hosted, mode: 'replace' | 'stop'): void {
    if (hosted.state === 'draining') return;
    hosted.state = 'draining';
    this.#keepRecord({ id: hosted.id, identity: hosted.identity, draining: true });
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

  /** A gateway without a record is found by its owner tag, so a full disk is no reason to do without it. */
  #keepRecord(record: GatewayRecord): void {
    try {
      this.#options.store.writeRecord(record);
    } catch (error) {
      this.#options.log('error', 'the record of a gateway could not be written', {
        gateway: record.id,
        error: String(error),
      });
    }
  }

  /** A record that stays names a process that is gone, which the next reader finds out. */
  #removeRecord(id: string): void {
    try {
      this.#options.store.removeRecord(id);
    } catch (error) {
      this.#options.log('warn', 'the record of a gateway could not be removed', {
        gateway: id,
        error: String(error),
      });
    }
  }

  /** A gateway that can not reach us serves all the same, from what is on disk. */
  async #restoreListener(): Promise<void> {
    try {
      await this.#listener?.restore();
    } catch (error) {
      this.#options.log('error', 'gateways to come can not reach the node process', { error: String(error) });
    }
  }

  /** For gateways to come; those that run keep their own copy, so a full disk is no reason to stop. */
  #keepSnapshot(snapshot: GatewaySnapshot): boolean {
    try {
      this.#options.store.writeSnapshot(snapshot);
      return true;
    } catch (error) {
      this.#options.log('error', 'the snapshot could not be written', { error: String(error) });
      return false;
    }
  }
}

function serves({ state, link }: Hosted): boolean {
  return state === 'listening' && link !== null;
}

export function createGatewayHost(options: GatewayHostOptions): GatewayHost {
  return new GatewayHost(options);
}
