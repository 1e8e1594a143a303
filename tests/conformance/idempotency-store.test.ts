/** What the `IdempotencyStore` port promises, asked of every database that can hold it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { IdempotencyClaim, IdempotencyStore } from '../../src/contract/ports/idempotency-store.ts';
import { STORE_BACKENDS, type StoresUnderTest } from '../support/stores-under-test.ts';

const NOW_MS = 1_800_000_000_000;

function claimOf(token: string, change: Partial<IdempotencyClaim> = {}): IdempotencyClaim {
  return {
    owner: 'ada',
    key: 'order-1',
    fingerprint: 'f',
    token,
    nowMs: NOW_MS,
    leaseUntilMs: NOW_MS + 100,
    expiresAtMs: NOW_MS + 1_000,
    ...change,
  };
}

const answer = { status: 200, headers: { 'content-type': 'text/plain' }, body: Buffer.from([0, 255, 10]) };

describe.each(STORE_BACKENDS)('idempotency keys on $name', ({ create }) => {
  let under: StoresUnderTest;
  let one: IdempotencyStore;
  let other: IdempotencyStore;
  beforeEach(() => {
    under = create();
    one = under.open().idempotency;
    other = under.open().idempotency;
  });
  afterEach(() => under.dispose());

  it('grants one of many claims at once', async () => {
    const results = await Promise.all(
      Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? one : other).claim(claimOf(`t${index}`))),
    );
    expect(results.filter(({ kind }) => kind === 'claimed')).toHaveLength(1);
    expect(results.filter(({ kind }) => kind === 'running')).toHaveLength(39);
  });

  it('gives a finished answer back, byte for byte', async () => {
    await one.claim(claimOf('t1'));
    expect(await one.finish({ token: 't1', answer })).toBe(true);
    const again = await other.claim(claimOf('t2'));
    expect(again).toMatchObject({ kind: 'kept', answer: { status: 200, headers: answer.headers } });
    if (again.kind === 'kept') expect([...again.answer.body]).toEqual([0, 255, 10]);
  });

  it('refuses a key that was used for something else, and keeps keys of callers apart', async () => {
    await one.claim(claimOf('t1'));
    expect(await other.claim(claimOf('t2', { fingerprint: 'g' }))).toEqual({ kind: 'other-request' });
    await one.finish({ token: 't1', answer });
    expect(await other.claim(claimOf('t3', { fingerprint: 'g' }))).toEqual({ kind: 'other-request' });
    expect(await other.claim(claimOf('t4', { owner: 'bob', fingerprint: 'g' }))).toEqual({ kind: 'claimed' });
  });

  it('forgets a released claim, and does not release a finished one', async () => {
    await one.claim(claimOf('t1'));
    await one.release('t1');
    expect(await other.claim(claimOf('t2'))).toEqual({ kind: 'claimed' });
    await other.finish({ token: 't2', answer });
    await other.release('t2');
    expect(await one.claim(claimOf('t3'))).toMatchObject({ kind: 'kept' });
  });

  it('opens the claim of a gateway that died, and does not take its late answer', async () => {
    await one.claim(claimOf('t1'));
    await one.renew({ tokens: ['t1'], leaseUntilMs: NOW_MS + 200 });
    expect(await other.claim(claimOf('t2', { nowMs: NOW_MS + 150 }))).toEqual({ kind: 'running' });
    const late = { nowMs: NOW_MS + 200, leaseUntilMs: NOW_MS + 300 };
    expect(await other.claim(claimOf('t3', late))).toEqual({ kind: 'claimed' });
    expect(await one.finish({ token: 't1', answer })).toBe(false);
    expect(await other.finish({ token: 't3', answer })).toBe(true);
  });

  it('forgets an answer when its time is over', async () => {
    await one.claim(claimOf('t1'));
    await one.finish({ token: 't1', answer });
    expect(await other.claim(claimOf('t2', { nowMs: NOW_MS + 1_000 }))).toEqual({ kind: 'claimed' });
  });

  it('sweeps what has expired and the oldest answers beyond the bytes', async () => {
    const small = under.open({ idempotencyBytesMax: 3_500 }).idempotency;
    for (let index = 0; index < 6; index++) {
      const claim = claimOf(`t${index}`, { key: `k${index}`, expiresAtMs: NOW_MS + 1_000 + index });
      await one.claim(claim);
      await one.finish({ token: claim.token, answer: { ...answer, headers: {}, body: Buffer.alloc(1_000) } });
    }
    await small.sweep(NOW_MS);
    const kind = async (key: string) => (await other.claim(claimOf(`n-${key}`, { key }))).kind;
    expect(await kind('k2')).toBe('claimed');
    expect(await kind('k3')).toBe('kept');
    expect(await kind('k5')).toBe('kept');
  });
});
