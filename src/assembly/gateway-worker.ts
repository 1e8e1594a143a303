/**
 * Entry of a gateway's worker thread: HTTP server, transport and gateway plane on one event loop. An exception that nobody
 * caught ends the thread; the main thread replaces it.
 */
import { randomInt } from 'node:crypto';
import { hostname } from 'node:os';
import { BroadcastChannel, type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../base/clock.ts';
import { createRandom } from '../base/random.ts';
import type { Fact } from '../contract/facts.ts';
import type { RedisSettings } from '../contract/gateway-snapshot.ts';
import { createHttpServer } from '../drivers/http/server.ts';
import { createRedisLimits } from '../drivers/redis/rate-limits.ts';
import { RedisLink } from '../drivers/redis/redis-link.ts';
import { openFileContents } from '../drivers/storage/file-contents.ts';
import { createStoreClient } from '../drivers/storage/rpc/store-client.ts';
import { openLineLog } from '../drivers/telemetry/line-log.ts';
import { watchLoop } from '../drivers/telemetry/loop-watch.ts';
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
const limitLink = limitStore === 'redis' && redis !== null ? openLimitLink(redis) : null;
const sharedLimits =
  limitLink === null || redis === null
    ? null
    : createRedisLimits({
        link: limitLink,
        clock: systemClock,
        prefix: redis.prefix,
        gatewayId: `${hostname()}:${process.pid}`,
        onGateways: (count) =>
          log.write(logText('info', 'gateways that keep to limits together', { gateways: count })),
      });

function openLimitLink({ url, deadlineMs }: RedisSettings): RedisLink {
  const link = new RedisLink({
    url,
    deadlineMs,
    clock: systemClock,
    random: createRandom(randomInt(2 ** 32)),
    onState: (state, reason) => {
      const message =
        state === 'up'
          ? 'limits are counted in Redis'
          : "Redis is away; limits are this gateway's share of them";
      log.write(logText(state === 'up' ? 'info' : 'warn', message, { reason }));
    },
  });
  link.start();
  return link;
}

function logText(level: 'info' | 'warn', message: string, detail: Record<string, unknown>): string {
  const at = new Date(systemClock.wallMs()).toISOString();
  return `${JSON.stringify({ '@timestamp': at, 'log.level': level, message, worker: start.index, ...detail })}\n`;
}

function flushTelemetry(): void {
  if (limitLink !== null) counters.redisCalls('limits', { ...limitLink.takeCounts() });
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
  sharedLimits,
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
  sharedLimits?.close();
  limitLink?.close();
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
        .then(({ port: bound }) => tell({ type: 'listening', port: bound }))
        .catch((error: NodeJS.ErrnoException) =>
          tell({ type: 'listen-failed', code: error.code ?? 'unknown', message: error.message }),
        );
      break;
    case 'snapshot':
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
