/**
 * Goal: the simulator is an engine to those outside: same text from every replica, exact continuation at every event border, a life
 * of starting and draining. Method: real processes, asked over HTTP.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  askSimulator,
  eventsOf,
  FAST,
  loadSimulator,
  MESSAGES,
  postJson,
} from '../../support/simulator-requests.ts';
import {
  eventually,
  spawnSimulator,
  startSimulator,
  stopSimulators,
} from '../../support/simulator-under-test.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'simulator-test-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(stopSimulators);

describe('text', () => {
  it('is the same from two processes of one model, also sampled with a seed; another model writes another', async () => {
    const [a, b, other] = await Promise.all([
      startSimulator([...FAST, '--seed', '1']),
      startSimulator([...FAST, '--seed', '2']),
      startSimulator([...FAST, '--model-seed', '2']),
    ]);
    for (const sampling of [{ temperature: 0 }, { temperature: 1, seed: 11 }]) {
      const body = { messages: MESSAGES, max_tokens: 80, ignore_eos: true, ...sampling };
      const [first, second, third] = await Promise.all([
        askSimulator(a, body),
        askSimulator(b, body),
        askSimulator(other, body),
      ]);
      expect(first.error).toBeNull();
      expect(first.text.length).toBeGreaterThan(100);
      expect(second.text).toBe(first.text);
      expect(third.text).not.toBe(first.text);
    }
    const unseeded = { messages: MESSAGES, max_tokens: 40, temperature: 1 };
    expect((await askSimulator(a, unseeded)).text).not.toBe((await askSimulator(b, unseeded)).text);
  });

  it('is the same streamed and whole, with usage', async () => {
    const simulator = await startSimulator(FAST);
    const body = { messages: MESSAGES, max_tokens: 50, temperature: 0 };
    const streamed = await askSimulator(simulator, { ...body, stream_options: { include_usage: true } });
    const whole = await askSimulator(simulator, body, { stream: false });
    expect(whole.text).toBe(streamed.text);
    expect(whole.usage).toEqual(streamed.usage);
    expect(whole.finishReason).toBe(streamed.finishReason);
  });

  it('goes on identically from every event border, by ids and by the open final message', async () => {
    const simulator = await startSimulator([...FAST, '--step-ms', '0.5']);
    const chat = { messages: MESSAGES, max_tokens: 160, ignore_eos: true };
    const all = await eventsOf(simulator, '/v1/chat/completions', { ...chat, return_token_ids: true });
    const promptIds =
      all.find((event) => event.choices[0]?.prompt_token_ids)?.choices[0]?.prompt_token_ids ??
      (
        (await postJson(`${simulator.url}/tokenize`, { model: 'm', messages: MESSAGES })) as {
          tokens: number[];
        }
      ).tokens;
    const pieces = all.map((event) => ({
      text: event.choices[0]?.delta?.content ?? '',
      ids: event.choices[0]?.token_ids ?? [],
    }));
    const text = pieces.map((piece) => piece.text).join('');
    const ids = pieces.flatMap((piece) => piece.ids);
    expect(ids).toHaveLength(160);
    expect(Buffer.byteLength(text)).toBeGreaterThan(text.length);

    let seams = 0;
    for (let cut = 1; cut < pieces.length; cut++) {
      const sentText = pieces
        .slice(0, cut)
        .map((piece) => piece.text)
        .join('');
      const sentIds = pieces.slice(0, cut).flatMap((piece) => piece.ids);
      if (pieces[cut - 1]?.text === '' || sentIds.length === 160) continue;
      seams++;
      const max_tokens = 160 - sentIds.length;
      const [byIds, byMessage] = await Promise.all([
        askSimulator(
          simulator,
          { prompt: [...promptIds, ...sentIds], max_tokens, ignore_eos: true, temperature: 0 },
          { url: `${simulator.url}/v1/completions` },
        ),
        askSimulator(simulator, {
          messages: [...MESSAGES, { role: 'assistant', content: sentText }],
          continue_final_message: true,
          add_generation_prompt: false,
          max_tokens,
          ignore_eos: true,
          temperature: 0,
        }),
      ]);
      expect(sentText + byIds.text).toBe(text);
      expect(sentText + byMessage.text).toBe(text);
    }
    expect(seams).toBeGreaterThan(100);
  });

  it('obeys a JSON schema, and gives embeddings of length 1', async () => {
    const simulator = await startSimulator(FAST);
    const schema = {
      type: 'object',
      properties: { name: { type: 'string' }, age: { type: 'integer' } },
      required: ['name', 'age'],
    };
    const answer = await askSimulator(simulator, {
      messages: MESSAGES,
      max_tokens: 300,
      response_format: { type: 'json_schema', json_schema: { name: 'person', schema } },
    });
    expect(JSON.parse(answer.text)).toMatchObject({ name: expect.any(String), age: expect.any(Number) });
    const embedded = (await postJson(`${simulator.url}/v1/embeddings`, { model: 'm', input: 'hello' })) as {
      data: { embedding: number[] }[];
    };
    expect(Math.hypot(...(embedded.data[0]?.embedding ?? []))).toBeCloseTo(1, 6);
  });
});

describe('load', () => {
  it('serves 250 streams at once, all of the same text', async () => {
    const simulator = await startSimulator(['--model-name', 'm', '--step-ms', '25']);
    const records = await loadSimulator(simulator, { requests: 250, concurrency: 250 });
    expect(records.filter((record) => record.error !== null)).toEqual([]);
    expect(new Set(records.map((record) => record.text)).size).toBe(1);
    expect(await simulator.metric('vllm:num_requests_running')).toBe(0);
  });

  it('frees the slot when a client leaves, and refuses what its queue does not take', async () => {
    const simulator = await startSimulator([
      ...FAST,
      '--step-ms',
      '20',
      '--max-num-seqs',
      '1',
      '--max-num-queued-reqs',
      '1',
    ]);
    const controller = new AbortController();
    const long = loadSimulator(simulator, {
      signal: controller.signal,
      requests: 2,
      concurrency: 2,
      body: () => ({ model: 'm', messages: MESSAGES, max_tokens: 5000, ignore_eos: true }),
    });
    await eventually(
      'one runs, one waits',
      async () => (await simulator.metric('vllm:num_requests_waiting')) === 1,
    );
    const refused = await askSimulator(simulator, { messages: MESSAGES });
    expect(refused.status).toBe(503);
    expect(refused.headers['retry-after']).toBeDefined();
    controller.abort();
    await long;
    await eventually(
      'all slots are free',
      async () => (await simulator.metric('vllm:num_requests_running')) === 0,
    );
    expect((await askSimulator(simulator, { messages: MESSAGES, max_tokens: 3 })).error).toBeNull();
  });
});

describe('life', () => {
  it('writes its port to the file when it listens, and prints the phases of its start', async () => {
    const portFile = join(folder, 'port');
    const simulator = await startSimulator([...FAST, '--port-file', portFile, '--load-ms', '20']);
    expect(readFileSync(portFile, 'utf8')).toBe(`${new URL(simulator.url).port}\n`);
    expect(simulator.log()).toContain('Model loading took');
  });

  it('drains on SIGTERM: what runs is finished, then it exits with 0', async () => {
    const simulator = await startSimulator([...FAST, '--step-ms', '10']);
    const [record] = await loadSimulator(simulator, {
      onProgress: (_, count) => count === 5 && simulator.child.kill('SIGTERM'),
    });
    expect(record?.error).toBeNull();
    expect(await simulator.exited).toEqual({ code: 0, signal: null });
  });

  it('says what is wrong with its options and ends with 2', async () => {
    const { exited, output } = spawnSimulator(['--speed', 'much']);
    expect(await exited).toEqual({ code: 2, signal: null });
    expect(output.stderr).toContain("--speed: found 'much'");
  });
});
