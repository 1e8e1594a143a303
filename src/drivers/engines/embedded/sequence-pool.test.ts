import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { commonPrefix, type PooledSequence, SequencePool } from './sequence-pool.ts';

const never = new AbortController().signal;
const range = (length: number, from = 0) => Array.from({ length }, (_, index) => from + index);

describe('sequence pool', () => {
  it('gives the sequence with the longest shared prefix', async () => {
    const pool = new SequencePool(['a', 'b'], 1);
    const first = await pool.acquire(range(40), 0, never);
    const second = await pool.acquire(range(40, 100), 0, never);
    first.tokens = range(40);
    second.tokens = range(40, 100);
    pool.release(first);
    pool.release(second);
    const again = await pool.acquire([...range(40), 7], 0, never);
    expect(again.sequence).toBe(first.sequence);
  });

  it('does not overwrite a sequence for a prefix that all prompts share', async () => {
    const pool = new SequencePool(['a', 'b'], 1);
    const first = await pool.acquire([], 0, never);
    first.tokens = range(40);
    pool.release(first);
    const other = await pool.acquire([0, 1, 2, 50, 51], 0, never);
    expect(other.sequence).not.toBe(first.sequence);
  });

  it('serves lower priority numbers first, and equal ones by arrival', async () => {
    const pool = new SequencePool(['a'], 10);
    const holder = await pool.acquire([], 0, never);
    const order: string[] = [];
    const wait = (name: string, priority: number) =>
      pool.acquire([], priority, never).then((sequence) => {
        order.push(name);
        pool.release(sequence);
      });
    const all = [wait('late', 1), wait('first', 0), wait('second', 0), wait('urgent', -1)];
    pool.release(holder);
    await Promise.all(all);
    expect(order).toEqual(['urgent', 'first', 'second', 'late']);
  });

  it('forgets waiters that leave, and says when it is full', async () => {
    const pool = new SequencePool(['a'], 1);
    await pool.acquire([], 0, never);
    expect(pool.full).toBe(false);
    const leaver = new AbortController();
    const waiting = pool.acquire([], 0, leaver.signal);
    expect([pool.full, pool.waiting]).toEqual([true, 1]);
    leaver.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    expect([pool.full, pool.waiting]).toEqual([false, 0]);
  });

  it('refuses waiters when it closes', async () => {
    const pool = new SequencePool(['a'], 1);
    await pool.acquire([], 0, never);
    const waiting = pool.acquire([], 0, never);
    pool.close(new Error('closed'));
    await expect(waiting).rejects.toThrow('closed');
    await expect(pool.acquire([], 0, never)).rejects.toThrow('closed');
  });

  it('never gives a sequence to two, and never leaves one idle while somebody waits', async () => {
    const action = fc.oneof(
      fc.record({ kind: fc.constant('acquire' as const), priority: fc.integer({ min: 0, max: 2 }) }),
      fc.record({ kind: fc.constant('release' as const), which: fc.nat() }),
      fc.record({ kind: fc.constant('leave' as const), which: fc.nat() }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 40 }), async (actions) => {
        const pool = new SequencePool(['a', 'b', 'c'], 5);
        const held: PooledSequence<string>[] = [];
        const waiting: AbortController[] = [];
        for (const step of actions) {
          if (step.kind === 'acquire' && !pool.full) {
            const leaver = new AbortController();
            waiting.push(leaver);
            pool.acquire([], step.priority, leaver.signal).then(
              (sequence) => {
                held.push(sequence);
                waiting.splice(waiting.indexOf(leaver), 1);
              },
              () => {},
            );
          } else if (step.kind === 'release' && held.length > 0) {
            const [sequence] = held.splice(step.which % held.length, 1);
            if (sequence !== undefined) pool.release(sequence);
          } else if (step.kind === 'leave' && waiting.length > 0) {
            waiting.splice(step.which % waiting.length, 1)[0]?.abort(new Error('gone'));
          }
          for (let turn = 0; turn < 4; turn++) await Promise.resolve();
          expect(new Set(held.map((one) => one.sequence)).size).toBe(held.length);
          expect(pool.running).toBe(held.length);
          expect(pool.waiting).toBe(waiting.length);
          if (pool.waiting > 0) expect(pool.running).toBe(3);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('measures common prefixes', () => {
    expect([commonPrefix([1, 2], [1, 2, 3]), commonPrefix([1], [2]), commonPrefix([], [1])]).toEqual([
      2, 0, 0,
    ]);
  });
});
