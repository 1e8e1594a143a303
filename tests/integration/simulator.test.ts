/**
 * Goal: the simulator is an engine to those outside: same text from every replica, exact continuation at every event border,
 * and faults that look like those of real engines. Method: real processes, asked over HTTP.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type LoadOptions, type RequestRecord, runLoad } from '../../bench/load-client.ts';
import {
  eventually,
  type SimulatorUnderTest,
  spawnSimulator,
  startSimulator,
  stopSimulators,
} from '../support/simulator-under-test.ts';

/** Short steps: these tests look at what comes, not at how fast. */
const FAST = ['--step-ms', '2', '--model-name', 'm'];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'simulator-test-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(stopSimulators);

const messages = [{ role: 'user', content: 'Tell me a story — über das Meer 🌊' }];

async function load(
  simulator: SimulatorUnderTest,
  options: Partial<LoadOptions> = {},
): Promise<RequestRecord[]> {
  const result = await runLoad({
    url: `${simulator.url}/v1/chat/completions`,
    requests: 1,
    concurrency: 1,
    stream: true,
    body: () => ({ model: 'm', messages, temperature: 0, max_tokens: 60, ignore_eos: true }),
    requestTimeoutMs: 20_000,
    ...options,
  });
  return result.records;
}

async function one(simulator: SimulatorUnderTest, body: object, options: Partial<LoadOptions> = {}) {
  const [record] = await load(simulator, { body: () => ({ model: 'm', ...body }), ...options });
  return record as RequestRecord;
}

async function post(url: string, body: object): Promise<unknown> {
  const response = await fetch(url, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  });
  return response.json();
}

interface Event {
  choices: {
    delta?: { content?: string };
    text?: string;
    token_ids?: number[];
    prompt_token_ids?: number[];
  }[];
}

/** The events of a stream with content, as they came. */
async function events(simulator: SimulatorUnderTest, path: string, body: object): Promise<Event[]> {
  const response = await fetch(simulator.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', stream: true, temperature: 0, ...body }),
  });
  const text = await response.text();
  return text
    .split('\n\n')
    .filter((frame) => frame.startsWith('data: {'))
    .map((frame) => JSON.parse(frame.slice(6)) as Event);
}

describe('text', () => {
  it('is the same from two processes of one model, also sampled with a seed; another model writes another', async () => {
    const [a, b, other] = await Promise.all([
      startSimulator([...FAST, '--seed', '1']),
      startSimulator([...FAST, '--seed', '2']),
      startSimulator([...FAST, '--model-seed', '2']),
    ]);
    for (const sampling of [{ temperature: 0 }, { temperature: 1, seed: 11 }]) {
      const body = { messages, max_tokens: 80, ignore_eos: true, ...sampling };
      const [first, second, third] = await Promise.all([one(a, body), one(b, body), one(other, body)]);
      expect(first.error).toBeNull();
      expect(first.text.length).toBeGreaterThan(100);
      expect(second.text).toBe(first.text);
      expect(third.text).not.toBe(first.text);
    }
    const unseeded = { messages, max_tokens: 40, temperature: 1 };
    expect((await one(a, unseeded)).text).not.toBe((await one(b, unseeded)).text);
  });

  it('is the same streamed and whole, with usage', async () => {
    const simulator = await startSimulator(FAST);
    const body = { messages, max_tokens: 50, temperature: 0 };
    const streamed = await one(simulator, { ...body, stream_options: { include_usage: true } });
    const whole = await one(simulator, body, { stream: false });
    expect(whole.text).toBe(streamed.text);
    expect(whole.usage).toEqual(streamed.usage);
    expect(whole.finishReason).toBe(streamed.finishReason);
  });

  it('goes on identically from every event border, by ids and by the open final message', async () => {
    const simulator = await startSimulator([...FAST, '--step-ms', '0.5']);
    const chat = { messages, max_tokens: 160, ignore_eos: true };
    const all = await events(simulator, '/v1/chat/completions', { ...chat, return_token_ids: true });
    const promptIds =
      all.find((event) => event.choices[0]?.prompt_token_ids)?.choices[0]?.prompt_token_ids ??
      ((await post(`${simulator.url}/tokenize`, { model: 'm', messages })) as { tokens: number[] }).tokens;
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
        one(
          simulator,
          { prompt: [...promptIds, ...sentIds], max_tokens, ignore_eos: true, temperature: 0 },
          { url: `${simulator.url}/v1/completions` },
        ),
        one(simulator, {
          messages: [...messages, { role: 'assistant', content: sentText }],
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
    const answer = await one(simulator, {
      messages,
      max_tokens: 300,
      response_format: { type: 'json_schema', json_schema: { name: 'person', schema } },
    });
    expect(JSON.parse(answer.text)).toMatchObject({ name: expect.any(String), age: expect.any(Number) });
    const embedded = (await post(`${simulator.url}/v1/embeddings`, { model: 'm', input: 'hello' })) as {
      data: { embedding: number[] }[];
    };
    expect(Math.hypot(...(embedded.data[0]?.embedding ?? []))).toBeCloseTo(1, 6);
  });
});

describe('load', () => {
  it('serves 250 streams at once, all of the same text', async () => {
    const simulator = await startSimulator(['--model-name', 'm', '--step-ms', '25']);
    const records = await load(simulator, { requests: 250, concurrency: 250 });
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
    const long = load(simulator, {
      signal: controller.signal,
      requests: 2,
      concurrency: 2,
      body: () => ({ model: 'm', messages, max_tokens: 5000, ignore_eos: true }),
    });
    await eventually(
      'one runs, one waits',
      async () => (await simulator.metric('vllm:num_requests_waiting')) === 1,
    );
    const refused = await one(simulator, { messages });
    expect(refused.status).toBe(503);
    expect(refused.headers['retry-after']).toBeDefined();
    controller.abort();
    await long;
    await eventually(
      'all slots are free',
      async () => (await simulator.metric('vllm:num_requests_running')) === 0,
    );
    expect((await one(simulator, { messages, max_tokens: 3 })).error).toBeNull();
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
    const [record] = await load(simulator, {
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

describe('faults of the process', () => {
  it.each([
    [{ code: 0, log: 'clean-exit-after-fatal' }, { code: 0, signal: null }, 'EngineDeadError'],
    [
      { code: 1, log: 'cuda-illegal-access' },
      { code: 1, signal: null },
      'an illegal memory access was encountered',
    ],
    [{ code: 134 }, { code: 134, signal: null }, ''],
    [{ code: 137, log: 'host-oom-kill' }, { code: 137, signal: null }, 'Killed'],
    [{ code: 139, log: ['own line'] }, { code: 139, signal: null }, 'own line'],
    [{ signal: 'SIGKILL' }, { code: null, signal: 'SIGKILL' }, ''],
    [{ signal: 'SIGSEGV' }, { code: null, signal: 'SIGSEGV' }, ''],
  ])('exits with %j in the middle of a stream', async (parameters, exit, line) => {
    const fault = { action: 'exit', when: { atToken: 10 }, ...parameters };
    const simulator = await startSimulator([...FAST, '--fault', JSON.stringify(fault)]);
    const [record] = await load(simulator);
    expect(record?.error?.class).toBe('connection-lost');
    expect(record?.events).toBeGreaterThan(0);
    expect(record?.events).toBeLessThanOrEqual(10);
    expect(await simulator.exited).toEqual(exit);
    expect(simulator.log()).toContain(line);
  });

  it('dies of one prompt, and only of that', async () => {
    const fault = { action: 'exit', code: 1, log: 'poison', when: { promptContains: 'zzz poison' } };
    const simulator = await startSimulator([...FAST, '--fault', JSON.stringify(fault)]);
    expect((await load(simulator))[0]?.error).toBeNull();
    const record = await one(simulator, { messages: [{ role: 'user', content: 'a zzz poison b' }] });
    expect(record.error?.class).toBe('connection-lost');
    expect(await simulator.exited).toEqual({ code: 1, signal: null });
    expect(simulator.log()).toContain('Failed to advance FSM');
  });

  it('runs out of memory over a threshold', async () => {
    const simulator = await startSimulator([
      ...FAST,
      '--fault',
      '{"action":"out-of-memory","tokensOver":500}',
    ]);
    expect((await load(simulator))[0]?.error).toBeNull();
    await one(simulator, { messages: [{ role: 'user', content: 'word '.repeat(600) }] });
    expect(await simulator.exited).toEqual({ code: 1, signal: null });
    expect(simulator.log()).toContain('CUDA out of memory. Tried to allocate');
  });

  it('exits at its start so many times, then starts', async () => {
    const countFile = join(folder, 'restarts');
    const fault = { action: 'exit', log: 'driver-not-ready', when: { atStart: 'load' }, times: 2, countFile };
    const args = [...FAST, '--fault', JSON.stringify(fault)];
    for (let i = 0; i < 2; i++) {
      const { exited, output } = spawnSimulator(args);
      expect(await exited).toEqual({ code: 1, signal: null });
      expect(output.stderr).toContain('Error 802: system not yet initialized');
      expect(output.stdout).toBe('');
    }
    expect((await load(await startSimulator(args)))[0]?.error).toBeNull();
  });

  it('ignores SIGTERM while the fault lasts', async () => {
    const simulator = await startSimulator([...FAST, '--fault', '{"action":"ignore-sigterm"}']);
    simulator.child.kill('SIGTERM');
    expect((await load(simulator))[0]?.error).toBeNull();
    await simulator.heal();
    simulator.child.kill('SIGTERM');
    expect(await simulator.exited).toEqual({ code: 0, signal: null });
  });

  it('leaves an orphan that holds the memory for a while, so that the next start fails', async () => {
    const gpuFile = join(folder, 'gpu');
    const args = [...FAST, '--gpu-file', gpuFile];
    const simulator = await startSimulator([...args, '--fault', '{"action":"orphan","outliveMs":1500}']);
    const holders = () => readFileSync(gpuFile, 'utf8').trim().split('\n').map(Number);
    const orphan = await eventually('the orphan', () => holders()[1]);
    await simulator.kill();
    process.kill(orphan, 0);
    const { exited, output } = spawnSimulator(args);
    expect(await exited).toEqual({ code: 1, signal: null });
    expect(output.stderr).toContain('on startup is less than desired GPU memory utilization');
    await eventually('the orphan is gone', () => {
      try {
        process.kill(orphan, 0);
        return false;
      } catch {
        return true;
      }
    });
    expect((await load(await startSimulator(args)))[0]?.error).toBeNull();
  });

  it('writes a GPU fault into the pretend kernel log', async () => {
    const kmsg = join(folder, 'kmsg');
    const simulator = await startSimulator([...FAST, '--kmsg-file', kmsg]);
    await simulator.arm({ action: 'xid', xid: 79 });
    expect(readFileSync(kmsg, 'utf8')).toMatch(/NVRM: Xid \(PCI:[^)]*\): 79, .*fallen off the bus/);
  });
});

describe('faults of the engine', () => {
  const steps = (simulator: SimulatorUnderTest) => simulator.metric('vllm:iteration_tokens_total_count');

  it('hangs: the counter stands still while health and metrics answer', async () => {
    const simulator = await startSimulator(FAST);
    const running = load(simulator, {
      onProgress: (_, count) => count === 5 && void simulator.arm({ id: 'hang', action: 'hang' }),
    });
    await eventually('the counter stands still', async () => {
      const before = await steps(simulator);
      await new Promise((resolve) => setTimeout(resolve, 100));
      return before > 0 && (await steps(simulator)) === before;
    });
    expect((await fetch(`${simulator.url}/health`)).status).toBe(200);
    expect(await simulator.metric('vllm:num_requests_running')).toBe(1);
    await simulator.heal();
    expect((await running)[0]?.error).toBeNull();
  });

  it('hangs one request while the others go on', async () => {
    const simulator = await startSimulator([
      ...FAST,
      '--fault',
      '{"action":"hang-request","when":{"promptContains":"stuck here","atToken":3}}',
    ]);
    const stuck = one(
      simulator,
      { messages: [{ role: 'user', content: 'stuck here' }], temperature: 0, return_token_ids: true },
      { requestTimeoutMs: 1000 },
    );
    expect((await load(simulator))[0]?.error).toBeNull();
    expect(await stuck).toMatchObject({
      error: { class: 'timeout' },
      tokenIds: [expect.any(Number), expect.any(Number), expect.any(Number)],
    });
  });

  it('starves the frontend: health is late, the counter moves', async () => {
    const simulator = await startSimulator(FAST);
    await simulator.arm({ action: 'starve-frontend', delayMs: 400 });
    const before = await steps(simulator);
    const startedAtMs = performance.now();
    const [, records] = await Promise.all([fetch(`${simulator.url}/health`), load(simulator)]);
    expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(390);
    expect(records[0]?.error).toBeNull();
    expect(await steps(simulator)).toBeGreaterThan(before);
  });

  it('stalls a stream without ending it, while the engine goes on', async () => {
    const simulator = await startSimulator(FAST);
    await simulator.arm({ action: 'stall-stream', when: { atToken: 4 } });
    const [record] = await load(simulator, { requestTimeoutMs: 700 });
    expect(record).toMatchObject({ error: { class: 'timeout' }, events: 4 });
    expect(await simulator.metric('vllm:generation_tokens_total')).toBe(60);
  });

  it.each([
    ['reset', 'connection-lost', 4],
    ['mid-event', 'connection-lost', 4],
    ['end', 'stream-truncated', 4],
  ])('truncates a stream by "%s"', async (how, expected, eventCount) => {
    const simulator = await startSimulator(FAST);
    await simulator.arm({ action: 'truncate-stream', how, when: { atToken: 4 } });
    const [record] = await load(simulator);
    expect(record).toMatchObject({ status: 200, error: { class: expected }, events: eventCount });
    expect((await load(simulator))[0]?.error).toBeNull();
  });

  it('writes exclamation marks, and counts them', async () => {
    const simulator = await startSimulator(FAST);
    await simulator.arm({ action: 'corrupt-text' });
    expect((await one(simulator, { messages, max_tokens: 6 })).text).toBe('!!!!!!');
    expect(await simulator.metric('vllm:corrupted_requests_total')).toBeGreaterThan(0);
  });

  it('is slow by a factor, and preempts in storms, without a change in the text', async () => {
    const simulator = await startSimulator(FAST);
    const [undisturbed] = await load(simulator);
    await simulator.arm({ action: 'slow', factor: 10 }, { action: 'preemption-storm' });
    const records = await load(simulator, {
      requests: 3,
      concurrency: 3,
      body: () => ({ model: 'm', messages, max_tokens: 10, ignore_eos: true, temperature: 0 }),
    });
    for (const record of records) {
      expect(record.error).toBeNull();
      expect(undisturbed?.text.startsWith(record.text)).toBe(true);
      expect(record.totalMs).toBeGreaterThan(150);
    }
    expect(await simulator.metric('vllm:num_preemptions_total')).toBeGreaterThan(5);
  });
});

describe('faults of HTTP', () => {
  it('answers so many requests with an error', async () => {
    const simulator = await startSimulator(FAST);
    await simulator.arm(
      { action: 'http-error', status: 429, retryAfterS: 7, times: 2 },
      { action: 'http-error', status: 500 },
    );
    const records = await load(simulator, { requests: 4, concurrency: 1 });
    expect(records.map((record) => record.status)).toEqual([429, 429, 500, 200]);
    expect(records[0]?.headers['retry-after']).toBe('7');
  });

  it('answers with an empty 200', async () => {
    const simulator = await startSimulator(FAST);
    await simulator.arm({ action: 'empty-answer' });
    const records = await load(simulator, { requests: 2 });
    expect(records.map((record) => record.error?.class)).toEqual(['empty-answer', undefined]);
  });

  it.each(['hang', 'reset', 'error'])('lets /metrics die by "%s" while requests are served', async (how) => {
    const simulator = await startSimulator(FAST);
    await simulator.arm({ action: 'metrics-dead', how });
    const metrics = fetch(`${simulator.url}/metrics`, { signal: AbortSignal.timeout(300) }).then(
      (response) => response.status,
    );
    if (how === 'error') expect(await metrics).toBe(500);
    else await expect(metrics).rejects.toThrow();
    expect((await load(simulator))[0]?.error).toBeNull();
  });

  it('renames a metric', async () => {
    const simulator = await startSimulator(FAST);
    await simulator.arm({ action: 'rename-metric' });
    expect(await simulator.metric('vllm:gpu_cache_usage_perc')).toBe(0);
    expect(await simulator.metric('vllm:kv_cache_usage_perc')).toBeNaN();
  });

  it('lets the wall clock jump', async () => {
    const simulator = await startSimulator(FAST);
    await simulator.arm({ action: 'jump-clock', byMs: -3_600_000 });
    const answer = (await post(`${simulator.url}/v1/chat/completions`, {
      model: 'm',
      messages,
      max_tokens: 1,
    })) as { created: number };
    expect(Date.now() / 1000 - answer.created).toBeGreaterThan(3500);
  });

  it('lists, drops and refuses faults over HTTP', async () => {
    const simulator = await startSimulator(FAST);
    const faults = `${simulator.url}/simulator/faults`;
    expect(
      await simulator.arm(
        { action: 'slow', factor: 2 },
        { id: 'mine', action: 'exit', when: { afterMs: 60_000 } },
      ),
    ).toEqual(['fault-1', 'mine']);
    expect(await (await fetch(faults)).json()).toMatchObject({
      faults: [{ state: 'active' }, { id: 'mine', state: 'armed' }],
    });
    expect((await fetch(`${faults}/mine`, { method: 'DELETE' })).status).toBe(200);
    expect((await fetch(`${faults}/mine`, { method: 'DELETE' })).status).toBe(404);
    expect(await post(faults, { action: 'slow', factor: 'no' })).toMatchObject({
      error: { code: 'config_invalid', message: expect.stringContaining('fault.factor: found "no"') },
    });
  });
});
