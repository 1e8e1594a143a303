/**
 * Goal: what a batch has earned is not lost while storage takes no write for longer than bytes without a file are waited for.
 * Method: one run of a batch on a real database and a real directory, whose writes of one kind fail; time is moved on, and the
 * sweep of files runs while the batch is not over.
 */
import { mkdtempSync, readdirSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { PlatformError } from '../../src/contract/errors.ts';
import type { BatchStore } from '../../src/contract/ports/batch-store.ts';
import type { FileContents } from '../../src/contract/ports/file-contents.ts';
import type { Stores } from '../../src/contract/ports/stores.ts';
import { openFileContents } from '../../src/drivers/storage/file-contents.ts';
import { BatchRun } from '../../src/planes/control/batches/batch-run.ts';
import { ByteBudget } from '../../src/planes/control/batches/byte-budget.ts';
import { sweepFiles } from '../../src/planes/control/batches/file-sweep.ts';
import { chatLines } from '../support/batch-client.ts';
import { storedBatch } from '../support/stored-batch.ts';
import { STORE_BACKENDS, type StoresUnderTest } from '../support/stores-under-test.ts';

const HOUR_MS = 3_600_000;
const BATCH = storedBatch();
const LINES = 4;

describe.each(STORE_BACKENDS)('a batch that is finalizing, on $name', ({ create }) => {
  let directory: string;
  let backend: StoresUnderTest;
  let stores: Stores;
  let contents: FileContents;
  let run: BatchRun | undefined;
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'autoglm-files-'));
    backend = create();
    stores = backend.open();
    contents = openFileContents(directory);
    const input = Buffer.from(chatLines(LINES).join('\n'));
    const staged = await contents.stage(
      (async function* () {
        yield input;
      })(),
    );
    await staged.keep(BATCH.inputFileId);
    const file = { id: BATCH.inputFileId, owner: BATCH.owner, filename: 'in.jsonl', purpose: 'batch' };
    await stores.files.add({ ...file, bytes: input.length, createdAtMs: 0, expiresAtMs: null }, null);
    await stores.batches.create(BATCH, 1);
  });
  afterEach(async () => {
    run?.stop();
    await backend.dispose();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Odd lines fail for good, so that there is something to write into both files. */
  async function start(parts: { batches?: Partial<BatchStore>; contents?: FileContents }): Promise<void> {
    const leaseUntilMs = Number.MAX_SAFE_INTEGER;
    const [held] = await stores.batches.claim({ holder: 'a', nowMs: 0, leaseUntilMs, limit: 1 });
    run = new BatchRun(
      {
        stores: { batches: new Proxy(stores.batches, overriddenBy(parts.batches ?? {})) },
        contents: parts.contents ?? contents,
        sender: {
          send: ({ requestId, body }, onEnd) => {
            const ok = !/line-[13]/.test(body.toString());
            const answer = { status: ok ? 200 : 400, requestId, body: Buffer.from('{}') };
            setImmediate(() => onEnd({ result: { kind: 'answered', ok }, answer }));
            return { abort: () => {} };
          },
        },
        budget: new ByteBudget({ bytesMax: 1_000_000, waitingMax: 100 }),
        clock: { ...systemClock, sleep: () => new Promise((go) => setImmediate(go)) },
        rules: { linesMax: 100, lineBytesMax: 10_000, isKnownModel: () => true },
        log: () => {},
      },
      held!,
    );
    run.start(LINES);
  }

  /** Two hours later, as the sweep of any process sees it. */
  async function sweepLater(): Promise<void> {
    for (const name of readdirSync(directory)) {
      const atS = (Date.now() + 1_000) / 1_000;
      utimesSync(join(directory, name), atS, atS);
    }
    const clock = { ...systemClock, wallMs: () => Date.now() + 2 * HOUR_MS };
    await sweepFiles({ stores, contents, clock });
  }

  const expectAllKept = async () => {
    await vi.waitUntil(() => run?.done, { timeout: 20_000 });
    const batch = await stores.batches.find({ id: BATCH.id, owner: BATCH.owner });
    expect(batch?.status).toBe('completed');
    const lines: string[] = [];
    for (const id of [batch?.outputFileId, batch?.errorFileId]) {
      const opened = await contents.open(id!);
      for await (const chunk of opened!.chunks()) lines.push(...chunk.toString().trim().split('\n'));
      await opened?.close();
    }
    expect(lines.map((line) => JSON.parse(line).custom_id)).toEqual(['line-0', 'line-2', 'line-1', 'line-3']);
    await sweepLater();
    const known = [BATCH.inputFileId, batch!.outputFileId!, batch!.errorFileId!];
    expect(readdirSync(directory).sort()).toEqual(known.sort());
  };

  it('keeps what it wrote while its end cannot be recorded for hours', async () => {
    let isFull = true;
    let refusals = 0;
    await start({
      batches: {
        change: async (hold, change) => {
          if (!isFull || change.status !== 'completed') return stores.batches.change(hold, change);
          refusals++;
          throw new PlatformError('storage_unavailable', 'the disk is full');
        },
      },
    });
    await vi.waitUntil(() => refusals > 0, { timeout: 20_000 });
    await sweepLater();
    isFull = false;
    await expectAllKept();
  });

  it('writes its output once, and keeps it, while there is no room for the errors', async () => {
    let isFull = true;
    let staged = 0;
    let refusals = 0;
    await start({
      contents: {
        ...contents,
        stage: async (chunks) => {
          if (isFull && staged === 1) {
            refusals++;
            throw new PlatformError('storage_full', 'the disk is full');
          }
          staged++;
          return contents.stage(chunks);
        },
      },
    });
    await vi.waitUntil(() => refusals > 3, { timeout: 20_000 });
    await sweepLater();
    isFull = false;
    await expectAllKept();
    expect(staged).toBe(2);
  });
});

function overriddenBy(methods: Partial<BatchStore>): ProxyHandler<BatchStore> {
  return { get: (store, name) => Reflect.get(methods, name) ?? Reflect.get(store, name) };
}
