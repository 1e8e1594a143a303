/**
 * `autoglm memory` against real processes that carry the tags of engines, and a stand-in for nvidia-smi that prints what a real one
 * printed on an H100, with the ids of these processes.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { statePaths } from '../../../src/assembly/config/state-paths.ts';
import type { MemoryReport } from '../../../src/contract/memory-report.ts';
import { ROOT } from '../../support/serve-harness.ts';

const RECORDED = join(ROOT, 'tests/device/recordings/h100-driver-580');
const GPU = 'GPU-d12fac2d-0000-4000-8000-000000000001';

let folder: string;
let started: ChildProcess[];
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'autoglm-memory-')));
  started = [];
});
afterEach(async () => {
  await Promise.all(
    started.map((child) => {
      child.kill('SIGKILL');
      return new Promise((resolve) => child.once('exit', resolve));
    }),
  );
  rmSync(folder, { recursive: true, force: true });
});

async function start(owner?: string): Promise<number> {
  const env = { PATH: process.env.PATH, ...(owner !== undefined && { AUTOGLM_OWNER: owner }) };
  const child = spawn(process.execPath, ['-e', 'console.log(1); setInterval(() => {}, 1000)'], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
    env,
  });
  started.push(child);
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  return child.pid!;
}

function standIn(apps: string): string {
  const file = join(folder, 'nvidia-smi');
  writeFileSync(join(folder, 'apps'), apps);
  writeFileSync(
    file,
    `#!/bin/sh\ncase "$1" in\n--query-gpu=*) cat ${RECORDED}/held-gpus.out;;\n*) cat ${join(folder, 'apps')};;\nesac\n`,
  );
  chmodSync(file, 0o755);
  return file;
}

function memory(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(ROOT, 'bin/autoglm.mjs'), 'memory', '-c', join(folder, 'autoglm.yaml'), ...args],
    { encoding: 'utf8', env: { PATH: process.env.PATH, HOME: folder } },
  );
  return { code: status, stdout, stderr };
}

it('shows engines, strangers and what a former start left behind, with advice', async () => {
  const { instance } = statePaths(join(folder, 'state'));
  const tag = (generation: number) => `${instance}:replica:m/0#${generation}#0#ff`;
  const [engine, orphan, stranger] = [await start(tag(2)), await start(tag(1)), await start()];
  const apps = [
    `${GPU}, ${engine}, python3, 8000`,
    `${GPU}, ${orphan}, VLLM::EngineCore, 4000`,
    `${GPU}, ${stranger}, /opt/a, b/python, 3000`,
  ];
  writeFileSync(
    join(folder, 'autoglm.yaml'),
    `state_dir: ./state\nsignals: { nvidia_smi: ${standIn(`${apps.join('\n')}\n`)} }\nmodels: [{ model_name: m, engine: simulator }]\n`,
  );
  const { code, stdout } = memory('--json');
  expect(code).toBe(0);
  const report = JSON.parse(stdout) as MemoryReport;
  expect(report.gpus).toMatchObject([
    {
      id: '0',
      name: 'NVIDIA H100 80GB HBM3',
      foreignBytes: 3000 * 2 ** 20,
      holders: [
        { pid: engine, whose: 'engine', replica: 'm/0' },
        { pid: orphan, whose: 'orphan', replica: 'm/0' },
        { pid: stranger, whose: 'foreign', name: '/opt/a, b/python' },
      ],
    },
  ]);
  expect(report.engines).toMatchObject([
    { replica: 'm/0', engine: 'simulator', pid: engine, gpuBytes: 8000 * 2 ** 20 },
  ]);
  expect(report.engines[0]!.hostBytes).toBeGreaterThan(20 * 2 ** 20);
  expect(report.advice).toEqual([
    expect.stringContaining(
      `pid ${orphan} VLLM::EngineCore, left behind by a former start of m/0, holds 3.9 GiB`,
    ),
    expect.stringContaining(`pid ${stranger} /opt/a, b/python holds 2.9 GiB of GPU 0 that is not ours`),
    expect.stringContaining('1.9 GiB of GPU 0 is in use by processes that cannot be seen from here'),
  ]);
  const table = memory('--for', '2').stdout;
  expect(table).toMatch(new RegExp(`^m/0 +simulator +${engine} `, 'm'));
  expect(table).toContain('What to do');
});

it('says that there is no GPU, and refuses a time that is none', () => {
  writeFileSync(join(folder, 'autoglm.yaml'), 'state_dir: ./state\nsignals: { nvidia_smi: ./nowhere }\n');
  const { code, stdout } = memory();
  expect(code).toBe(0);
  expect(stdout).toMatch(/no GPU is seen here/);
  expect(stdout).toMatch(/nowhere was not found/);
  const refused = memory('--for', 'ever');
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toMatch(/would be right: seconds from 1 to 86400/);
});
