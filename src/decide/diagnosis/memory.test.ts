import { describe, expect, it } from 'vitest';
import type { MemoryHolder } from '../../contract/memory-report.ts';
import { allocatorIn, analyseMemory, type EngineView, type MemoryView } from './memory.ts';
import type { Point } from './signals.ts';

const GIB = 2 ** 30;

function gpu(
  holders: MemoryHolder[],
  over: Partial<MemoryView['gpus'][number]> = {},
): MemoryView['gpus'][number] {
  const usedBytes = holders.reduce((sum, { bytes }) => sum + bytes, 0) + 0.4 * GIB;
  return {
    id: '0',
    reachable: true,
    totalBytes: 80 * GIB,
    usedBytes,
    freeBytes: 79 * GIB - usedBytes,
    reservedBytes: GIB,
    holders,
    ...over,
  };
}

const engine: EngineView = { replica: 'm/0', engine: 'vllm', pid: 100, host: [], gpu: [] };
const analyse = (over: Partial<MemoryView>) =>
  analyseMemory({ gpus: [], engines: [], unavailable: [], ...over });

/** A point each 2 s. */
function series(count: number, valueAt: (hours: number, index: number) => number): Point[] {
  return Array.from({ length: count }, (_, index) => ({
    atMs: index * 2_000,
    value: valueAt((index * 2_000) / 3_600_000, index),
  }));
}

const own = { pid: 100, name: 'VLLM::EngineCore', bytes: 40 * GIB, whose: 'engine', replica: 'm/0' } as const;

describe('memory of GPUs', () => {
  it('needs no advice when only engines hold it, and there is some left', () => {
    const { advice, gpus } = analyse({ gpus: [gpu([own])] });
    expect(advice).toEqual([]);
    expect(gpus[0]?.foreignBytes).toBe(0);
    expect(gpus[0]!.unaccountedBytes! / GIB).toBeCloseTo(0.4);
  });

  it('names strangers, and the share that fits beside them', () => {
    const stranger = { pid: 4711, name: 'python', bytes: 12.3 * GIB, whose: 'foreign' } as const;
    const small = { pid: 4712, name: 'Xorg', bytes: 9e6, whose: 'foreign' } as const;
    const { advice, gpus } = analyse({ gpus: [gpu([stranger, own, small])] });
    expect(gpus[0]?.holders.map(({ pid }) => pid)).toEqual([100, 4711, 4712]);
    expect(advice).toEqual([
      'pid 4711 python holds 12.3 GiB of GPU 0 that is not ours; end it, or start engines with a share of the GPU that fits beside it: at most 0.81 of it',
    ]);
    const whole = { ...stranger, bytes: 76 * GIB };
    expect(analyse({ gpus: [gpu([whole])] }).advice[0]).toMatch(/; end it, or use another GPU$/);
  });

  it('names what a former start left behind', () => {
    const orphan = {
      pid: 9,
      name: 'VLLM::Worker_TP1',
      bytes: 30 * GIB,
      whose: 'orphan',
      replica: 'm/0',
    } as const;
    expect(analyse({ gpus: [gpu([orphan])] }).advice).toEqual([
      'pid 9 VLLM::Worker_TP1, left behind by a former start of m/0, holds 30.0 GiB of GPU 0; end it before that engine is started again',
    ]);
  });

  it('says that memory is gone that nobody seems to hold, that little is left, and that a GPU is gone', () => {
    const hidden = gpu([], { usedBytes: 20 * GIB, freeBytes: 59 * GIB });
    expect(analyse({ gpus: [hidden] }).advice[0]).toMatch(
      /^20\.0 GiB of GPU 0 is in use by processes that cannot/,
    );
    const full = gpu([{ ...own, bytes: 78 * GIB }]);
    expect(analyse({ gpus: [full] }).advice[0]).toMatch(/^GPU 0 has 0\.6 GiB of 80\.0 GiB free;/);
    const lost = { id: '1', reachable: false, holders: [] };
    expect(analyse({ gpus: [lost] }).advice[0]).toMatch(/^GPU 1 cannot be reached;/);
  });
});

describe('memory of engines', () => {
  it('grows, and the time to its limit is told', () => {
    const host = series(60, (hours, index) => 10 * GIB + hours * 0.8 * GIB + (index % 2) * 1e5);
    const { engines, advice } = analyse({ engines: [{ ...engine, host, limitBytes: 14 * GIB }] });
    expect(engines[0]?.leakSuspected).toBe(true);
    expect(engines[0]!.hostGrowthBytesPerHour! / GIB).toBeCloseTo(0.8, 1);
    expect(engines[0]?.hoursToLimit).toBeCloseTo(5, 0);
    expect(advice).toEqual([
      expect.stringMatching(
        /^m\/0 takes 0\.8 GiB of host memory more per hour \(now 10\.0 GiB\) and reaches its limit of 14\.0 GiB in about 5\.\d h; restart it before that/,
      ),
    ]);
  });

  it('does not grow when it only moves, was watched too shortly, or shrinks', () => {
    const noise = series(60, (_hours, index) => 10 * GIB + (index % 7) * 50e6);
    const short = series(5, (hours) => 10 * GIB + hours * 100 * GIB);
    const down = series(60, (hours) => 10 * GIB - hours * GIB);
    const still = series(60, () => GIB);
    for (const host of [noise, short, down, still, []]) {
      const { engines, advice } = analyse({ engines: [{ ...engine, host, limitBytes: 11 * GIB }] });
      expect(engines[0]).toMatchObject({ leakSuspected: false, hoursToLimit: null });
      expect(advice).toEqual([]);
    }
  });

  it('is a leak when a GPU loses it while an engine serves', () => {
    const { advice } = analyse({
      engines: [{ ...engine, gpu: series(60, (hours) => 40 * GIB + hours * 3 * GIB) }],
    });
    expect(advice).toEqual([
      'm/0 takes 3.0 GiB of GPU memory more per hour; engines take theirs when they start, so this looks like a leak',
    ]);
  });

  it('is fragmented where the allocator keeps much that it cannot use', () => {
    const line =
      'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.10 GiB is free. Of the allocated memory 12.25 GiB is allocated by PyTorch, and 4.00 GiB is reserved by PyTorch but unallocated.';
    const allocator = allocatorIn(['x', line, 'y'])!;
    expect(allocator).toEqual({ allocatedBytes: 12.25 * GIB, unusedBytes: 4 * GIB });
    const gpuSeries = [{ atMs: 0, value: 16.5 * GIB }];
    expect(analyse({ engines: [{ ...engine, gpu: gpuSeries, allocator }] }).advice[0]).toMatch(
      /^the allocator of m\/0 keeps 4\.0 GiB that it cannot use, which is fragmentation;/,
    );
    expect(allocatorIn(['nothing'])).toBeNull();
  });
});

it('says that shared memory is too little', () => {
  expect(analyse({ shmFreeBytes: 2 ** 20 }).advice[0]).toMatch(
    /^shared memory has 0\.0 GiB free; give a container/,
  );
});
