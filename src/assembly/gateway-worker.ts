/**
 * Entry of a gateway's worker thread: HTTP server, transport and gateway plane on one event loop. An exception that nobody
 * caught ends the thread; the main thread replaces it.
 */
import { flushCompileCache } from 'node:module';
import { BroadcastChannel, type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../base/clock.ts';
import type { Fact } from '../contract/facts.ts';
import { createHttpServer } from '../drivers/http/server.ts';
import { openFileContents } from '../drivers/storage/file-contents.ts';
import { createStoreClient } from '../drivers/storage/rpc/store-client.ts';
import { openLineLog } from '../drivers/telemetry/line-log.ts';
import { watchLoop } from '../drivers/telemetry/loop-watch.ts';
import { giveUpAttempts, waitingAttempts } from '../planes/gateway/attempt-list.ts';
import { CacheClient } from '../planes/gateway/cache/cache-client.ts';
import type { FromCache, ToCache } from '../planes/gateway/cache/cache-protocol.ts';
import { GatewayCounters } from '../planes/gateway/gateway-counters.ts';
import { GatewayPlane } from '../planes/gateway/gateway-plane.ts';
import type { HealthReport } from '../planes/gateway/health/attempt-health.ts';
import { LoadCells } from '../planes/gateway/places/load-cells.ts';
import { SharedState } from '../planes/gateway/shared-state.ts';
import { openEngineTransport } from './engine-transport.ts';
import type { FromWorker, ToWorker, WorkerStart } from './gateway-thread-protocol.ts';

const TELEMETRY_MS = 250;

if (parentPort === null)
  throw new Error('gateway-worker.ts runs as a worker thread of gateway-process.ts only');
const port = parentPort;
const start = workerData as WorkerStart;
const tell = (message: FromWorker) => port.postMessage(message);

let facts: Fact[] = [];
let health: HealthReport[] = [];
let requestCount = 0;
const counters = new GatewayCounters();
const log = openLineLog(start.logFile, { batched: true });
const transport = openEngineTransport();
transport.expect(start.slotted.snapshot.fleet);
const storage = createStoreClient({ clock: systemClock });
if (start.storage !== null) storage.connect(start.storage);
const cacheClient = new CacheClient();
if (start.cache !== null) connectCache(start.cache);

function connectCache(cachePort: MessagePort): void {
  const line = cacheClient.connect((message: ToCache) => cachePort.postMessage(message));
  cachePort.on('message', (message: FromCache) => cacheClient.take(message));
  cachePort.on('close', () => cacheClient.lost(line));
  // A worker with nothing else to do may end.
  cachePort.unref();
}

const { limitStore, redis } = start.slotted.snapshot.settings;
const shared =
  limitStore === 'redis' && redis !== null
    ? (await import('./shared-limits.ts')).openSharedLimits(redis, writeLine)
    : null;

function writeLine(level: 'info' | 'warn', message: string, detail: Record<string, unknown>): void {
  const at = new Date(systemClock.wallMs()).toISOString();
  log.write(
    `${JSON.stringify({ '@timestamp': at, 'log.level': level, message, worker: start.index, ...detail })}\n`,
  );
}

function flushTelemetry(): void {
  if (shared !== null) counters.redisCalls('limits', { ...shared.link.takeCounts() });
  tell({ type: 'telemetry', deltas: counters.takeDeltas(), facts, health });
  facts = [];
  health = [];
}

/** Between the workers of this process: ids of background responses that are to stop. */
const cancels = new BroadcastChannel('autoglm-cancelled-responses');

const plane = new GatewayPlane({
  clock: systemClock,
  transport,
  shared: new SharedState(start.memory, start.index),
  memory: start.memory,
  worker: start.index,
  snapshot: start.slotted,
  counters,
  stores: storage.stores,
  cacheClient,
  sharedLimits: shared?.limits ?? null,
  announceCancel: (id) => cancels.postMessage(id),
  fileContents: openFileContents(start.fileDir),
  newRequestId: () => `req-${start.idPrefix}-${(requestCount++).toString(36)}`,
  onFact: (fact) => {
    facts.push(fact);
    // Failures travel at once, and together when many streams of one replica break in the same moment.
    if (facts.length === 1) setImmediate(flushTelemetry);
  },
  onHealth: (report) => {
    health.push(report);
    if (health.length === 1) setImmediate(flushTelemetry);
  },
  onSuspect: (event) => tell({ type: 'suspect', event }),
  writeLog: (line) => log.write(line),
});
cancels.onmessage = ({ data }) => plane.background.cancel(String(data));
// A worker with nothing else to do may end.
cancels.unref();
const server = createHttpServer({ handle: (exchange) => plane.handle(exchange) });
const loop = watchLoop();
const load = new LoadCells(start.memory.load);
const telemetryTimer = setInterval(() => {
  flushTelemetry();
  load.reportWorker(start.index, loop.take());
}, TELEMETRY_MS);

async function close(stopsAll: boolean): Promise<void> {
  if (stopsAll) plane.startStopping();
  const closed = server.close();
  // Connections become idle one by one as their requests end.
  const idleTimer = stopsAll ? setInterval(() => server.closeIdle(), 50) : null;
  if (stopsAll) server.closeIdle();
  await closed;
  await plane.background.idle();
  await plane.cache.idle();
  if (idleTimer !== null) clearInterval(idleTimer);
  plane.close();
  clearInterval(telemetryTimer);
  loop.stop();
  await transport.close();
  storage.close();
  shared?.limits.close();
  shared?.link.close();
  log.close();
  flushTelemetry();
  tell({ type: 'closed' });
  port.close();
}

port.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'listen':
      server
        .listen({ host: message.host, port: message.port, reusePort: true })
        .then(({ port: bound }) => {
          tell({ type: 'listening', port: bound });
          // A gateway that is killed would leave its successor nothing.
          if (start.index === 0) setImmediate(flushCompileCache);
        })
        .catch((error: NodeJS.ErrnoException) =>
          tell({ type: 'listen-failed', code: error.code ?? 'unknown', message: error.message }),
        );
      break;
    case 'snapshot':
      transport.expect(message.slotted.snapshot.fleet);
      plane.update(message.slotted);
      break;
    case 'announce-close':
      plane.startDraining();
      server.announceClose();
      break;
    case 'close':
      void close(message.stopsAll);
      break;
    case 'storage':
      storage.connect(message.port);
      break;
    case 'cache':
      connectCache(message.port);
      break;
    case 'flush':
      flushTelemetry();
      break;
    case 'waiting':
      tell({ type: 'waiting', id: message.id, waiting: waitingAttempts(plane.attempts.all()) });
      break;
    case 'giveUp': {
      const count = giveUpAttempts(plane.attempts.all(), message.replica, message.which);
      tell({ type: 'gaveUp', id: message.id, count });
      break;
    }
    case 'suspects':
      plane.suspects.take(message.message);
      break;
    case 'fault':
      if (start.enableFaults) {
        setImmediate(() => {
          throw new Error('injected fault: this worker was told to throw');
        });
      }
      break;
  }
});
tell({ type: 'loaded' });
