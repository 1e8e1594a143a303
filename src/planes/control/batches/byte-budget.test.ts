import { describe, expect, it } from 'vitest';
import { ByteBudget } from './byte-budget.ts';

const never = new AbortController().signal;

/** What has settled of it when everything that is due has run. */
async function stateOf(taking: Promise<() => void>): Promise<unknown> {
  const settled = taking.then(
    () => 'taken',
    (error: unknown) => error,
  );
  return Promise.race([settled, new Promise((resolve) => setImmediate(() => resolve('waits')))]);
}

describe('a byte budget', () => {
  it('lets in what fits, in order, and what is larger than all of it alone', async () => {
    const budget = new ByteBudget({ bytesMax: 10, waitingMax: 9 });
    const first = await budget.take(6, never);
    const large = budget.take(50, never);
    const small = budget.take(1, never);
    expect([await stateOf(large), await stateOf(small)]).toEqual(['waits', 'waits']);
    first();
    expect([await stateOf(large), await stateOf(small)]).toEqual(['taken', 'waits']);
    (await large)();
    expect(await stateOf(small)).toBe('taken');
  });

  it('takes bytes back once', async () => {
    const budget = new ByteBudget({ bytesMax: 10, waitingMax: 9 });
    const first = await budget.take(6, never);
    await budget.take(4, never);
    first();
    first();
    expect(await stateOf(budget.take(6, never))).toBe('taken');
    expect(await stateOf(budget.take(1, never))).toBe('waits');
  });

  it('lets go of who waits when its signal fires, and lets in who comes after', async () => {
    const budget = new ByteBudget({ bytesMax: 10, waitingMax: 9 });
    const first = await budget.take(6, never);
    const gaveUp = new AbortController();
    const reason = new Error('given up');
    const large = budget.take(9, gaveUp.signal);
    const small = budget.take(4, never);
    expect([await stateOf(large), await stateOf(small)]).toEqual(['waits', 'waits']);
    gaveUp.abort(reason);
    expect([await stateOf(large), await stateOf(small)]).toEqual([reason, 'taken']);
    first();
    expect(await stateOf(budget.take(6, never))).toBe('taken');
    expect(await stateOf(budget.take(0, gaveUp.signal))).toBe(reason);
  });

  it('keeps what was taken when the signal fires later', async () => {
    const budget = new ByteBudget({ bytesMax: 10, waitingMax: 9 });
    const first = await budget.take(10, never);
    const later = new AbortController();
    const second = budget.take(10, later.signal);
    first();
    expect(await stateOf(second)).toBe('taken');
    later.abort();
    expect(await stateOf(budget.take(10, never))).toBe('waits');
  });

  it('refuses who comes when too many wait', async () => {
    const budget = new ByteBudget({ bytesMax: 10, waitingMax: 1 });
    await budget.take(10, never);
    expect(await stateOf(budget.take(1, never))).toBe('waits');
    expect(await stateOf(budget.take(1, never))).toMatchObject({ code: 'saturated' });
  });
});
