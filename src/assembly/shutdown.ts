/**
 * The ends of a node process, in the order of docs/lifecycle.md: `stop` drains and ends everything, `kill` ends everything at
 * once, `restart` ends this process alone. The first one that begins wins; only a kill may overtake a stop.
 */
import { rmSync } from 'node:fs';
import { systemClock } from '../base/clock.ts';
import { EXIT_CODES } from '../contract/exit-codes.ts';
import type { ProcessHost } from '../contract/ports/process-host.ts';
import type { GatewayHost } from '../planes/control/gateway-host.ts';
import type { Supervisor } from '../planes/supervisor/supervisor-options.ts';
import type { AdminServer } from './admin/admin-server.ts';
import { showSeconds } from './banner.ts';
import { removeNodeRecord } from './config/node-record.ts';
import type { ResolvedConfig } from './config/resolve-config.ts';
import type { NodeLog } from './node-log.ts';
import type { EndRequest, NodeSystem } from './node-system.ts';
import { type OwnerOptions, onOwnerGone } from './owner-pipe.ts';

export interface ShutdownParts {
  config: ResolvedConfig;
  log: NodeLog;
  processHost: ProcessHost;
  system: NodeSystem;
  gatewayHost: GatewayHost;
  supervisor: Supervisor;
  admin: AdminServer;
  /** Lets go of batches, so that whoever comes next goes on with them. */
  closeBatches(): Promise<void>;
  /** Writes what is not on disk yet. */
  closeIncidents(): Promise<void>;
  /** When the pipe to it breaks, nobody is left whom all this is for. */
  owner: OwnerOptions | undefined;
}

/** The same key press arrives twice: from the terminal and from npm, which passes signals on. */
const SAME_KEYPRESS_MS = 250;
/** Time for the answer of the action that ends this process. */
const ANSWER_MS = 100;
const ADMIN_CLOSE_MS = 1_000;
/** Without it their leases run out a few seconds later. */
const BATCHES_CLOSE_MS = 2_000;
/** A disk that hangs must not keep us. */
const INCIDENTS_CLOSE_MS = 500;
/** Whoever owned us has ended, and with it every client: what does not end soon has nobody to end for. */
const OWNER_GONE_MS = 5_000;

export class Shutdown {
  readonly #parts: ShutdownParts;
  readonly #begun = new AbortController();
  #firstSignalMs: number | null = null;
  #isOwnerGone = false;

  constructor(parts: ShutdownParts) {
    this.#parts = parts;
  }

  /** Fires when any end has begun. */
  get signal(): AbortSignal {
    return this.#begun.signal;
  }

  listen(): void {
    const { owner } = this.#parts;
    if (owner !== undefined) onOwnerGone(owner.fd, () => this.#onOwnerGone());
    // Our terminal may close; the launcher decides what that means.
    process.on('SIGHUP', () => {});
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => this.#onSignal(signal));
    for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
      process.on(event, (error) => {
        this.#parts.log.write(
          'error',
          'a bug ends the node process; its successor adopts gateway and engines',
          {
            error: error instanceof Error ? error.stack : String(error),
          },
        );
        this.#exit(EXIT_CODES.failed.code);
      });
    }
  }

  /** Begins a moment later, so that whoever asked gets an answer. */
  request(request: EndRequest): void {
    setTimeout(() => {
      if (request === 'restart') void this.#leave();
      else if (request === 'stop') void this.#stop();
      else void this.#kill();
    }, ANSWER_MS);
  }

  #onSignal(signal: NodeJS.Signals): void {
    const nowMs = systemClock.monotonicMs();
    if (this.#firstSignalMs === null) {
      this.#firstSignalMs = nowMs;
      this.#parts.log.write('info', 'stopping', { signal });
      void this.#stop();
    } else if (nowMs - this.#firstSignalMs > SAME_KEYPRESS_MS) {
      void this.#kill();
    }
  }

  #onOwnerGone(): void {
    this.#isOwnerGone = true;
    this.#parts.log.write('info', 'stopping', { signal: 'the owner has ended' });
    setTimeout(() => void this.#kill(), OWNER_GONE_MS);
    void this.#stop();
  }

  /** Gateway first, so that no request meets an engine that ends; the admin server last, so that `status` can watch. */
  async #stop(): Promise<void> {
    if (this.#begun.signal.aborted) return;
    const { config, log, system, gatewayHost, supervisor } = this.#parts;
    const beganMs = systemClock.monotonicMs();
    system.phase = 'stopping';
    this.#begun.abort();
    await this.#closeBatches();
    await gatewayHost.close({ stop: true });
    log.say('  gateway drained');
    await supervisor.stop({ engines: 'drain' });
    await this.#closeIncidents();
    await this.#closeAdmin();
    removeNodeRecord(config.paths.nodeRecord);
    log.say(`stopped after ${showSeconds(systemClock.monotonicMs() - beganMs)}`);
    this.#exit(EXIT_CODES.ok.code);
  }

  async #kill(): Promise<void> {
    const { config, processHost, system, supervisor } = this.#parts;
    system.phase = 'stopping';
    this.#begun.abort();
    for (const { identity } of processHost.findOwned(`${config.paths.instance}:gateway:`)) {
      processHost.signalGroup(identity, 'SIGKILL');
    }
    await supervisor.stop({ engines: 'kill' });
    removeNodeRecord(config.paths.nodeRecord);
    this.#exit(EXIT_CODES.ok.code);
  }

  /** Gateway and engines go on; the record stays, so that whoever watches knows that we are to come back. */
  async #leave(): Promise<void> {
    if (this.#begun.signal.aborted) return;
    const { log, gatewayHost, supervisor } = this.#parts;
    this.#begun.abort();
    log.write('info', 'this node process makes way for a new one');
    await this.#closeBatches();
    await gatewayHost.close({ stop: false });
    await supervisor.stop({ engines: 'leave' });
    await this.#closeIncidents();
    await this.#closeAdmin();
    this.#exit(EXIT_CODES.restartWanted.code);
  }

  async #closeBatches(): Promise<void> {
    const closed = this.#parts.closeBatches().catch(() => {});
    await Promise.race([closed, systemClock.sleep(BATCHES_CLOSE_MS)]);
  }

  async #closeIncidents(): Promise<void> {
    const closed = this.#parts.closeIncidents().catch(() => {});
    await Promise.race([closed, systemClock.sleep(INCIDENTS_CLOSE_MS)]);
  }

  async #closeAdmin(): Promise<void> {
    await Promise.race([this.#parts.admin.close(), systemClock.sleep(ADMIN_CLOSE_MS)]);
  }

  #exit(code: number): never {
    const { log, owner, config } = this.#parts;
    log.close();
    if (this.#isOwnerGone && owner?.temporary) rmSync(config.paths.root, { recursive: true, force: true });
    process.exit(code);
  }
}
