/**
 * What stands between load client and mock engine: nothing, nginx, or our gateway. Each is started once, pinned to a processor of its own
 * where `taskset` is there, and ended by `stop`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join, resolve } from 'node:path';
import type { GatewaySnapshot } from '../src/contract/gateway-snapshot.ts';
import { BENCH_MODEL } from './scenario.ts';

export interface Target {
  name: 'direct' | 'nginx' | 'gateway';
  origin: string;
  /** The measured process; undefined for direct. */
  pid: number | undefined;
}

const ROOT = resolve(import.meta.dirname, '..');
const NGINX_PATHS = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/bin/nginx', '/opt/homebrew/bin/nginx'];
const START_MS_MAX = 20_000;

export const hasTaskset = spawnSync('taskset', ['--version']).status === 0;
/** Client and mock share one, the measured process has the other; with one processor nothing is pinned. */
export const LOAD_CPU = 0;
const TARGET_CPU = 1;

export function findNginx(): string | undefined {
  return NGINX_PATHS.find((path) => existsSync(path));
}

const children: ChildProcess[] = [];

/** Starts a program that dies with the bench. */
export function start(command: string, args: readonly string[], cpu: number | null): ChildProcess {
  const pinned = cpu !== null && hasTaskset;
  const child = pinned
    ? spawn('taskset', ['-c', String(cpu), command, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    : spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return child;
}

export async function stopAll(): Promise<void> {
  await Promise.all(
    children.splice(0).map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((done) => child.once('exit', done));
      child.kill('SIGTERM');
      const hard = setTimeout(() => child.kill('SIGKILL'), 5000);
      await ended;
      clearTimeout(hard);
    }),
  );
}

/** The port in the JSON line that a process of ours prints when it listens. */
export function portOf(child: ChildProcess, what: string): Promise<number> {
  return new Promise((found, failed) => {
    let text = '';
    const timer = setTimeout(
      () => failed(new Error(`${what}: no port after ${START_MS_MAX} ms`)),
      START_MS_MAX,
    );
    child.stdout?.on('data', (data: Buffer) => {
      text += data.toString();
      const port = /"port":(\d+)/.exec(text)?.[1];
      if (port === undefined) return;
      clearTimeout(timer);
      found(Number(port));
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      failed(new Error(`${what} ended with code ${code}`));
    });
  });
}

export async function startGateway(folder: string, enginePorts: readonly number[]): Promise<Target> {
  const snapshot: GatewaySnapshot = {
    version: { epoch: 1, seq: 1 },
    settings: {
      host: '127.0.0.1', port: 0, workers: 2, keys: [], bodyBytesMax: 8_388_608, queueSizeMax: 1024,
      queueTimeoutMs: 30_000, retryAttemptsMax: 2, retryBudgetRatio: 0.2, continuationsMax: 3, ejectionMs: 1000,
      keepAliveMs: 10_000, connectTimeoutMs: 5000, firstTokenTimeoutMs: 300_000, stallTimeoutMs: 60_000,
      totalTimeoutMs: 3_600_000, writeStallTimeoutMs: 60_000, replayBytesMax: 4_194_304, responsesTtlMs: 3_600_000,
      idempotencyTtlMs: 3_600_000, cache: null, redis: null, storeLimits: { responsesBytesMax: 67_108_864, idempotencyBytesMax: 67_108_864 },
      files: { fileBytesMax: 5_000_000, totalBytesMax: 20_000_000, batchTtlMs: 2_592_000_000 },
      batches: { windowMs: 86_400_000, linesMax: 50_000, openMax: 100, inFlightMax: 64, lineTimeoutMs: 60_000, fillerShare: 0.5 },
      fillerKeySha256: null, drainTimeoutMs: 1000,
    }, // biome-ignore format: a table
    fleet: {
      pools: [
        {
          model: BENCH_MODEL,
          aliases: [],
          replicas: enginePorts.map((port, index) => ({
            id: `${BENCH_MODEL}/${index}`,
            generation: 1,
            url: `http://127.0.0.1:${port}`,
            engine: 'vllm',
            servedModel: BENCH_MODEL,
            state: 'ready',
            reason: '',
            window: 1024,
            capabilities: {
              tokenReplay: true,
              chatContinuation: true,
              tokenize: true,
              determinism: 'seeded',
              wholeTokenEvents: true,
            },
          })),
        },
      ],
    },
  };
  const snapshotFile = join(folder, 'snapshot.json');
  writeFileSync(snapshotFile, JSON.stringify(snapshot));
  const entry = join(ROOT, 'src/assembly/gateway-process.ts');
  const args = [entry, '--id', 'bench', '--snapshot', snapshotFile, '--log', join(folder, 'gateway.log')];
  const child = start(process.execPath, args, TARGET_CPU);
  const port = await portOf(child, 'gateway');
  return { name: 'gateway', origin: `http://127.0.0.1:${port}`, pid: child.pid };
}

/** nginx as a plain reverse proxy: least connections over the same engines, kept-alive connections, no buffering. */
export async function startNginx(
  binary: string,
  folder: string,
  enginePorts: readonly number[],
): Promise<Target> {
  const port = await freePort();
  const file = join(folder, 'nginx.conf');
  writeFileSync(
    file,
    `daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log ${folder}/nginx-error.log;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  client_body_buffer_size 64k; keepalive_requests 1000000;
  upstream engines { least_conn; ${enginePorts.map((engine) => `server 127.0.0.1:${engine};`).join(' ')} keepalive 1024; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { proxy_pass http://engines; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }
  }
}
`,
  );
  const child = start(binary, ['-c', file, '-p', folder], TARGET_CPU);
  await waitForPort(port, 'nginx');
  return { name: 'nginx', origin: `http://127.0.0.1:${port}`, pid: child.pid };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const address = server.address();
  await new Promise((closed) => server.close(closed));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

async function waitForPort(port: number, what: string): Promise<void> {
  const deadline = performance.now() + START_MS_MAX;
  for (;;) {
    const open = await new Promise<boolean>((found) => {
      const socket = connect({ host: '127.0.0.1', port });
      socket.once('connect', () => found(socket.end() !== null));
      socket.once('error', () => found(false));
    });
    if (open) return;
    if (performance.now() > deadline)
      throw new Error(`${what} does not listen on ${port} after ${START_MS_MAX} ms`);
    await new Promise((tick) => setTimeout(tick, 20));
  }
}
