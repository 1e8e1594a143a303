import { expect, it } from 'vitest';
import { poolOf, TEST_SETTINGS } from '../../../../tests/support/gateway-under-test.ts';
import type { SlottedSnapshot } from '../fleet-table.ts';
import { PROGRESS_BYTES, ProgressCells, ProgressWatch } from './progress.ts';

const slotted = (model: string): SlottedSnapshot => ({
  snapshot: {
    version: { epoch: 1, seq: 1 },
    settings: TEST_SETTINGS,
    fleet: { pools: [poolOf(model, [{ url: 'http://x' }, { url: 'http://y' }])] },
  },
  replicaSlots: { [`${model}/0`]: 0, [`${model}/1`]: 1 },
  poolSlots: {},
  limitSlots: {},
});

it('says how long ago a replica gave anything, and nothing of one that never did or is another', () => {
  let nowMs = 0;
  const memory = new SharedArrayBuffer(PROGRESS_BYTES);
  const worker = new ProgressCells(memory);
  const watch = new ProgressWatch(memory, { monotonicMs: () => nowMs });
  worker.note(0);
  watch.update(slotted('a'));
  watch.tick();
  expect(watch.all()).toEqual({});
  worker.note(0);
  nowMs = 1_000;
  watch.tick();
  nowMs = 1_700;
  watch.tick();
  expect(watch.sinceMs(0)).toBe(700);
  expect(watch.sinceMs(1)).toBe(Number.POSITIVE_INFINITY);
  expect(watch.all()).toEqual({ 'a/0': 700 });
  watch.update(slotted('b'));
  expect(watch.all()).toEqual({});
});
