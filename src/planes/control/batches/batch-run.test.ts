/** One batch with stores and a gateway of the test's making: what the runner does when they fail, vanish or lie. */
import { describe, expect, it, vi } from 'vitest';
import { storedBatch } from '../../../../tests/support/stored-batch.ts';
import { systemClock } from '../../../base/clock.ts';
import { PlatformError } from '../../../contract/errors.ts';
import type { BatchChange, LineAnswer } from '../../../contract/ports/batch-store.ts';
import type { FileContents, OpenFile } from '../../../contract/ports/file-contents.ts';
import type { Stores } from '../../../contract/ports/stores.ts';
import { addLine, type LineRanges } from '../../../decide/batches/line-ranges.ts';
import { BatchRun, type BatchRunParts } from './batch-run.ts';
import { ByteBudget } from './byte-budget.ts';
import type { LineEnd, LineRequest } from './line-sender.ts';

const BATCH = storedBatch();

const input = (count: number) =>
  Array.from({ length: count }, (_, line) =>
    JSON.stringify({
      custom_id: `c${line}`,
      method: 'POST',
      url: BATCH.endpoint,
      body: { model: 'm', messages: [] },
    }),
  ).join('\n');

class World {
  readonly files = new Map<string, Buffer>();
  readonly rows = new Map<number, LineAnswer>();
  readonly changes: BatchChange[] = [];
  readonly sent: LineRequest[] = [];
  readonly logged: string[] = [];
  held = true;
  /** Makes the next calls of storage fail so often. */
  failures = 0;
  answer: (request: LineRequest) => LineEnd | null = () => ok;

  constructor(lines: number) {
    this.files.set(BATCH.inputFileId, Buffer.from(input(lines)));
  }

  run(budget = new ByteBudget({ bytesMax: 1_000_000, waitingMax: 100 })): BatchRun {
    const run = new BatchRun(this.#parts(budget), { batch: BATCH, fence: 1 });
    run.start(4);
    return run;
  }

  #parts(budget: ByteBudget): BatchRunParts {
    const stored = async <T>(value: T): Promise<T> => {
      if (this.failures-- > 0) throw new PlatformError('storage_unavailable', 'the disk is full');
      return value;
    };
    const batches: Partial<Stores['batches']> = {
      answered: async () =>
        stored([...this.rows.keys()].reduce<LineRanges>(addLine, []).map(([from, to]) => [from, to])),
      change: async (_hold, change) => {
        if (await stored(this.held)) this.changes.push(change);
        return this.held;
      },
      reserveFiles: async () => stored(this.held),
      record: async (_hold, answers) => {
        await stored(null);
        for (const answer of answers)
          if (this.held && !this.rows.has(answer.line)) this.rows.set(answer.line, answer);
        return this.held;
      },
      answers: async ({ ok: wanted, after }) =>
        [...this.rows.values()]
          .filter((row) => row.ok === wanted && row.line > after)
          .sort((a, b) => a.line - b.line),
    };
    return {
      stores: { batches: batches as Stores['batches'] },
      contents: this.#contents(),
      sender: {
        send: (request, onEnd) => {
          this.sent.push(request);
          const end = this.answer(request);
          if (end !== null) setImmediate(() => onEnd(end));
          return { abort: () => {} };
        },
      },
      budget,
      clock: { ...systemClock, sleep: () => new Promise((go) => setImmediate(go)) },
      rules: { linesMax: 1_000, lineBytesMax: 10_000, isKnownModel: () => true },
      log: (_level, message) => this.logged.push(message),
    };
  }

  #contents(): FileContents {
    return {
      stage: async (chunks) => {
        const pieces: Uint8Array[] = [];
        for await (const chunk of chunks) pieces.push(chunk);
        const bytes = Buffer.concat(pieces);
        return {
          bytes: bytes.length,
          keep: async (id) => void this.files.set(id, bytes),
          discard: async () => {},
        };
      },
      open: async (id): Promise<OpenFile | null> => {
        const bytes = this.files.get(id);
        if (bytes === undefined) return null;
        return {
          bytes: bytes.length,
          async *chunks() {
            yield bytes;
          },
          read: async (from, length) => bytes.subarray(from, from + length),
          close: async () => {},
        };
      },
      remove: async () => {},
      sweep: async () => [],
    };
  }

  get last(): BatchChange | undefined {
    return this.changes.at(-1);
  }
}

const ok: LineEnd = {
  result: { kind: 'answered', ok: true },
  answer: { status: 200, requestId: 'r', body: Buffer.from('{}') },
};
const over = (run: BatchRun) => vi.waitUntil(() => run.done);

describe('a run', () => {
  it('answers each line, and makes its files known with the end', async () => {
    const world = new World(10);
    await over(world.run());
    expect(world.changes.map(({ status }) => status)).toEqual(['in_progress', 'finalizing', 'completed']);
    expect(world.last?.files).toMatchObject([{ purpose: 'batch_output', filename: 'batch_1_output.jsonl' }]);
    const output = world.files.get(world.last?.outputFileId ?? '')?.toString() ?? '';
    expect(
      output
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).custom_id),
    ).toEqual(Array.from({ length: 10 }, (_, line) => `c${line}`));
    expect(world.sent[0]?.body.toString()).toBe('{"model":"m","messages":[]}');
  });

  it('sends no line again that is recorded', async () => {
    const world = new World(10);
    for (let line = 0; line < 7; line++)
      world.rows.set(line, { line, ok: true, text: `{"custom_id":"c${line}"}` });
    await over(world.run());
    expect(world.sent).toHaveLength(3);
    expect(world.last?.status).toBe('completed');
  });

  it('waits for storage that does not take a write, loses no answer, and sends nothing beyond its share meanwhile', async () => {
    const world = new World(10);
    let most = 0;
    world.answer = () => {
      world.failures = 3;
      most = Math.max(most, world.sent.length - world.rows.size);
      return ok;
    };
    await over(world.run());
    expect(world.rows.size).toBe(10);
    expect(world.sent).toHaveLength(10);
    expect(most).toBeLessThanOrEqual(4);
    expect(world.logged).toContain('a batch waits for storage');
  });

  it('ends at once when its lease is lost: nothing more is sent, no status changes, no file becomes known', async () => {
    const world = new World(50);
    world.answer = () => {
      if (world.sent.length === 8) world.held = false;
      return ok;
    };
    await over(world.run());
    const sent = world.sent.length;
    await new Promise((go) => setTimeout(go, 30));
    expect(world.sent.length).toBe(sent);
    expect(sent).toBeLessThan(20);
    expect(world.changes.map(({ status }) => status)).toEqual(['in_progress']);
  });

  it.each([
    [
      'an engine failed, and keeps the last failure as its answer',
      { answer: { status: 502, requestId: 'r', body: Buffer.from('{"error":{"message":"dead"}}') } },
      { response: { status_code: 502, request_id: 'r', body: { error: { message: 'dead' } } }, error: null },
    ],
    [
      'was not answered in time, and says so at last',
      { error: { code: 'request_timeout', message: 'late' } },
      { response: null, error: { code: 'request_timeout', message: 'late' } },
    ],
  ])('tries a line again that %s', async (_why, end, written) => {
    const world = new World(1);
    world.answer = () => ({ result: { kind: 'failed' }, ...end });
    const run = world.run();
    let nowMs = Date.now();
    const clock = setInterval(() => {
      nowMs += 60_000;
      run.hear({ type: 'ticked', nowMs });
    }, 1);
    await over(run);
    clearInterval(clock);
    expect(world.sent).toHaveLength(3);
    expect(world.last).toMatchObject({ status: 'completed', outputFileId: null });
    const errors = world.files.get(world.last?.errorFileId ?? '')?.toString() ?? '';
    expect(JSON.parse(errors)).toMatchObject({ custom_id: 'c0', ...written });
  });

  it('takes no memory for lines that it gave up while they waited for it', async () => {
    const world = new World(4);
    const lineBytes = input(1).length;
    const budget = new ByteBudget({ bytesMax: lineBytes, waitingMax: 100 });
    world.answer = () => null;
    const run = world.run(budget);
    await vi.waitUntil(() => world.sent.length === 1);
    run.stop();
    (await budget.take(lineBytes, AbortSignal.timeout(1_000)))();
    expect(world.sent).toHaveLength(1);
  });

  it('fails when its input is gone', async () => {
    const world = new World(1);
    world.files.clear();
    await over(world.run());
    expect(world.last).toMatchObject({ status: 'failed', problems: [{ code: 'file_not_found' }], files: [] });
  });

  it('ends itself, and nothing else, by a bug', async () => {
    const world = new World(3);
    world.answer = () => {
      throw new TypeError('a bug');
    };
    await over(world.run());
    expect(world.logged.some((line) => line.startsWith('a bug ends the run'))).toBe(true);
    expect(world.changes.map(({ status }) => status)).toEqual(['in_progress']);
  });
});
