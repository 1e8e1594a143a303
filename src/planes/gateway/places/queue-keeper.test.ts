import { expect, it } from 'vitest';
import { createSharedMemory } from '../shared-memory.ts';
import { LoadCells } from './load-cells.ts';
import { QueueKeeper } from './queue-keeper.ts';

function setUp() {
  let nowMs = 0;
  let cpuMs = 0;
  const { load } = createSharedMemory();
  const keeper = new QueueKeeper({
    cells: new LoadCells(load),
    clock: { monotonicMs: () => nowMs },
    cpuMs: () => cpuMs,
    processors: 2,
  });
  const worker = new LoadCells(load);
  const pass = (turns: number, { delayMs = 1, gcMs = 0, waitedMs = 0, cpu = 0.1, adaptive = true } = {}) => {
    for (let turn = 0; turn < turns; turn++) {
      nowMs += 250;
      cpuMs += 250 * 2 * cpu;
      worker.reportWorker(1, { eventLoopDelayMs: delayMs, gcPauseMs: gcMs });
      if (waitedMs > 0) worker.waited(waitedMs);
      keeper.tick({ queueAdaptive: adaptive, queueTimeoutMs: 10_000 });
    }
    return worker.queueShare;
  };
  return { keeper, pass };
}

it('leaves queues as they are configured while all is calm', () => {
  expect(setUp().pass(20)).toBe(1);
});

it.each([
  ['a worker whose event loop stalls', { delayMs: 400 }],
  ['garbage collection', { gcMs: 100 }],
  ['processors that are all in use', { cpu: 1 }],
  ['requests that wait nearly as long as they may', { waitedMs: 9_500 }],
])('shortens queues under pressure of %s, and lengthens them again', (_, pressure) => {
  const { pass } = setUp();
  const short = pass(40, pressure);
  expect(short).toBeLessThan(0.5);
  expect(short).toBeGreaterThanOrEqual(0.1);
  expect(pass(40)).toBe(1);
});

it('says which signal presses', () => {
  const { keeper, pass } = setUp();
  pass(10, { delayMs: 400 });
  expect(keeper.pressure.signal).toBe('eventLoopDelayMs');
});

it('does nothing where it is turned off', () => {
  expect(setUp().pass(40, { delayMs: 400, adaptive: false })).toBe(1);
});
