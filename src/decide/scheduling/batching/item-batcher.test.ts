import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Batch, type BatchItem, ItemBatcher, split } from './item-batcher.ts';

interface Item extends BatchItem {
  id: number;
  bad: boolean;
}
const settings = { sizeMax: 4, weightMax: 100, waitMaxMs: 10, pendingMax: 50 };
const item = (id: number, change: Partial<Item> = {}): Item => ({
  id,
  key: 'k',
  weight: 1,
  bad: false,
  ...change,
});

it('sends a batch when it is full, or when its first item has waited long enough', () => {
  const batcher = new ItemBatcher<Item>(settings);
  for (let id = 0; id < 6; id++) batcher.add(item(id), id);
  expect(batcher.due(5)?.items.map(({ id }) => id)).toEqual([0, 1, 2, 3]);
  expect(batcher.due(5)).toBeUndefined();
  expect(batcher.nextDueMs).toBe(14);
  expect(batcher.due(13)).toBeUndefined();
  expect(batcher.due(14)?.items.map(({ id }) => id)).toEqual([4, 5]);
  expect(batcher.nextDueMs).toBe(Number.POSITIVE_INFINITY);
});

it('sends an item that is heavier than a batch may be alone', () => {
  const batcher = new ItemBatcher<Item>(settings);
  for (const weight of [60, 30, 500, 5]) batcher.add(item(weight, { weight }), 0);
  const sizes = [batcher.due(10), batcher.due(10), batcher.due(10)].map((batch) => batch?.items.length);
  expect(sizes).toEqual([2, 1, 1]);
});

it('loses, doubles and reorders nothing, keeps its bounds and waits no longer than it may (property)', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), key: fc.nat(2), weight: fc.integer({ min: 1, max: 80 }) }),
    fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(8) }),
    fc.record({ kind: fc.constant('leave' as const), which: fc.nat() }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const batcher = new ItemBatcher<Item>(settings);
      const waiting = new Map<Item, number>();
      let nowMs = 0;
      let ids = 0;
      const last = new Map<string, number>();
      const drain = () => {
        for (let batch = batcher.due(nowMs); batch !== undefined; batch = batcher.due(nowMs)) {
          expect(batch.items.length).toBeLessThanOrEqual(settings.sizeMax);
          const weight = batch.items.reduce((sum, one) => sum + one.weight, 0);
          if (batch.items.length > 1) expect(weight).toBeLessThanOrEqual(settings.weightMax);
          for (const one of batch.items) {
            expect(one.key).toBe(batch.key);
            expect(waiting.delete(one)).toBe(true);
            expect(one.id).toBeGreaterThan(last.get(one.key) ?? -1);
            last.set(one.key, one.id);
          }
        }
        for (const atMs of waiting.values()) expect(nowMs - atMs).toBeLessThan(settings.waitMaxMs);
      };
      for (const one of steps) {
        if (one.kind === 'pass') nowMs += one.ms;
        else if (one.kind === 'add') {
          const added = item(ids++, { key: `k${one.key}`, weight: one.weight });
          const room = waiting.size < settings.pendingMax;
          expect(batcher.add(added, nowMs)).toBe(room);
          if (room) waiting.set(added, nowMs);
        } else {
          const gone = [...waiting.keys()][one.which % Math.max(1, waiting.size)];
          if (gone !== undefined) {
            expect([batcher.remove(gone), batcher.remove(gone)]).toEqual([true, false]);
            waiting.delete(gone);
          }
        }
        drain();
        expect(batcher.pending).toBe(waiting.size);
      }
    }),
    { numRuns: 2_000 },
  );
});

it('refuses beyond its bound', () => {
  const batcher = new ItemBatcher<Item>({ ...settings, pendingMax: 2 });
  expect([0, 1, 2].map((id) => batcher.add(item(id), 0))).toEqual([true, true, false]);
});

it('lets bad items fail alone, in bounded calls (property)', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 64 }), (bads) => {
      const items = bads.map((bad, id) => item(id, { bad }));
      const open: Batch<Item>[] = [{ key: 'k', items }];
      const answered: number[] = [];
      const refused: number[] = [];
      let calls = 0;
      for (let batch = open.shift(); batch !== undefined; batch = open.shift()) {
        calls++;
        if (!batch.items.some(({ bad }) => bad)) answered.push(...batch.items.map(({ id }) => id));
        else if (batch.items.length === 1) refused.push(batch.items[0]!.id);
        else open.unshift(...split(batch));
      }
      const of = (bad: boolean) => items.filter((one) => one.bad === bad).map(({ id }) => id);
      expect([answered, refused]).toEqual([of(false), of(true)]);
      expect(calls).toBeLessThanOrEqual(2 * items.length - 1);
      if (refused.length === 1) expect(calls).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(items.length)) + 1);
    }),
    { numRuns: 2_000 },
  );
});
