/**
 * What must hold of batches: clients hardly notice them, and each line is answered once whatever dies.
 *
 * Method for the first: the whole system with two simulated replicas, whose steps take longer the more they serve. Clients ask
 * in a closed loop; phases without and with a running batch of 1,000 lines take turns, so that whatever else the machine
 * does disturbs both alike; the medians of the phases' p99 are compared. For the second: SIGKILL in the middle, then every
 * line is counted in the files that the batch left, and by the simulators' own logs where a line was sent.
 */
import OpenAI from 'openai';
import { afterEach, describe, expect, it } from 'vitest';
import { measureBesideBatch } from '../../bench/beside-batch.ts';
import { median } from '../../bench/statistics.ts';
import {
  chatLine,
  chatLines,
  readOutput,
  startBatch,
  untilBatch,
  untilOver,
} from '../support/batch-client.ts';
import {
  killQuietly,
  type SystemUnderTest,
  simulatorPool,
  startSystem,
} from '../support/system-under-test.ts';

const LINES = 1_000;
const ROUNDS = 4;
/** Clients alone, before each batch. */
const QUIET_MS = 7_000;
let system: SystemUnderTest | undefined;
afterEach(async () => {
  await system?.stop();
  system = undefined;
});

function clientOf({ v1 }: SystemUnderTest): OpenAI {
  return new OpenAI({ baseURL: v1(), apiKey: 'none', maxRetries: 0 });
}

describe('a batch of 1,000 lines beside clients', () => {
  it('leaves the p99 of clients within 10 %, and is completed', async () => {
    system = await startSystem({ models: [simulatorPool('sim', 2, ['--seed', '7'])] });
    const { alone, beside, failed, linesFailed } = await measureBesideBatch({
      origin: system.url(),
      model: 'sim',
      rounds: ROUNDS,
      quietMs: QUIET_MS,
      lines: LINES,
      lineTokens: 60,
      clients: 12,
      clientTokens: 20,
      stream: false,
    });
    expect([failed, linesFailed]).toEqual([0, 0]);
    for (const { answers } of [...alone, ...beside]) expect(answers).toBeGreaterThan(200);
    const [without, together] = [alone, beside].map((phases) => phases.map(({ p99Ms }) => p99Ms)) as [
      number[],
      number[],
    ];
    const ratio = median(together) / median(without);
    const shown = (values: number[]) => values.map((value) => value.toFixed(0)).join(', ');
    console.log(
      `p99 of clients, ms: ${shown(without)} without, ${shown(together)} beside a batch; ratio of the medians ${ratio.toFixed(3)}; ` +
        `batches took ${beside.map(({ durationMs }) => (durationMs / 1000).toFixed(0)).join(', ')} s`,
    );
    expect(ratio).toBeLessThan(1.1);
  });
});

describe('a batch whose processes die', () => {
  /** Every line is in one of the files, once, and every answer that was recorded before a death stayed what it was. */
  async function expectEachLineOnce(client: OpenAI, id: string): Promise<void> {
    const batch = await untilOver(client, id, 120_000);
    expect(batch).toMatchObject({
      status: 'completed',
      request_counts: { total: LINES, completed: LINES, failed: 0 },
    });
    const lines = await readOutput(client, batch.output_file_id);
    expect(lines).toHaveLength(LINES);
    expect(new Set(lines.map(({ custom_id }) => custom_id)).size).toBe(LINES);
    expect(new Set(lines.map(({ id: line }) => line)).size).toBe(LINES);
    expect(lines.every(({ response }) => response?.status_code === 200)).toBe(true);
    expect(await readOutput(client, batch.error_file_id)).toEqual([]);
  }

  const progress = (client: OpenAI, id: string, count: number) =>
    untilBatch(client, id, ({ request_counts }) => (request_counts?.completed ?? 0) >= count, 60_000);

  /** Lines that engines were asked for, over all replicas; more than LINES by those that were under way at a death. */
  async function sent(): Promise<number> {
    const text = await (await fetch(`${system?.adminUrl()}/metrics`)).text();
    const counts = [...text.matchAll(/^autoglm_filler_requests_total\{.*?outcome="completed".*?\} (\d+)/gm)];
    return counts.reduce((sum, [, count]) => sum + Number(count), 0);
  }

  it('goes on after the node process was killed in the middle, twice, and sends no recorded line again', async () => {
    system = await startSystem({ models: [simulatorPool('sim', 2, ['--speed', '4'])] });
    const client = clientOf(system);
    const { id } = await startBatch(client, chatLines(LINES, { max_tokens: 60, ignore_eos: true }));
    for (const count of [200, 500]) {
      const before = await progress(client, id, count);
      const { node } = await system.status();
      killQuietly(node.pid);
      await system.until((status) => status.node.pid !== node.pid, 30_000);
      const after = await client.batches.retrieve(id);
      expect(after.request_counts?.completed).toBeGreaterThanOrEqual(before.request_counts?.completed ?? 0);
    }
    await expectEachLineOnce(client, id);
    // What was under way when the process died was given up by the gateway, or answered to nobody.
    expect(await sent()).toBeGreaterThanOrEqual(LINES);
    expect(await sent()).toBeLessThanOrEqual(LINES + 2 * 64);
  });

  it('goes on after the gateway was killed in the middle', async () => {
    system = await startSystem({ models: [simulatorPool('sim', 2, ['--speed', '4'])] });
    const client = clientOf(system);
    const { id } = await startBatch(client, chatLines(LINES, { max_tokens: 60, ignore_eos: true }));
    await progress(client, id, 300);
    const [gateway] = (await system.status()).gateways;
    killQuietly(gateway?.pid ?? 0);
    await expectEachLineOnce(client, id);
  });

  it('goes on after an engine was killed in the middle', async () => {
    system = await startSystem({
      models: [simulatorPool('sim', 2, ['--speed', '4'])],
      supervisor: { backoff_initial_ms: 50 },
    });
    const client = clientOf(system);
    const { id } = await startBatch(client, chatLines(LINES, { max_tokens: 60, ignore_eos: true }));
    await progress(client, id, 300);
    killQuietly((await system.status()).pools[0]?.replicas[0]?.pid ?? 0);
    await expectEachLineOnce(client, id);
  });

  it('goes on after everything was stopped and started again', async () => {
    system = await startSystem({ models: [simulatorPool('sim', 2, ['--speed', '4'])] });
    const client = clientOf(system);
    const { id } = await startBatch(client, chatLines(LINES, { max_tokens: 60, ignore_eos: true }));
    await progress(client, id, 200);
    const ended = new Promise((resolve) => system?.launcher.once('exit', resolve));
    system.launcher.kill('SIGTERM');
    await ended;
    await system.serve();
    await expectEachLineOnce(client, id);
  });
});

describe('a batch whose window passes', () => {
  it('expires: what is done is kept, and the rest is in the error file as batch_expired', async () => {
    system = await startSystem({
      models: [simulatorPool('sim', 1, [])],
      batches: { window_ms: 4_000, in_flight: 8 },
    });
    const client = clientOf(system);
    const { id } = await startBatch(client, chatLines(100, { max_tokens: 60, ignore_eos: true }));
    const batch = await untilOver(client, id);
    expect(batch.status).toBe('expired');
    expect(batch.expired_at).toBeGreaterThanOrEqual(batch.expires_at ?? Number.POSITIVE_INFINITY);
    const output = await readOutput(client, batch.output_file_id);
    const errors = await readOutput(client, batch.error_file_id);
    expect(output.length).toBeGreaterThan(0);
    expect(output.length + errors.length).toBe(100);
    expect(new Set([...output, ...errors].map(({ custom_id }) => custom_id)).size).toBe(100);
    for (const line of errors)
      expect(line).toMatchObject({ response: null, error: { code: 'batch_expired' } });
    expect(batch.request_counts).toEqual({ total: 100, completed: output.length, failed: errors.length });
  });
});

describe('a line that takes too long', () => {
  it('is tried three times and ends as request_timeout; the others are answered', async () => {
    system = await startSystem({
      models: [simulatorPool('sim', 1, ['--step-ms', '20'])],
      batches: { line_timeout_ms: 500 },
    });
    const client = clientOf(system);
    const long = chatLine('long', { max_tokens: 1_000, ignore_eos: true });
    const { id } = await startBatch(client, [long, ...chatLines(5)]);
    const batch = await untilOver(client, id);
    expect(batch).toMatchObject({
      status: 'completed',
      request_counts: { total: 6, completed: 5, failed: 1 },
    });
    const [line] = await readOutput(client, batch.error_file_id);
    expect(line).toMatchObject({ custom_id: 'long', response: null, error: { code: 'request_timeout' } });
    expect(line?.error?.message).toContain('500 ms');
  });
});
