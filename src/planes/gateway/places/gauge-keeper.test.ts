import { expect, it } from 'vitest';
import { poolOf, TEST_SETTINGS } from '../../../../tests/support/gateway-under-test.ts';
import type { GpuGauges } from '../../../wire/prometheus/gpu-gauges.ts';
import { createSharedMemory } from '../shared-memory.ts';
import { GaugeCells } from './gauge-cells.ts';
import { GaugeKeeper } from './gauge-keeper.ts';

function setUp() {
  let nowMs = 0;
  const answers = new Map<string, GpuGauges | null>();
  const cells = new GaugeCells(createSharedMemory().gauges);
  const keeper = new GaugeKeeper({
    cells,
    clock: { monotonicMs: () => nowMs },
    read: async (url) => answers.get(url) ?? null,
  });
  const see = (urls: (string | undefined)[]) => {
    const pool = poolOf(
      'm',
      urls.map(() => ({ url: 'http://x' })),
    );
    for (const [index, url] of urls.entries())
      if (url !== undefined) pool.replicas[index]!.gpuMetricsUrl = url;
    keeper.update({
      snapshot: { version: { epoch: 1, seq: 1 }, settings: TEST_SETTINGS, fleet: { pools: [pool] } },
      replicaSlots: Object.fromEntries(urls.map((_, index) => [`m/${index}`, index])),
      poolSlots: { m: 0 },
      limitSlots: {},
    });
  };
  const pass = async (ms: number) => {
    nowMs += ms;
    await keeper.poll();
  };
  return { answers, cells, see, pass };
}

it('knows of each replica what its exporter said last, and nothing of others', async () => {
  const { answers, cells, see, pass } = setUp();
  see(['http://a', undefined]);
  answers.set('http://a', { gpuLoad: 0.25, memoryUsage: 0.5 });
  await pass(2_000);
  expect([cells.gpuLoad(0), cells.memoryUsage(0), cells.gpuLoad(1)]).toEqual([0.25, 0.5, Number.NaN]);
});

it('believes a silent exporter for a while, and then nothing', async () => {
  const { answers, cells, see, pass } = setUp();
  see(['http://a']);
  answers.set('http://a', { gpuLoad: 1, memoryUsage: 0 });
  await pass(2_000);
  answers.clear();
  await pass(9_000);
  expect(cells.gpuLoad(0)).toBe(1);
  await pass(2_000);
  expect(cells.gpuLoad(0)).toBeNaN();
});

it('forgets what was said of a replica that is gone', async () => {
  const { answers, cells, see, pass } = setUp();
  see(['http://a']);
  answers.set('http://a', { gpuLoad: 1, memoryUsage: 1 });
  await pass(1);
  see([undefined]);
  expect(cells.gpuLoad(0)).toBeNaN();
});
