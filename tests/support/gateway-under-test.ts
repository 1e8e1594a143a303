/**
 * Starts a real gateway process on a snapshot of the test's making, without a node process. Ends with the test.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { GatewayReport, GatewayToNode, NodeToGateway } from '../../src/contract/control-protocol.ts';
import type { EngineCapabilities, PoolView, ReplicaView } from '../../src/contract/fleet.ts';
import type { GatewaySettings, GatewaySnapshot } from '../../src/contract/gateway-snapshot.ts';
import type { ControlLink } from '../../src/contract/ports/control-link.ts';
import { listenForLinks } from '../../src/drivers/control-link/socket-link.ts';

const ROOT = resolve(import.meta.dirname, '../..');

export const FULL_CAPABILITIES: EngineCapabilities = {
  tokenReplay: true,
  chatContinuation: true,
  tokenize: true,
  determinism: 'seeded',
  wholeTokenEvents: true,
  lenientFields: true,
};

export const TEST_SETTINGS: GatewaySettings = {
  host: '127.0.0.1',
  port: 0,
  workers: 2,
  keys: [],
  bodyBytesMax: 1_000_000,
  queueSizeMax: 100,
  queueAdaptive: false,
  queueTimeoutMs: 5_000,
  retryAttemptsMax: 2,
  // Tests that are not about the budget fail attempts on purpose, one after another.
  retryBudgetRatio: 1,
  continuationsMax: 3,
  breakerFailures: 0,
  slowStartMs: 0,
  stragglerWeights: false,
  ejectionMs: 0,
  keepAliveMs: 10_000,
  connectTimeoutMs: 1_000,
  firstTokenTimeoutMs: 10_000,
  stallTimeoutMs: 10_000,
  totalTimeoutMs: 60_000,
  writeStallTimeoutMs: 10_000,
  replayBytesMax: 4_194_304,
  responsesTtlMs: 3_600_000,
  idempotencyTtlMs: 3_600_000,
  cache: null,
  redis: null,
  storeLimits: { responsesBytesMax: 67_108_864, idempotencyBytesMax: 67_108_864 },
  files: { fileBytesMax: 5_000_000, totalBytesMax: 20_000_000, batchTtlMs: 2_592_000_000 },
  batches: {
    windowMs: 86_400_000,
    linesMax: 50_000,
    openMax: 100,
    inFlightMax: 64,
    lineTimeoutMs: 60_000,
    fillerShare: 0.5,
  },
  fillerKeySha256: null,
  drainTimeoutMs: 5_000,
};

export interface TestReplica {
  url: string;
  window?: number;
  weight?: number;
  gpuMetricsUrl?: string;
  /** The name by which the engine knows the model; default: the pool's. */
  servedModel?: string;
  engine?: ReplicaView['engine'];
  state?: ReplicaView['state'];
  capabilities?: Partial<EngineCapabilities>;
  protocol?: ReplicaView['protocol'];
  chatTemplate?: ReplicaView['chatTemplate'];
}

export function poolOf(model: string, replicas: TestReplica[], aliases: string[] = []): PoolView {
  return {
    model,
    aliases,
    contextLength: 2048,
    replicas: replicas.map((replica, index) => ({
      id: `${model}/${index}`,
      generation: 1,
      url: replica.url,
      engine: replica.engine ?? 'vllm',
      servedModel: replica.servedModel ?? model,
      state: replica.state ?? 'ready',
      reason: '',
      window: replica.window ?? 64,
      capabilities: { ...FULL_CAPABILITIES, ...replica.capabilities },
      ...(replica.gpuMetricsUrl !== undefined && { gpuMetricsUrl: replica.gpuMetricsUrl }),
      ...(replica.weight !== undefined && { weight: replica.weight }),
      ...(replica.protocol !== undefined && { protocol: replica.protocol }),
      ...(replica.chatTemplate !== undefined && { chatTemplate: replica.chatTemplate }),
    })),
  };
}

export interface RunningGateway {
  url: string;
  /** Base for OpenAI clients. */
  v1: string;
  port: number;
  process: ChildProcess;
  /** What the gateway says of itself at this moment, asked as a node process asks. */
  report(): Promise<GatewayReport>;
  /** Has a worker thread die of an exception that nobody caught. */
  breakWorker(worker: number): Promise<void>;
  /** Another fleet from here on, as a node process says it; it is in use a moment later. */
  publish(pools: PoolView[]): Promise<void>;
  /** Where the state database lies. */
  stateDir: string;
  /** Lines of the request log, parsed. */
  log(): Record<string, unknown>[];
  stop(): Promise<void>;
}

/** Gateways that are given one `stateDir` share the state database, as those of a node do; it is the caller's to remove. */
export async function startGateway(
  pools: PoolView[],
  settings: Partial<GatewaySettings> = {},
  { stateDir: sharedStateDir }: { stateDir?: string } = {},
): Promise<RunningGateway> {
  const directory = mkdtempSync(join(tmpdir(), 'autoglm-gateway-'));
  const stateDir = sharedStateDir ?? directory;
  const snapshotFile = join(directory, 'snapshot.json');
  const logFile = join(directory, 'gateway.log');
  let seq = 0;
  const snapshotOf = (fleetPools: PoolView[]): GatewaySnapshot => ({
    version: { epoch: 1, seq: ++seq },
    settings: { ...TEST_SETTINGS, ...settings },
    fleet: { pools: fleetPools },
  });
  writeFileSync(snapshotFile, JSON.stringify(snapshotOf(pools)));
  const node = await listenAsNode(join(directory, 'node.sock'));
  const child = spawn(
    process.execPath,
    [
      join(ROOT, 'src/assembly/gateway-process.ts'),
      '--id',
      'test',
      '--snapshot',
      snapshotFile,
      '--log',
      logFile,
      '--socket',
      join(directory, 'node.sock'),
      '--state',
      stateDir,
      '--enable-faults',
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const port = await listeningPort(child);
  return {
    url: `http://127.0.0.1:${port}`,
    v1: `http://127.0.0.1:${port}/v1`,
    port,
    stateDir,
    process: child,
    report: node.report,
    breakWorker: node.breakWorker,
    publish: (newPools) => node.publish(snapshotOf(newPools)),
    log: () =>
      readFileSync(logFile, 'utf8')
        .split('\n')
        // The last one is empty, or being written.
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = new Promise((done) => child.once('exit', done));
        child.kill('SIGKILL');
        await ended;
      }
      await node.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** The node's end of the link, as far as tests need one. */
async function listenAsNode(socketPath: string): Promise<{
  report(): Promise<GatewayReport>;
  breakWorker(worker: number): Promise<void>;
  publish(snapshot: GatewaySnapshot): Promise<void>;
  close(): Promise<void>;
}> {
  let link: ControlLink<GatewayToNode, NodeToGateway> | null = null;
  let onReport: (report: GatewayReport) => void = () => {};
  const server = await listenForLinks<GatewayToNode, NodeToGateway>([socketPath], (accepted) => {
    accepted.onMessage((message) => {
      if (message.type === 'hello') link = accepted;
      if (message.type === 'report') onReport(message.report);
    });
  });
  return {
    report: async () => {
      const { send } = await eventually(() => link);
      return new Promise((resolve) => {
        onReport = resolve;
        send({ type: 'collect', id: 1 });
      });
    },
    breakWorker: async (worker) => {
      const { send } = await eventually(() => link);
      send({ type: 'fault', worker, kind: 'throw' });
    },
    publish: async (snapshot) => (await eventually(() => link)).send({ type: 'snapshot', snapshot }),
    close: () => server.close(),
  };
}

function listeningPort(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const port = /"port":(\d+)/.exec(text)?.[1];
      if (port !== undefined) resolve(Number(port));
    });
    child.once('exit', (code) => reject(new Error(`the gateway ended with code ${code}: ${text}`)));
  });
}

/** Waits for a state, not for time: polls every 5 ms until `check` gives a value, at most `timeoutMs`. */
export async function eventually<T>(
  check: () => T | undefined | null | false | Promise<T | undefined | null | false>,
  timeoutMs = 20_000,
): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const value = await check();
    if (value !== undefined && value !== null && value !== false) return value;
    if (performance.now() > endMs)
      throw new Error(`not true within ${timeoutMs} ms: ${check.toString().slice(0, 200)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
