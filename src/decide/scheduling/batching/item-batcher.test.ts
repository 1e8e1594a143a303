import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BatchCeiling } from './batch-ceiling.ts';
import { type Batch, type BatchItem, ItemBatcher, split } from './item-batcher.ts';
import { maySplit, splitBudget } from './refused-batch.ts';

interface Item extends BatchItem {
  id: number;
  bad: boolean;
}
const settings = { unitsMax: 4, weightMax: 100, waitMaxMs: 10, pendingMax: 50 };
const item = (id: number, change: Partial<Item> = {}): Item => ({
  id,
  key: 'k',
  units: 1,
  weight: 1,
  bad: false,
  ...change,
});
const idsOf = (batches: Batch<Item>[]) => batches.map(({ items }) => items.map(({ id }) => id));

/** With one item of the key under way, so that others wait. */
function busy(change: Partial<typeof settings> = {}): ItemBatcher<Item> {
  const batcher = new ItemBatcher<Item>({ ...settings, ...change });
  batcher.add(item(-1), 0);
  expect(idsOf(batcher.takeDue(0))).toEqual([[-1]]);
  return batcher;
}

describe('ItemBatcher', () => {
  it('lets a lone item go at once, and what comes meanwhile when that has ended', () => {
    const batcher = busy();
    for (const id of [0, 1]) batcher.add(item(id), 1);
    expect(batcher.takeDue(1)).toEqual([]);
    batcher.add(item(2, { key: 'other' }), 1);
    expect(idsOf(batcher.takeDue(1))).toEqual([[2]]);
    batcher.ended('k');
    expect(idsOf(batcher.takeDue(2))).toEqual([[0, 1]]);
    batcher.ended('k');
    batcher.ended('other');
    expect(batcher.isIdle).toBe(true);
  });

  it('sends a batch when it is full, or when its first item has waited long enough', () => {
    const batcher = busy();
    for (let id = 0; id < 6; id++) batcher.add(item(id), id);
    expect(idsOf(batcher.takeDue(5))).toEqual([[0, 1, 2, 3]]);
    expect(batcher.nextDueMs).toBe(14);
    expect(batcher.takeDue(13)).toEqual([]);
    expect(idsOf(batcher.takeDue(14))).toEqual([[4, 5]]);
    expect(batcher.nextDueMs).toBe(Number.POSITIVE_INFINITY);
  });

  it('counts inputs, not requests, and sends alone what is larger than a batch may be', () => {
    const batcher = busy();
    for (const units of [3, 2, 2, 9, 1]) batcher.add(item(units, { units }), 0);
    expect(idsOf(batcher.takeDue(0))).toEqual([[3], [2, 2], [9]]);
    expect(idsOf(batcher.takeDue(10))).toEqual([[1]]);
  });

  it('sends alone what is heavier than a batch may be', () => {
    const batcher = busy();
    for (const weight of [60, 30, 500, 5]) batcher.add(item(weight, { weight }), 0);
    expect(idsOf(batcher.takeDue(10))).toEqual([[60, 30], [500], [5]]);
  });

  it('loses, doubles and reorders nothing, keeps its bounds, waits no longer than it may and never for nobody (property)', () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('add' as const),
        key: fc.nat(2),
        units: fc.integer({ min: 1, max: 6 }),
        weight: fc.integer({ min: 1, max: 80 }),
      }),
      fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(8) }),
      fc.record({ kind: fc.constant('leave' as const), which: fc.nat() }),
      fc.record({ kind: fc.constant('end' as const), which: fc.nat() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const batcher = new ItemBatcher<Item>(settings);
        const waiting = new Map<Item, number>();
        const underWay: string[] = [];
        let nowMs = 0;
        let ids = 0;
        const last = new Map<string, number>();
        const drain = () => {
          for (const { key, items } of batcher.takeDue(nowMs)) {
            underWay.push(key);
            const sum = (name: 'units' | 'weight') => items.reduce((total, one) => total + one[name], 0);
            if (items.length > 1) expect(sum('units')).toBeLessThanOrEqual(settings.unitsMax);
            if (items.length > 1) expect(sum('weight')).toBeLessThanOrEqual(settings.weightMax);
            for (const one of items) {
              expect(one.key).toBe(key);
              expect(waiting.delete(one)).toBe(true);
              expect(one.id).toBeGreaterThan(last.get(one.key) ?? -1);
              last.set(one.key, one.id);
            }
          }
          for (const [{ key }, atMs] of waiting) {
            expect(nowMs - atMs).toBeLessThan(settings.waitMaxMs);
            expect(underWay).toContain(key);
          }
        };
        for (const one of steps) {
          if (one.kind === 'pass') nowMs += one.ms;
          else if (one.kind === 'add') {
            const added = item(ids++, { key: `k${one.key}`, units: one.units, weight: one.weight });
            const room = waiting.size < settings.pendingMax;
            expect(batcher.add(added, nowMs)).toBe(room);
            if (room) waiting.set(added, nowMs);
          } else if (one.kind === 'leave') {
            const gone = [...waiting.keys()][one.which % Math.max(1, waiting.size)];
            if (gone !== undefined) {
              expect([batcher.remove(gone), batcher.remove(gone)]).toEqual([true, false]);
              waiting.delete(gone);
            }
          } else if (underWay.length > 0) {
            batcher.ended(underWay.splice(one.which % underWay.length, 1)[0] as string);
          }
          drain();
          expect(batcher.pending).toBe(waiting.size);
          expect(batcher.isIdle).toBe(waiting.size === 0 && underWay.length === 0);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('refuses beyond its bound', () => {
    const batcher = new ItemBatcher<Item>({ ...settings, pendingMax: 2 });
    expect([0, 1, 2].map((id) => batcher.add(item(id), 0))).toEqual([true, true, false]);
  });

  it('takes other settings while items wait', () => {
    const batcher = busy();
    for (const id of [0, 1, 2]) batcher.add(item(id), 0);
    batcher.update({ ...settings, unitsMax: 2 });
    expect(idsOf(batcher.takeDue(0))).toEqual([[0, 1]]);
  });
});

/** Sends a batch of which an engine refuses every part that holds a bad item. */
function send(bads: readonly boolean[], status: number) {
  const items = bads.map((bad, id) => item(id, { bad }));
  const budget = splitBudget(items.length);
  const open: Batch<Item>[] = [{ key: 'k', items }];
  const answered: number[] = [];
  const refused: number[] = [];
  let calls = 0;
  for (let batch = open.shift(); batch !== undefined; batch = open.shift()) {
    calls++;
    const ids = batch.items.map(({ id }) => id);
    if (!batch.items.some(({ bad }) => bad)) answered.push(...ids);
    else if (ids.length > 1 && maySplit(status, budget)) open.unshift(...split(batch));
    else refused.push(...ids);
  }
  const of = (bad: boolean) => items.filter((one) => one.bad === bad).map(({ id }) => id);
  return { answered, refused, calls, good: of(false), bad: of(true) };
}

const someBads = fc.array(fc.boolean(), { minLength: 1, maxLength: 64 });

describe('a refused batch', () => {
  it.each([400, 413, 422])('lets bad items fail alone, in bounded calls, after %d (property)', (status) => {
    fc.assert(
      fc.property(someBads, (bads) => {
        const { answered, refused, calls, good, bad } = send(bads, status);
        expect([answered, refused]).toEqual([good, bad]);
        expect(calls).toBeLessThanOrEqual(2 * bads.length - 1);
        if (refused.length === 1)
          expect(calls).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(bads.length)) + 1);
      }),
      { numRuns: 1_000 },
    );
  });

  it('finds one item that breaks an engine, and asks no more of one that is broken anyway (property)', () => {
    fc.assert(
      fc.property(someBads, fc.nat(), (all, at) => {
        const callsMax = 2 * Math.ceil(Math.log2(Math.max(2, all.length))) + 1;
        const one = send(
          all.map((_, index) => index === at % all.length),
          500,
        );
        expect(one.refused).toEqual(one.bad);
        expect(one.calls).toBeLessThanOrEqual(callsMax);
        expect(
          send(
            all.map(() => true),
            500,
          ).calls,
        ).toBeLessThanOrEqual(callsMax);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([401, 404, 429, 502, 503])('is not split after %d, which is true of each item', (status) => {
    expect(send([true, false], status).refused).toEqual([0, 1]);
  });
});

it('makes no batch for a minute that is larger than what an engine has taken', () => {
  const ceiling = new BatchCeiling();
  expect(ceiling.unitsMax(64, 0)).toBe(64);
  ceiling.lower(16, 1_000);
  ceiling.lower(32, 2_000);
  expect([ceiling.unitsMax(64, 3_000), ceiling.unitsMax(8, 3_000)]).toEqual([16, 8]);
  expect(ceiling.unitsMax(64, 62_000)).toBe(64);
  ceiling.lower(32, 63_000);
  expect(ceiling.unitsMax(64, 63_000)).toBe(32);
});
