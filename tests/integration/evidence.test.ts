/**
 * Goal: evidence of an engine is whole where it can be, says what is missing and why, holds no secret and no prompt, ends in time
 * whatever hangs, and stays within its bounds. Method: a real process with a child, a secret in its arguments and environment, and
 * programs of the test's making in place of those that may not be installed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { Secret } from '../../src/base/secret.ts';
import type { EvidenceManifest, EvidencePart, EvidenceSettings } from '../../src/contract/evidence.ts';
import type { EvidenceMaterial, EvidenceSubject } from '../../src/contract/ports/evidence.ts';
import { type EvidenceOptions, LocalEvidence } from '../../src/drivers/evidence/evidence-collector.ts';
import { listPids, readProcStat, readProcVariable } from '../../src/drivers/process/proc-stat.ts';
import { eventually } from '../support/gateway-under-test.ts';

const IN_ARGUMENTS = 'arg-secret-0001';
const IN_ENVIRONMENT = 'env-secret-0002';
const TOLD = 'told secret 0003';
const PROMPT = 'the private words of a client';

let directory: string;
let engine: ChildProcess;
let server: Server;
let url: string;
const hanging: (() => void)[] = [];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'autoglm-evidence-'));
  engine = spawn(
    process.execPath,
    [
      '-e',
      `require('node:child_process').spawn('sleep', ['1000'], { stdio: 'ignore' }); setInterval(() => {}, 1000); console.log('up');`,
      '--',
      '--api-key',
      IN_ARGUMENTS,
    ],
    {
      detached: true,
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { PATH: process.env.PATH, MY_API_KEY: IN_ENVIRONMENT, AUTOGLM_OWNER: 'test:replica:m/0#1#0#0' },
    },
  );
  await new Promise((resolve) => engine.stdout?.once('data', resolve));
  server = createServer((request, response) => {
    if (request.url === '/metrics') response.end(`steps_total 5\nlabel{key="${TOLD}"} 1\n`);
    else hanging.push(() => response.end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  writeFileSync(
    join(directory, 'engine.log'),
    `${'x'.repeat(400_000)}\nloading\nReceived request r1: prompt: '${PROMPT}', params: 3\napi_key=${IN_ARGUMENTS}\nERROR dead, ${TOLD}\n`,
  );
});

afterEach(() => {
  process.kill(-(engine.pid as number), 'SIGKILL');
  for (const end of hanging.splice(0)) end();
  server.closeAllConnections();
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

function collector(
  settings: Partial<EvidenceSettings> = {},
  options: Partial<EvidenceOptions> = {},
): LocalEvidence {
  return new LocalEvidence({
    settings: { bytesMax: 1e9, bundlesMax: 50, deadlineMs: 5_000, prompts: false, ...settings },
    clock: systemClock,
    stateDir: directory,
    directory: join(directory, 'incidents'),
    processes: { pids: listPids, stat: readProcStat, variable: readProcVariable },
    path: `${join(directory, 'bin')}:/usr/bin:/bin`,
    gpuProgram: 'nvidia-smi',
    isOpen: () => false,
    log: () => {},
    ...options,
  });
}

function subject(over: Partial<EvidenceSubject> = {}): EvidenceSubject {
  const pid = engine.pid as number;
  return {
    incident: 'inc_a',
    replica: 'm/0',
    engine: 'vllm',
    generation: 1,
    process: { pid, startTicks: readProcStat(pid)?.startTicks ?? 0 },
    ownerPrefix: 'test:replica:m/0#1#',
    metricsUrl: `${url}/metrics`,
    logFile: join(directory, 'engine.log'),
    ...over,
  };
}

const material: EvidenceMaterial = {
  signals: { probes: [{ ok: false }], log: { lines: [`text: "${PROMPT}"`, `token: ${TOLD}`] } },
  requests: async () => ({ queued: 3, list: [{ id: 'r1', prompt: PROMPT, tokens: 5 }] }),
  configuration: { revision: 'abc', model: { env: ['MY_API_KEY'], args: ['--api-key', IN_ARGUMENTS] } },
  node: { release: '0.1.0' },
  secrets: [new Secret(TOLD)],
};

function program(name: string, script: string): void {
  mkdirSync(join(directory, 'bin'), { recursive: true });
  const file = join(directory, 'bin', name);
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
}

const within = (ms = 60_000) => AbortSignal.timeout(ms);
const partOf = (manifest: EvidenceManifest | undefined, name: EvidencePart) =>
  manifest?.parts.find((part) => part.name === name);
const read = (file: string, bundle = 1) =>
  readFileSync(join(directory, 'incidents/inc_a/evidence', String(bundle), file), 'utf8');

describe('a bundle of evidence', () => {
  it('has all parts, and of those that cannot be had the reason', async () => {
    program('nvidia-smi', 'echo "Driver Version : 1"');
    const evidence = collector();
    const { folder, tookMs } = await evidence.capture(subject(), material, within());
    expect(folder).toBe('incidents/inc_a/evidence');
    const [bundle] = await evidence.bundles('inc_a');
    expect(bundle?.manifest.parts.filter(({ state }) => state !== 'taken')).toEqual([]);
    expect(bundle?.manifest.parts).toHaveLength(10);
    expect(bundle?.manifest.tookMs).toBeLessThanOrEqual(tookMs);
    for (const { file, bytes } of bundle?.manifest.parts ?? [])
      expect(readFileSync(join(bundle?.path as string, file as string))).toHaveLength(bytes);
    expect(read('engine.log')).toMatch(/^loading\n/);
    expect(read('metrics.txt')).toContain('steps_total 5');
    expect(read('gpu.txt')).toContain('Driver Version');
    // Of the child too.
    expect(read('processes.txt').split('\n')).toHaveLength(4);
    expect(read('processes.txt')).toContain('sleep 1000');
    expect(read('stacks.txt')).toContain(`=== process ${engine.pid}, thread ${engine.pid}`);
    expect(read('stacks.txt')).toMatch(/^State:\s+[SR]/m);
    expect(JSON.parse(read('requests.json'))).toMatchObject({ queued: 3, list: [{ id: 'r1', tokens: 5 }] });
    expect(JSON.parse(read('node.json'))).toMatchObject({ release: '0.1.0', node: { pid: process.pid } });
  });

  it('has no secret and no prompt in any file', async () => {
    program('nvidia-smi', 'env');
    process.env.AUTOGLM_TEST_SECRET = IN_ENVIRONMENT;
    await collector().capture(subject(), material, within());
    delete process.env.AUTOGLM_TEST_SECRET;
    const files = readdirSync(join(directory, 'incidents/inc_a/evidence/1'));
    expect(files).toHaveLength(11);
    for (const file of files)
      for (const secret of [IN_ARGUMENTS, IN_ENVIRONMENT, TOLD, PROMPT])
        expect(read(file), `${file}: ${secret}`).not.toContain(secret);
    expect(read('engine.log')).toContain('prompt: [left out]');
    expect(read('processes.txt')).toContain('--api-key [secret]');
  });

  it('has prompts where the configuration permits it', async () => {
    await collector({ prompts: true }).capture(subject(), material, within());
    expect(read('engine.log')).toContain(PROMPT);
    expect(read('requests.json')).toContain(PROMPT);
    expect(read('engine.log')).not.toContain(TOLD);
  });

  it('says of a process that has ended, an engine elsewhere and a program that is not there what is missing', async () => {
    const evidence = collector({}, { path: '/nowhere' });
    const elsewhere = subject({
      process: null,
      ownerPrefix: 'test:replica:other#',
      metricsUrl: null,
      logFile: null,
    });
    const requests = () => Promise.reject(new Error('no gateway answers'));
    await evidence.capture(elsewhere, { ...material, requests }, within());
    const { parts } = (await evidence.bundles('inc_a'))[0]?.manifest as EvidenceManifest;
    expect(parts.filter(({ state }) => state === 'missing').map(({ name, why }) => [name, why])).toEqual([
      ['log', 'its log is not ours: it runs elsewhere'],
      ['stacks', 'none of its processes is left, or they are on another machine'],
      ['metrics', 'it has ended, or its address is not known'],
      ['requests', 'it could not be taken: Error: no gateway answers'],
      ['gpu', 'nvidia-smi is not installed here'],
      ['processes', 'none of its processes is left, or they are on another machine'],
    ]);
  });
});

describe('the deadline', () => {
  it('ends what hangs, keeps what there is of it, and the rest is whole', async () => {
    program('nvidia-smi', 'echo first; exec sleep 1000');
    const evidence = collector({ deadlineMs: 800 });
    const beganMs = performance.now();
    await evidence.capture(
      subject({ metricsUrl: `${url}/hangs` }),
      { ...material, requests: () => new Promise(() => {}) },
      within(),
    );
    expect(performance.now() - beganMs).toBeLessThan(1_500);
    const { manifest } = (await evidence.bundles('inc_a'))[0] ?? {};
    expect(partOf(manifest, 'gpu')).toMatchObject({ state: 'partly', file: 'gpu.txt' });
    expect(read('gpu.txt')).toBe('first\n');
    expect(partOf(manifest, 'requests')).toMatchObject({ state: 'missing', why: 'the time was over' });
    expect(partOf(manifest, 'metrics')?.why).toContain('did not answer within 500 ms');
    expect(partOf(manifest, 'stacks')?.state).toBe('taken');
  });

  it('of whoever asks counts too', async () => {
    program('nvidia-smi', 'exec sleep 1000');
    const evidence = collector({ deadlineMs: 60_000 });
    const beganMs = performance.now();
    const { folder } = await evidence.capture(subject(), material, within(400));
    expect(performance.now() - beganMs).toBeLessThan(1_200);
    expect(folder).not.toBeNull();
    expect(partOf((await evidence.bundles('inc_a'))[0]?.manifest, 'gpu')?.state).toBe('missing');
  });

  it('does not stop a stopped process from being seen', async () => {
    engine.kill('SIGSTOP');
    await collector().capture(subject(), material, within());
    expect(read('stacks.txt')).toMatch(/^State:\s+T/m);
  });

  it('of Python asks py-spy, and goes on with /proc when that fails', async () => {
    program('py-spy', 'echo "Thread 1 (active): asked with $*"; exit 3');
    const python = spawn('bash', ['-c', 'exec -a python sleep 1000'], { detached: true, stdio: 'ignore' });
    try {
      const pid = python.pid as number;
      await eventually(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('python'), 5_000);
      const identity = { pid, startTicks: readProcStat(pid)?.startTicks ?? 0 };
      await collector().capture(subject({ process: identity }), material, within());
      expect(read('stacks.txt')).toContain(`asked with dump --nonblocking --pid ${pid}`);
      expect(read('stacks.txt')).toContain('py-spy ended with code 3');
      expect(read('stacks.txt')).toContain(`=== process ${pid}, thread ${pid}`);
    } finally {
      python.kill('SIGKILL');
    }
  });
});

describe('the room for evidence', () => {
  it('is bounded by count and bytes: the oldest goes first, never that of an open incident', async () => {
    const evidence = collector({ bundlesMax: 3 }, { isOpen: (id) => id === 'inc_0' });
    for (let index = 0; index < 6; index++) {
      await evidence.capture(subject({ incident: `inc_${index}` }), material, within());
      await systemClock.sleep(5);
    }
    await eventually(async () => {
      const left = await Promise.all(
        [0, 1, 2, 3, 4, 5].map(async (index) => (await evidence.bundles(`inc_${index}`)).length),
      );
      return String(left) === '1,0,0,0,1,1';
    }, 5_000);
    const small = collector({ bytesMax: 1 });
    await small.capture(subject({ incident: 'inc_9' }), material, within());
    await eventually(async () => (await small.bundles('inc_9')).length === 0, 5_000);
  });

  it('has at most four bundles of one incident', async () => {
    const evidence = collector();
    for (let index = 0; index < 6; index++)
      expect((await evidence.capture(subject(), material, within())).folder).toBe('incidents/inc_a/evidence');
    expect(await evidence.bundles('inc_a')).toHaveLength(4);
    await evidence.forget('inc_a');
    expect(await evidence.bundles('inc_a')).toEqual([]);
  });

  it('that is not there makes nothing worse: nothing is written, and what would have been is told', async () => {
    writeFileSync(join(directory, 'incidents'), 'a file where the folder should be');
    const told: unknown[] = [];
    const evidence = collector({}, { log: (...words) => told.push(words) });
    expect((await evidence.capture(subject(), material, within())).folder).toBeNull();
    const [bundle] = await evidence.bundles('inc_a');
    expect(bundle?.path).toBeNull();
    expect(partOf(bundle?.manifest, 'log')).toMatchObject({ state: 'missing', bytes: 0 });
    expect(told).toHaveLength(1);
  });
});
