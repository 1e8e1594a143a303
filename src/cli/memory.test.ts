import { expect, it } from 'vitest';
import type { MemoryReport } from '../contract/memory-report.ts';
import { renderMemory } from './memory.ts';

const plain = (text: string) => text;
const colors = new Proxy({}, { get: () => plain }) as never;
const GIB = 2 ** 30;

const report: MemoryReport = {
  gpus: [
    {
      id: '0',
      name: 'NVIDIA H100 80GB HBM3',
      reachable: true,
      totalBytes: 79.6 * GIB,
      usedBytes: 52.7 * GIB,
      freeBytes: 26.4 * GIB,
      reservedBytes: 0.5 * GIB,
      foreignBytes: 12.3 * GIB,
      unaccountedBytes: 0,
      holders: [
        { pid: 100, name: 'VLLM::EngineCore', bytes: 40 * GIB, whose: 'engine', replica: 'm/0' },
        { pid: 4711, name: 'python\u001b[31m', bytes: 12.3 * GIB, whose: 'foreign' },
      ],
    },
  ],
  engines: [
    {
      replica: 'm/0',
      engine: 'vllm',
      pid: 99,
      hostBytes: 6.2 * GIB,
      gpuBytes: 40 * GIB,
      hostGrowthBytesPerHour: 0.8 * GIB,
      gpuGrowthBytesPerHour: null,
      limitBytes: 16 * GIB,
      hoursToLimit: 12.25,
      leakSuspected: true,
      unusedReserveBytes: null,
    },
  ],
  host: { freeBytes: 100 * GIB, shmFreeBytes: 63 * 2 ** 20 },
  advice: ['pid 4711 python holds 12.3 GiB of GPU 0 that is not ours; end it'],
  unavailable: ['cgroup: none'],
};

it('shows who holds what, and what to do, and lets no escape sequence of a program through', () => {
  const text = renderMemory(report, { colors, columns: 100 } as never, true).join('\n');
  expect(text).toMatch(
    /^0 NVIDIA H100 80GB HBM3 +79\.6 GiB +52\.7 GiB +26\.4 GiB +100 +40\.0 GiB +m\/0 +VLLM::EngineCore$/m,
  );
  expect(text).toMatch(/^ +4711 +12\.3 GiB +foreign +python/m);
  expect(text).toMatch(/^m\/0 +vllm +99 +6\.2 GiB +\+819 MiB +16\.0 GiB +40\.0 GiB +-$/m);
  expect(text).toContain('host      100.0 GiB free, shared memory 63 MiB free');
  expect(text).toMatch(/What to do\n- pid 4711 python holds 12\.3 GiB/);
  expect(text).toMatch(/Not seen\n- cgroup: none$/);
  expect(text).not.toContain('\u001b');
});

it('says that there is nothing, where there is nothing', () => {
  const nothing = { ...report, gpus: [], engines: [], advice: [], unavailable: [] };
  const lines = renderMemory(nothing, { colors, columns: undefined } as never, false);
  expect(lines).toContain('no GPU is seen here');
  expect(lines).toContain('no engine of this installation runs here');
  expect(lines).toContain('nothing to do');
});
