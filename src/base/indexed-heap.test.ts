import fc from 'fast-check';
import { expect, it } from 'vitest';
import { IndexedHeap } from './indexed-heap.ts';

it('gives items in order, also after some moved or left (property)', () => {
  const change = fc.record({ which: fc.nat(), to: fc.nat(100), leaves: fc.boolean() });
  fc.assert(
    fc.property(fc.array(fc.nat(100)), fc.array(change), (values, changes) => {
      const heap = new IndexedHeap<{ value: number; heapAt: number }>((a, b) => a.value < b.value);
      const items = values.map((value) => ({ value, heapAt: -1 }));
      for (const item of items) heap.push(item);
      const left = new Set(items);
      for (const { which, to, leaves } of changes) {
        const item = items[which % Math.max(1, items.length)];
        if (item === undefined) continue;
        if (leaves) expect(heap.remove(item)).toBe(left.delete(item));
        else if (left.has(item)) {
          item.value = to;
          heap.moved(item);
        }
      }
      const order: number[] = [];
      for (let item = heap.shift(); item !== undefined; item = heap.shift()) order.push(item.value);
      expect(order).toEqual([...left].map(({ value }) => value).sort((a, b) => a - b));
    }),
    { numRuns: 2_000 },
  );
});
