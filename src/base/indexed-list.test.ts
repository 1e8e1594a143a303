import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IndexedList } from './indexed-list.ts';

const item = (name: number) => ({ name, listAt: -1 });

describe('IndexedList', () => {
  it('holds what a Set would hold', () => {
    const step = fc.record({ add: fc.boolean(), name: fc.nat(9) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const items = Array.from({ length: 10 }, (_, name) => item(name));
        const list = new IndexedList<ReturnType<typeof item>>();
        const model = new Set<number>();
        for (const { add, name } of steps) {
          const chosen = items[name]!;
          if (add) {
            list.add(chosen);
            model.add(name);
          } else {
            list.remove(chosen);
            model.delete(name);
          }
          const seen: number[] = [];
          list.forEach((found) => {
            seen.push(found.name);
          });
          expect(seen.sort()).toEqual([...model].sort());
          expect(list.size).toBe(model.size);
        }
      }),
    );
  });

  it('visits all that stay while the visitor removes and adds', () => {
    const items = Array.from({ length: 20 }, (_, name) => item(name));
    fc.assert(
      fc.property(fc.array(fc.nat(19), { maxLength: 20 }), fc.nat(19), (removed, from) => {
        const list = new IndexedList<ReturnType<typeof item>>();
        for (const each of items) {
          each.listAt = -1;
          list.add(each);
        }
        const late = item(99);
        const seen = new Set<number>();
        list.forEach(({ name }) => {
          seen.add(name);
          if (name !== from) return;
          for (const other of removed) list.remove(items[other]!);
          list.add(late);
        });
        for (const { name } of items) if (!removed.includes(name)) expect(seen).toContain(name);
      }),
    );
  });
});
