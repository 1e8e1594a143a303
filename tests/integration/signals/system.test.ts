/**
 * Goal: what sources see reaches diagnosis and metrics of a whole system, and only the engine that it is about. Method: `serve` with
 * two simulated engines, a file as kernel log, a stand-in for nvidia-smi with two GPUs of which each engine may see one, and a
 * plug-in.
 */
import { appendFileSync, chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { factsOf } from '../../support/heal.ts';
import { type SystemUnderTest, simulatorPool, startSystem } from '../../support/system-under-test.ts';

const RECORDED_ROW =
  'NVIDIA H100 80GB HBM3, %, 580.159.04, 81559, 480, 16979, 64101, 99, 9, 60, 677.20, 700.00, 1980, 1980, 0x0000000000000000, 0, 0, No, No';

let folder: string;
let kernelLog: string;
let system: SystemUnderTest | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'autoglm-sources-'));
  kernelLog = join(folder, 'kmsg');
});
afterEach(async () => {
  await system?.stop();
  system = undefined;
  rmSync(folder, { recursive: true, force: true });
});

function script(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  chmodSync(file, 0o755);
  return file;
}

const row = (index: number, pci: string) => `${index}, GPU-${index}, ${RECORDED_ROW.replace('%', pci)}`;

it('tells a lost GPU to the engine that uses it, shows what it sees as metrics, and asks plug-ins', async () => {
  writeFileSync(
    kernelLog,
    '[ 1.0] NVRM: Xid (PCI:0000:3b:00): 79, pid=1, name=x, GPU has fallen off the bus.\n',
  );
  const nvidiaSmi = script(
    'nvidia-smi',
    `#!/bin/sh\ncase "$1" in\n--query-gpu=*) echo "${row(0, '00000000:3B:00.0')}"; echo "${row(1, '00000000:5E:00.0')}";;\nesac\n`,
  );
  const plugin = script(
    'mine.mjs',
    `export default ({ log }) => { log('made'); return { name: 'mine', metrics: ['host_memory'], close() {}, look: async () => ({ memoryUsedBytes: 4711, unavailable: ['mine: sees only half'] }) }; };`,
  );
  const onGpu = (name: string, gpu: number) => ({
    ...simulatorPool(name, 1),
    env: { CUDA_VISIBLE_DEVICES: String(gpu) },
  });
  system = await startSystem({
    signals: { kernel_log: kernelLog, nvidia_smi: nvidiaSmi },
    signal_sources: [plugin],
    models: [onGpu('first', 0), onGpu('second', 1)],
  });
  await system.until(({ pools }) => pools.every(({ ready }) => ready === 1));
  const metrics = await untilMetrics(system, /^autoglm_replica_gpu_memory_bytes\{.*deployment="second\/0"/m);
  const sample = (name: string, labels: string) => {
    const line = metrics.split('\n').find((text) => text.startsWith(`${name}{`) && text.includes(labels));
    return line === undefined ? undefined : Number(line.split(' ').at(-1));
  };
  expect(sample('autoglm_replica_resident_bytes', 'deployment="first/0"')).toBeGreaterThan(20 * 2 ** 20);
  expect(sample('autoglm_replica_process_findings', 'deployment="first/0",kind="unexpected"')).toBe(0);
  expect(sample('autoglm_replica_memory_used_bytes', 'deployment="first/0"')).toBe(4711);
  const used = 'deployment="second/0",gpu="1",kind="used"';
  expect(sample('autoglm_replica_gpu_memory_bytes', used)).toBe(16_979 * 2 ** 20);
  expect(sample('autoglm_replica_gpu_memory_bytes', 'deployment="second/0",gpu="0"')).toBeUndefined();

  appendFileSync(
    kernelLog,
    '[ 9.0] NVRM: Xid (PCI:0000:3b:00): 79, pid=1, name=x, GPU has fallen off the bus.\n',
  );
  const opened = await untilIncident(system, 'first/0');
  expect(opened.diagnosis.class).toBe('gpu-lost');
  expect(JSON.stringify(opened.diagnosis.evidence)).toMatch(/Xid \(PCI:0000:3b:00\): 79/);
  expect(await factsOf(system, 'incidentOpened', 'second/0')).toEqual([]);
  expect(system.output()).not.toMatch(/could not be looked at/);
});

async function untilMetrics(on: SystemUnderTest, wanted: RegExp): Promise<string> {
  for (let tries = 0; tries < 100; tries++) {
    const text = await (await fetch(`${on.adminUrl()}/metrics`)).text();
    if (wanted.test(text)) return text;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`/metrics never showed ${wanted}`);
}

async function untilIncident(on: SystemUnderTest, replica: string) {
  for (let tries = 0; tries < 100; tries++) {
    const [opened] = await factsOf(on, 'incidentOpened', replica);
    if (opened !== undefined) return opened;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`no incident of ${replica} was opened`);
}
