/**
 * One life of the node process: starting -> serving -> stopping. Owns supervisor, gateway host and admin server, and is the
 * one place that ends them, in the order of docs/lifecycle.md.
 */
import { systemClock } from '../base/clock.ts';
import { EXIT_CODES } from '../contract/exit-codes.ts';
import type { Fact } from '../contract/facts.ts';
import type { ProcessHost } from '../contract/ports/process-host.ts';
import { createLogRotation, type LogRotation } from '../drivers/process/log-rotation.ts';
import type { Supervisor } from '../planes/supervisor/supervisor-options.ts';
import { type AdminServer, createAdminServer } from './admin/admin-server.ts';
import { banner, progressLine, readyLine } from './banner.ts';
import { localOrigin } from './config/loopback.ts';
import { removeNodeRecord, writeNodeRecord } from './config/node-record.ts';
import { RELEASE } from './config/release.ts';
import type { ResolvedConfig } from './config/resolve-config.ts';
import { assembleGateways, type Gateways } from './gateways.ts';
import type { NodeLog } from './node-log.ts';
import { type EndRequest, NodeSystem } from './node-system.ts';
import { ownStartTicks } from './processes.ts';
import { assembleSupervisor } from './supervisor.ts';

export interface NodeProcessOptions {
  config: ResolvedConfig;
  log: NodeLog;
  processHost: ProcessHost;
  sinceAtMs: number | undefined;
}

/** The same key press arrives twice: from the terminal and from npm, which passes signals on. */
const SAME_KEYPRESS_MS = 250;
/** Time for the answer of the action that ends this process. */
const ANSWER_MS = 100;
const ADMIN_CLOSE_MS = 1_000;

export class NodeProcess {
  readonly #config: ResolvedConfig;
  readonly #log: NodeLog;
  readonly #startedAtMs = systemClock.wallMs();
  readonly #sinceAtMs: number;
  readonly #processHost: ProcessHost;
  readonly #supervisor: Supervisor;
  readonly #gateways: Gateways;
  readonly #logFiles: LogRotation;
  readonly #system: NodeSystem;
  readonly #admin: AdminServer;
  readonly #startingSince = new Map<string, number>();
  readonly #stopping = new AbortController();
  #adminAddress: string;
  #bannerShown = false;
  #linesBeforeBanner: string[] = [];
  #firstSignalMs: number | null = null;

  constructor({ config, log, processHost, sinceAtMs }: NodeProcessOptions) {
    this.#processHost = processHost;
    this.#config = config;
    this.#log = log;
    this.#sinceAtMs = sinceAtMs ?? this.#startedAtMs;
    this.#adminAddress = localOrigin(config.admin.host, config.admin.port);
    const parts = { config, clock: systemClock, processHost, log: log.write };
    this.#gateways = assembleGateways({
      ...parts,
      epoch: this.#startedAtMs,
      onFacts: (facts) => {
        for (const fact of facts) this.#onFact(fact);
      },
    });
    this.#logFiles = createLogRotation({
      onProblem: (file, problem) => log.write('warn', 'a log file could not be rotated', { file, problem }),
    });
    for (const file of [config.paths.nodeLog, ...this.#gateways.logFiles]) this.#logFiles.watch(file);
    this.#supervisor = assembleSupervisor({
      ...parts,
      logFiles: this.#logFiles,
      onFleet: (fleet) => this.#gateways.host.publishFleet(fleet),
      onFact: (fact) => this.#onFact(fact),
      collectInFlight: () => this.#collectInFlight(),
    });
    this.#system = new NodeSystem({
      config,
      startedAtMs: this.#startedAtMs,
      supervisor: this.#supervisor,
      gatewayHost: this.#gateways.host,
      adminAddress: () => this.#adminAddress,
      end: (request) => this.#endSoon(request),
    });
    this.#admin = createAdminServer({ settings: config.admin, system: this.#system, log: log.write });
  }

  /** Resolves when the gateway listens. Rejects with PlatformError when it cannot; nothing that was started is left then. */
  async start(): Promise<void> {
    this.#listenToSignals();
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
    this.#showBanner();
    this.#considerServing();
    void this.#announceReady();
  }

  async #startPlanes(): Promise<void> {
    // The supervisor first: a gateway that is adopted must never see a fleet without its engines.
    const { adopted } = await this.#supervisor.start();
    this.#system.adoptedEngines = adopted;
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

  async #collectInFlight(): Promise<Record<string, number>> {
    const sums: Record<string, number> = {};
    for (const { replicaInFlight } of await this.#gateways.host.collect()) {
      for (const [replica, count] of Object.entries(replicaInFlight))
        sums[replica] = (sums[replica] ?? 0) + count;
    }
    return sums;
  }

  #showBanner(): void {
    const addresses = { gateway: this.#system.gatewayAddress, admin: this.#adminAddress };
    this.#log.say(banner(RELEASE, this.#config, addresses));
    if (this.#system.adoptedEngines > 0)
      this.#log.say(`  ${this.#system.adoptedEngines} running engines adopted`);
    this.#bannerShown = true;
    for (const line of this.#linesBeforeBanner.splice(0)) this.#log.say(line);
  }

  #say(line: string): void {
    if (this.#bannerShown) this.#log.say(line);
    else this.#linesBeforeBanner.push(line);
  }

  async #announceReady(): Promise<void> {
    const longestMs = Math.max(...this.#config.models.map(({ startTimeoutMs }) => startTimeoutMs));
    const ready = await this.#supervisor.untilReady(longestMs, this.#stopping.signal);
    if (this.#stopping.signal.aborted) return;
    const replicas = this.#supervisor.status();
    const count = replicas.filter(({ state }) => state === 'ready').length;
    if (ready) this.#log.say(readyLine(count, systemClock.wallMs() - this.#sinceAtMs));
    else
      this.#log.say(
        `${count} of ${replicas.length} replicas are ready; \`autoglm status\` says why the others are not`,
      );
  }

  #writeRecord({ gateway, admin }: { gateway: string; admin: string | null }): void {
    writeNodeRecord(this.#config.paths.nodeRecord, {
      pid: process.pid,
      startTicks: ownStartTicks(),
      release: RELEASE,
      startedAtMs: this.#startedAtMs,
      configPath: this.#config.configPath,
      gatewayAddress: gateway,
      adminAddress: admin,
    });
  }

  #listenToSignals(): void {
    // Our terminal may close; the launcher decides what that means.
    process.on('SIGHUP', () => {});
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => this.#onSignal(signal));
    for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
      process.on(event, (error) => {
        this.#log.write('error', 'a bug ends the node process; its successor adopts gateway and engines', {
          error: error instanceof Error ? error.stack : String(error),
        });
        this.#exit(EXIT_CODES.failed.code);
      });
    }
  }

  #onSignal(signal: NodeJS.Signals): void {
    const nowMs = systemClock.monotonicMs();
    if (this.#firstSignalMs === null) {
      this.#firstSignalMs = nowMs;
      this.#log.write('info', 'stopping', { signal });
      void this.#stop();
    } else if (nowMs - this.#firstSignalMs > SAME_KEYPRESS_MS) {
      void this.#kill();
    }
  }

  #endSoon(request: EndRequest): void {
    setTimeout(() => {
      if (request === 'restart') void this.#leave();
      else if (request === 'stop') void this.#stop();
      else void this.#kill();
    }, ANSWER_MS);
  }

  /** Gateway first, so that no request meets an engine that ends; the admin server last, so that `status` can watch. */
  async #stop(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const beganMs = systemClock.monotonicMs();
    this.#system.phase = 'stopping';
    this.#stopping.abort();
    await this.#gateways.host.close({ stop: true });
    this.#log.say('  gateway drained');
    await this.#supervisor.stop({ engines: 'drain' });
    await this.#closeAdmin();
    removeNodeRecord(this.#config.paths.nodeRecord);
    this.#log.say(`stopped after ${((systemClock.monotonicMs() - beganMs) / 1000).toFixed(1)} s`);
    this.#exit(EXIT_CODES.ok.code);
  }

  async #kill(): Promise<void> {
    this.#system.phase = 'stopping';
    this.#stopping.abort();
    for (const { identity } of this.#processHost.findOwned(`${this.#config.paths.instance}:gateway:`)) {
      this.#processHost.signalGroup(identity, 'SIGKILL');
    }
    await this.#supervisor.stop({ engines: 'kill' });
    removeNodeRecord(this.#config.paths.nodeRecord);
    this.#exit(EXIT_CODES.ok.code);
  }

  /** Gateway and engines go on; the record stays, so that whoever watches knows that we are to come back. */
  async #leave(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#stopping.abort();
    this.#log.write('info', 'this node process makes way for a new one');
    await this.#gateways.host.close({ stop: false });
    await this.#supervisor.stop({ engines: 'leave' });
    await this.#closeAdmin();
    this.#exit(EXIT_CODES.restartWanted.code);
  }

  async #closeAdmin(): Promise<void> {
    await Promise.race([this.#admin.close(), systemClock.sleep(ADMIN_CLOSE_MS)]);
  }

  #exit(code: number): never {
    this.#logFiles.close();
    this.#log.close();
    process.exit(code);
  }
}
