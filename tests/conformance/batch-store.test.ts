/** What the ports `BatchStore` and `FileStore` promise, over every database that can hold them. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BatchHold, StoredBatch } from '../../src/contract/ports/batch-store.ts';
import type { StoredFile } from '../../src/contract/ports/file-store.ts';
import type { Stores } from '../../src/contract/ports/stores.ts';
import { storedBatch } from '../support/stored-batch.ts';
import { STORE_BACKENDS, type StoresUnderTest } from '../support/stores-under-test.ts';

const batch = (change: Partial<StoredBatch> = {}): StoredBatch =>
  storedBatch({ metadata: { a: 'b' }, expiresAtMs: 100_000, ...change });

const file = (change: Partial<StoredFile> = {}): StoredFile => ({
  id: 'file-1',
  owner: 'me',
  filename: 'a.jsonl',
  purpose: 'batch',
  bytes: 10,
  createdAtMs: 1_000,
  expiresAtMs: null,
  ...change,
});

describe.each(STORE_BACKENDS)('on $name', ({ create }) => {
  let backend: StoresUnderTest;
  let one: Stores;
  let other: Stores;
  beforeEach(() => {
    backend = create();
    one = backend.open();
    other = backend.open();
  });
  afterEach(() => backend.dispose());

  const claimBy = async (stores: Stores, holder: string, nowMs: number): Promise<BatchHold | undefined> => {
    const [held] = await stores.batches.claim({ holder, nowMs, leaseUntilMs: nowMs + 100, limit: 5 });
    return held === undefined ? undefined : { id: held.batch.id, fence: held.fence };
  };

  describe('batches', () => {
    it('are read back as they were created, by their owner alone, from another process', async () => {
      expect(await one.batches.create(batch(), 5)).toBe(true);
      expect(await other.batches.find({ id: 'batch_1', owner: 'me' })).toEqual(batch());
      expect(await other.batches.find({ id: 'batch_1', owner: 'you' })).toBeNull();
      expect(await other.batches.list({ owner: 'you', limit: 5, after: null })).toEqual([]);
      expect(await other.batches.requestCancel({ id: 'batch_1', owner: 'you', nowMs: 2 })).toBeNull();
    });

    it('are refused beyond what an owner may have open', async () => {
      expect(await one.batches.create(batch({ id: 'a' }), 1)).toBe(true);
      expect(await other.batches.create(batch({ id: 'b' }), 1)).toBe(false);
      expect(await other.batches.create(batch({ id: 'c', owner: 'you' }), 1)).toBe(true);
    });

    it('are listed newest first, page by page', async () => {
      for (let n = 0; n < 5; n++)
        await one.batches.create(batch({ id: `b${n}`, createdAtMs: 1_000 + (n >> 1) }), 9);
      const first = await one.batches.list({ owner: 'me', limit: 2, after: null });
      expect(first?.map(({ id }) => id)).toEqual(['b4', 'b3', 'b2']);
      const second = await one.batches.list({ owner: 'me', limit: 9, after: 'b3' });
      expect(second?.map(({ id }) => id)).toEqual(['b2', 'b1', 'b0']);
      expect(await one.batches.list({ owner: 'me', limit: 9, after: 'nothing' })).toBeNull();
    });

    it('have one holder at a time, until the lease runs out; a former one changes nothing', async () => {
      await one.batches.create(batch(), 5);
      const claims = await Promise.all([claimBy(one, 'a', 0), claimBy(other, 'b', 0)]);
      const [first] = claims.filter((hold) => hold !== undefined);
      expect(claims.filter((hold) => hold !== undefined)).toHaveLength(1);
      expect(await claimBy(other, 'b', 99)).toBeUndefined();
      const second = await claimBy(other, 'b', 100);
      expect(second?.fence).toBeGreaterThan(first!.fence);

      expect(await one.batches.renew({ holds: [first!], leaseUntilMs: 500 })).toEqual([]);
      expect(await one.batches.record(first!, [{ line: 0, ok: true, text: 'late' }])).toBe(false);
      expect(await one.batches.change(first!, { status: 'in_progress', atMs: 3 })).toBe(false);
      await one.batches.release(first!);
      expect(await other.batches.answered('batch_1')).toEqual([]);
      expect(await other.batches.renew({ holds: [second!], leaseUntilMs: 500 })).toHaveLength(1);
      await other.batches.release(second!);
      expect(await claimBy(one, 'a', 101)).toBeDefined();
    });

    it('are claimed first where they only have to be ended, then by age', async () => {
      await one.batches.create(batch({ id: 'old', createdAtMs: 1 }), 9);
      await one.batches.create(batch({ id: 'new', createdAtMs: 2 }), 9);
      await one.batches.create(batch({ id: 'late', createdAtMs: 3, expiresAtMs: 5 }), 9);
      await one.batches.create(batch({ id: 'unwanted', createdAtMs: 4 }), 9);
      await one.batches.requestCancel({ id: 'unwanted', owner: 'me', nowMs: 6 });
      const order: (string | undefined)[] = [];
      for (let turn = 0; turn < 5; turn++) {
        const [held] = await one.batches.claim({ holder: 'a', nowMs: 10, leaseUntilMs: 99, limit: 1 });
        order.push(held?.batch.id);
      }
      expect(order).toEqual(['late', 'unwanted', 'old', 'new', undefined]);
    });

    it('keep the first answer of a line, count each once, and give them back in order', async () => {
      await one.batches.create(batch(), 5);
      const hold = (await claimBy(one, 'a', 0))!;
      await one.batches.record(hold, [
        { line: 3, ok: true, text: 'three' },
        { line: 1, ok: false, text: 'one' },
        { line: 0, ok: true, text: 'zero' },
      ]);
      await one.batches.record(hold, [
        { line: 3, ok: false, text: 'three again' },
        { line: 4, ok: true, text: 'four' },
      ]);
      expect(await other.batches.answered('batch_1')).toEqual([
        [0, 2],
        [3, 5],
      ]);
      expect(await other.batches.find({ id: 'batch_1', owner: 'me' })).toMatchObject({
        completed: 3,
        failed: 1,
      });
      const page = { id: 'batch_1', ok: true, after: -1, bytesMax: 1_000 };
      expect((await one.batches.answers(page)).map(({ text }) => text)).toEqual(['zero', 'three', 'four']);
      expect((await one.batches.answers({ ...page, bytesMax: 1 })).map(({ text }) => text)).toEqual(['zero']);
      expect((await one.batches.answers({ ...page, after: 0, bytesMax: 5 })).map(({ text }) => text)).toEqual(
        ['three'],
      );
      expect((await one.batches.answers({ ...page, ok: false })).map(({ text }) => text)).toEqual(['one']);
      expect(await one.batches.answers({ ...page, after: 4 })).toEqual([]);
    });

    it('keep when each status began, do not go back from cancelling, and change no more when they are over', async () => {
      await one.batches.create(batch(), 5);
      const hold = (await claimBy(one, 'a', 0))!;
      await one.batches.change(hold, { status: 'in_progress', atMs: 10, total: 7 });
      await one.batches.change(hold, { status: 'in_progress', atMs: 20 });
      await one.batches.requestCancel({ id: 'batch_1', owner: 'me', nowMs: 30 });
      await one.batches.change(hold, { status: 'in_progress', atMs: 40 });
      expect(await one.batches.find({ id: 'batch_1', owner: 'me' })).toMatchObject({
        status: 'cancelling',
        total: 7,
        inProgressAtMs: 10,
        cancellingAtMs: 30,
      });
      await one.batches.change(hold, {
        status: 'finalizing',
        atMs: 50,
        ending: 'cancelled',
        outputFileId: 'o',
      });
      expect((await one.batches.requestCancel({ id: 'batch_1', owner: 'me', nowMs: 60 }))?.status).toBe(
        'finalizing',
      );
      expect(await one.batches.change(hold, { status: 'cancelled', atMs: 70, unanswered: 2 })).toBe(true);
      expect(await one.batches.change(hold, { status: 'completed', atMs: 80 })).toBe(false);
      expect(await one.batches.record(hold, [{ line: 0, ok: true, text: 'x' }])).toBe(false);
      expect(await claimBy(one, 'a', 1e6)).toBeUndefined();
      expect(await one.batches.find({ id: 'batch_1', owner: 'me' })).toMatchObject({
        status: 'cancelled',
        finalizingAtMs: 50,
        endedAtMs: 70,
        failed: 2,
        outputFileId: 'o',
      });
    });

    it('make files known together with their end, and not those of a former holder', async () => {
      await one.batches.create(batch(), 5);
      const former = (await claimBy(one, 'a', 0))!;
      const present = (await claimBy(other, 'b', 500))!;
      const end = (id: string) => ({
        status: 'completed' as const,
        atMs: 9,
        outputFileId: id,
        files: [file({ id })],
      });
      expect(await one.batches.change(former, end('stale'))).toBe(false);
      expect(await other.batches.change(present, end('real'))).toBe(true);
      expect(await one.files.known(['stale', 'real'])).toEqual(['real']);
      expect((await one.batches.find({ id: 'batch_1', owner: 'me' }))?.outputFileId).toBe('real');
    });

    it('name what their present holder is about to write, until they are over, to files alone', async () => {
      await one.batches.create(batch(), 5);
      const former = (await claimBy(one, 'a', 0))!;
      const known = async () => (await one.files.known(['o1', 'e1', 'o2', 'e2'])).sort();
      expect(await one.batches.reserveFiles(former, { output: 'o1', error: 'e1' })).toBe(true);
      expect(await known()).toEqual(['e1', 'o1']);
      expect(await one.batches.find({ id: 'batch_1', owner: 'me' })).toEqual(batch());
      const present = (await claimBy(other, 'b', 500))!;
      expect(await known()).toEqual(['e1', 'o1']);
      expect(await other.batches.reserveFiles(present, { output: 'o2', error: 'e2' })).toBe(true);
      expect(await one.batches.reserveFiles(former, { output: 'o1', error: 'e1' })).toBe(false);
      expect(await known()).toEqual(['e2', 'o2']);
      const files = [file({ id: 'o2' })];
      const end = { status: 'completed' as const, atMs: 9, outputFileId: 'o2', errorFileId: null };
      await other.batches.change(present, { ...end, files });
      expect(await known()).toEqual(['o2']);
      expect(await other.batches.reserveFiles(present, { output: 'o1', error: 'e1' })).toBe(false);
    });

    it('lose their answers when they are over, and go themselves long after', async () => {
      await one.batches.create(batch({ id: 'runs' }), 5);
      await one.batches.create(batch(), 5);
      const holds = await one.batches.claim({ holder: 'a', nowMs: 0, leaseUntilMs: 9, limit: 5 });
      const answers = Array.from({ length: 1_200 }, (_, line) => ({ line, ok: true, text: 'x' }));
      for (const held of holds) await one.batches.record({ id: held.batch.id, fence: held.fence }, answers);
      const over = holds.find((held) => held.batch.id === 'batch_1')!;
      await one.batches.change({ id: 'batch_1', fence: over.fence }, { status: 'completed', atMs: 10 });
      await one.batches.sweep(20);
      expect(await one.batches.answered('batch_1')).toEqual([]);
      expect(await one.batches.answered('runs')).toEqual([[0, 1_200]]);
      expect(await one.batches.find({ id: 'batch_1', owner: 'me' })).not.toBeNull();
      await one.batches.sweep(366 * 86_400_000);
      expect(await one.batches.find({ id: 'batch_1', owner: 'me' })).toBeNull();
      expect(await one.batches.find({ id: 'runs', owner: 'me' })).not.toBeNull();
    });
  });

  describe('files', () => {
    it('are read back by their owner alone, and not after they have expired', async () => {
      await one.files.add(file({ expiresAtMs: 50 }), null);
      expect(await other.files.find({ id: 'file-1', owner: 'me', nowMs: 49 })).toEqual(
        file({ expiresAtMs: 50 }),
      );
      expect(await other.files.find({ id: 'file-1', owner: 'me', nowMs: 50 })).toBeNull();
      expect(await other.files.find({ id: 'file-1', owner: 'you', nowMs: 1 })).toBeNull();
      expect(await other.files.remove({ id: 'file-1', owner: 'you', nowMs: 1 })).toEqual({ kind: 'unknown' });
      expect(await other.files.remove({ id: 'file-1', owner: 'me', nowMs: 50 })).toEqual({ kind: 'unknown' });
    });

    it('are refused beyond the bytes that all may have together, also when many come at once', async () => {
      const added = await Promise.all(
        Array.from({ length: 6 }, (_, n) =>
          (n % 2 ? one : other).files.add(file({ id: `f${n}`, bytes: 30 }), 100),
        ),
      );
      expect(added.filter(Boolean)).toHaveLength(3);
      expect(await one.files.totalBytes()).toBe(90);
      expect(await one.files.add(file({ id: 'big', bytes: 1_000 }), null)).toBe(true);
    });

    it('are listed in either order, by purpose, page by page', async () => {
      for (let n = 0; n < 5; n++)
        await one.files.add(
          file({ id: `f${n}`, createdAtMs: n >> 1, purpose: n === 2 ? 'vision' : 'batch' }),
          null,
        );
      const listing = { owner: 'me', nowMs: 9, purpose: null, order: 'desc' as const, limit: 2, after: null };
      const ids = async (change: object) =>
        (await one.files.list({ ...listing, ...change }))?.map(({ id }) => id) ?? null;
      expect(await ids({})).toEqual(['f4', 'f3', 'f2']);
      expect(await ids({ after: 'f3', limit: 9 })).toEqual(['f2', 'f1', 'f0']);
      expect(await ids({ order: 'asc', after: 'f1', limit: 9 })).toEqual(['f2', 'f3', 'f4']);
      expect(await ids({ purpose: 'vision' })).toEqual(['f2']);
      expect(await ids({ after: 'nothing' })).toBeNull();
      expect(await ids({ owner: 'you' })).toEqual([]);
    });

    it('stay while they are the input of a batch that is not over', async () => {
      await one.files.add(file({ expiresAtMs: 5 }), null);
      await one.files.add(file({ id: 'free', expiresAtMs: 5 }), null);
      await one.batches.create(batch(), 5);
      expect(await one.files.remove({ id: 'file-1', owner: 'me', nowMs: 1 })).toEqual({
        kind: 'in-use',
        batch: 'batch_1',
      });
      expect(await one.files.takeExpired({ nowMs: 10, limit: 9 })).toEqual(['free']);
      expect((await one.files.known(['file-1', 'free', 'x'])).sort()).toEqual(['file-1']);
      const hold = (await claimBy(one, 'a', 0))!;
      await one.batches.change(hold, { status: 'failed', atMs: 1 });
      expect(await one.files.takeExpired({ nowMs: 10, limit: 9 })).toEqual(['file-1']);
    });
  });
});
