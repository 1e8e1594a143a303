/**
 * The worker threads of one gateway process: starts them, hands snapshots out, gathers telemetry, and replaces a thread that
 * died. Whatever a dead thread held in the shared counts is taken back before its successor starts.
 */

import { extname } from 'node:path';
import { type MessagePort, Worker } from 'node:worker_threads';
import { PlatformError } from '../contract/errors.ts';
import type { Fact } from '../contract/facts.ts';
import type { WaitingAttempts } from '../contract/flow.ts';
import type { SlottedSnapshot } from '../planes/gateway/fleet-table.ts';
import type { HealthReport } from '../planes/gateway/health/attempt-health.ts';
import { reclaimWorker, type SharedMemory } from '../planes/gateway/shared-memory.ts';
import type { FromDesk, ToDesk } from '../planes/gateway/suspects/suspect-messages.ts';
import type { MetricDeltas } from '../wire/prometheus/metric-set.ts';
import type { FromWorker, ToWorker, WorkerStart } from './gateway-thread-protocol.ts';
import { WorkerAnswers } from './worker-answers.ts';

export interface GatewayWorkersOptions {
  count: number;
  memory: SharedMemory;
  host: string;
  port: number;
  logFile: string;
  gatewayId: string;
  enableFaults: boolean;
  fileDir: string;
  /** A new port to the storage thread; null where nothing can be kept. */
  storagePort(): MessagePort | null;
  /** A new port to the cache thread; null where no answer is kept for others. */
  cachePort(): MessagePort | null;
  snapshot(): SlottedSnapshot;
  onTelemetry(deltas: MetricDeltas, facts: Fact[], health: HealthReport[]): void;
  onSuspect(event: FromDesk): void;
  /** What is known of suspect requests. */
  listed(): ToDesk;
  /** A worker is no more; what it held is free. */
  onEnded(worker: number): void;
  onReplaced(worker: number, reason: string): void;
  logError(message: string, error: unknown): void;
}

type WorkerState = 'starting' | 'listening' | 'draining' | 'closed';

interface Slot {
  index: number;
  worker: Worker;
  state: WorkerState;
  restarts: number;
}

/** A thread that dies right after its start is not replaced faster than this. */
const RESTART_DELAY_MS = 1_000;

export class GatewayWorkers {
  readonly #waiting = new WorkerAnswers<Record<string, WaitingAttempts>>();
  readonly #gaveUp = new WorkerAnswers<number>();
  readonly #options: GatewayWorkersOptions;
  readonly #slots: Slot[] = [];
  #port: number;
  #closing = false;
  #onClosed: (() => void) | null = null;

  constructor(options: GatewayWorkersOptions) {
    this.#options = options;
    this.#port = options.port;
  }

  /** Resolves with the port when all listen. Rejects with `port_in_use`. */
  async start(): Promise<number> {
    const { count } = this.#options;
    // The first thread settles the port; the others share it.
    this.#port = await this.#launch(0, 0);
    await Promise.all(Array.from({ length: count - 1 }, (_, index) => this.#launch(index + 1, 0)));
    return this.#port;
  }

  status(): { index: number; state: 'listening' | 'starting' | 'draining'; restarts: number }[] {
    return this.#slots.map(({ index, state, restarts }) => ({
      index,
      state: state === 'closed' ? (this.#closing ? 'draining' : 'starting') : state,
      restarts,
    }));
  }

  tellAll(message: ToWorker): void {
    for (const { worker } of this.#slots) worker.postMessage(message);
  }

  /** The storage thread was replaced. */
  reconnectStorage(): void {
    for (const { worker } of this.#slots) {
      const port = this.#options.storagePort();
      if (port !== null) worker.postMessage({ type: 'storage', port } satisfies ToWorker, [port]);
    }
  }

  /** The cache thread was replaced. */
  reconnectCache(): void {
    for (const { worker } of this.#slots) {
      const port = this.#options.cachePort();
      if (port !== null) worker.postMessage({ type: 'cache', port } satisfies ToWorker, [port]);
    }
  }

  /** Attempts without a token, by worker and replica. */
  waiting(): Promise<ReadonlyMap<number, Record<string, WaitingAttempts>>> {
    return this.#waiting.ask(this.#slots.length, (id) => this.tellAll({ type: 'waiting', id }));
  }

  /** Says how many attempts were ended. */
  async giveUp(replica: string, which: 'all' | 'longest'): Promise<number> {
    const asked = which === 'all' ? this.#slots.map(({ index }) => index) : await this.#ofLongest(replica);
    const answers = await this.#gaveUp.ask(asked.length, (id) => {
      for (const index of asked) this.tell(index, { type: 'giveUp', id, replica, which });
    });
    return [...answers.values()].reduce((sum, count) => sum + count, 0);
  }

  /** The worker that has it. */
  async #ofLongest(replica: string): Promise<number[]> {
    const bytes = [...(await this.waiting())].map(
      ([index, waiting]) => [index, waiting[replica]?.bytesMax ?? 0] as const,
    );
    const [longest] = bytes.toSorted(([, a], [, b]) => b - a);
    return longest === undefined || longest[1] === 0 ? [] : [longest[0]];
  }

  tell(index: number, message: ToWorker): void {
    this.#slots[index]?.worker.postMessage(message);
  }

  /**
   * Drains: `Connection: close` for `announceMs`, then no more connections; resolves when all have ended.
   * `onClosing` is called when nothing new is taken any more.
   */
  async drain(
    announceMs: number,
    { stopsAll, onClosing }: { stopsAll: boolean; onClosing(): void },
  ): Promise<void> {
    this.#closing = true;
    for (const slot of this.#slots) if (slot.state !== 'closed') slot.state = 'draining';
    this.tellAll({ type: 'announce-close' });
    if (announceMs > 0) await new Promise((resolve) => setTimeout(resolve, announceMs));
    const allClosed = new Promise<void>((resolve) => {
      this.#onClosed = resolve;
    });
    this.tellAll({ type: 'close', stopsAll });
    onClosing();
    this.#checkClosed();
    await allClosed;
  }

  #launch(index: number, restarts: number): Promise<number> {
    const { memory, logFile, gatewayId, enableFaults, fileDir, snapshot } = this.#options;
    const storage = this.#options.storagePort();
    const cache = this.#options.cachePort();
    const start: WorkerStart = {
      memory,
      index,
      slotted: snapshot(),
      logFile,
      idPrefix: `${gatewayId}.${index}.${restarts}`,
      enableFaults,
      fileDir,
      storage,
      cache,
    };
    const worker = new Worker(new URL(`./gateway-worker${extname(import.meta.url)}`, import.meta.url), {
      workerData: start,
      transferList: [storage, cache].filter((port) => port !== null),
    });
    const slot: Slot = { index, worker, state: 'starting', restarts };
    this.#slots[index] = slot;
    return new Promise((resolve, reject) => {
      const startedMs = performance.now();
      worker.on('message', (message: FromWorker) => {
        if (message.type === 'listening') resolve(message.port);
        if (message.type === 'listen-failed') reject(listenError(this.#options.host, this.#port, message));
        this.#onMessage(slot, message);
      });
      worker.on('error', (error) => this.#options.logError(`gateway worker ${index} died`, error));
      worker.on('exit', (code) => {
        reject(
          new PlatformError('internal', `gateway worker ${index} ended with code ${code} before it listened`),
        );
        this.#onExit(slot, code, performance.now() - startedMs);
      });
    });
  }

  #onMessage(slot: Slot, message: FromWorker): void {
    switch (message.type) {
      case 'loaded':
        slot.worker.postMessage({ type: 'snapshot', slotted: this.#options.snapshot() } satisfies ToWorker);
        slot.worker.postMessage({ type: 'suspects', message: this.#options.listed() } satisfies ToWorker);
        slot.worker.postMessage({
          type: 'listen',
          host: this.#options.host,
          port: this.#port,
        } satisfies ToWorker);
        break;
      case 'listening':
        if (slot.state === 'starting') slot.state = 'listening';
        break;
      case 'telemetry':
        this.#options.onTelemetry(message.deltas, message.facts, message.health);
        break;
      case 'waiting':
        this.#waiting.take(message.id, slot.index, message.waiting);
        break;
      case 'gaveUp':
        this.#gaveUp.take(message.id, slot.index, message.count);
        break;
      case 'suspect':
        this.#options.onSuspect(message.event);
        break;
      case 'closed':
        slot.state = 'closed';
        this.#checkClosed();
        break;
      case 'listen-failed':
        break;
    }
  }

  #onExit(slot: Slot, code: number, livedMs: number): void {
    reclaimWorker(this.#options.memory, slot.index);
    this.#options.onEnded(slot.index);
    const neverServed = slot.state === 'starting' && slot.restarts === 0;
    slot.state = 'closed';
    this.#checkClosed();
    // A thread that fails at the first start fails the gateway: `start` rejects.
    if (this.#closing || neverServed) return;
    this.#options.onReplaced(slot.index, `thread ended with code ${code} after ${Math.round(livedMs)} ms`);
    const restart = () => {
      if (this.#closing) return;
      this.#launch(slot.index, slot.restarts + 1).catch((error) =>
        this.#options.logError('a worker thread ended before it listened', error),
      );
    };
    if (livedMs < RESTART_DELAY_MS) setTimeout(restart, RESTART_DELAY_MS);
    else restart();
  }

  #checkClosed(): void {
    if (this.#slots.every(({ state }) => state === 'closed')) this.#onClosed?.();
  }
}

function listenError(
  host: string,
  port: number,
  { code, message }: { code: string; message: string },
): PlatformError {
  if (code === 'EADDRINUSE') {
    return new PlatformError(
      'port_in_use',
      `${host}:${port} is in use by another process; \`autoglm doctor\` names it`,
    );
  }
  return new PlatformError('config_invalid', `the gateway can not listen on ${host}:${port}: ${message}`);
}
