/**
 * Goal: faults of the simulator look like those of real engines. Method: real processes, asked over HTTP.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { askSimulator, FAST, loadSimulator, MESSAGES, postJson } from '../../support/simulator-requests.ts';
import {
  eventually,
  type SimulatorUnderTest,
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
    const [record] = await loadSimulator(simulator);
    expect(record?.error?.class).toBe('connection-lost');
    expect(record?.events).toBeGreaterThan(0);
    expect(record?.events).toBeLessThanOrEqual(10);
    expect(await simulator.exited).toEqual(exit);
    expect(simulator.log()).toContain(line);
  });

  it('dies of one prompt, and only of that', async () => {
    const fault = { action: 'exit', code: 1, log: 'poison', when: { promptContains: 'zzz poison' } };
    const simulator = await startSimulator([...FAST, '--fault', JSON.stringify(fault)]);
    expect((await loadSimulator(simulator))[0]?.error).toBeNull();
    const record = await askSimulator(simulator, { messages: [{ role: 'user', content: 'a zzz poison b' }] });
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
    expect((await loadSimulator(simulator))[0]?.error).toBeNull();
    await askSimulator(simulator, { messages: [{ role: 'user', content: 'word '.repeat(600) }] });
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
    expect((await loadSimulator(await startSimulator(args)))[0]?.error).toBeNull();
  });

  it('ignores SIGTERM while the fault lasts', async () => {
    const simulator = await startSimulator([...FAST, '--fault', '{"action":"ignore-sigterm"}']);
    simulator.child.kill('SIGTERM');
    expect((await loadSimulator(simulator))[0]?.error).toBeNull();
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
    expect((await loadSimulator(await startSimulator(args)))[0]?.error).toBeNull();
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
    const running = loadSimulator(simulator, {
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
    const stuck = askSimulator(
      simulator,
      { messages: [{ role: 'user', content: 'stuck here' }], temperature: 0, return_token_ids: true },
      { requestTimeoutMs: 1000 },
    );
    expect((await loadSimulator(simulator))[0]?.error).toBeNull();
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
    const [, records] = await Promise.all([fetch(`${simulator.url}/health`), loadSimulator(simulator)]);
    expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(390);
    expect(records[0]?.error).toBeNull();
    expect(await steps(simulator)).toBeGreaterThan(before);
  });

  it('stalls a stream without ending it, while the engine goes on', async () => {
    const simulator = await startSimulator(FAST);
    await simulator.arm({ action: 'stall-stream', when: { atToken: 4 } });
    const [record] = await loadSimulator(simulator, { requestTimeoutMs: 700 });
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
    const [record] = await loadSimulator(simulator);
    expect(record).toMatchObject({ status: 200, error: { class: expected }, events: eventCount });
    expect((await loadSimulator(simulator))[0]?.error).toBeNull();
  });

  it('writes exclamation marks, and counts them', async () => {
    const simulator = await startSimulator(FAST);
    await simulator.arm({ action: 'corrupt-text' });
    expect((await askSimulator(simulator, { messages: MESSAGES, max_tokens: 6 })).text).toBe('!!!!!!');
    expect(await simulator.metric('vllm:corrupted_requests_total')).toBeGreaterThan(0);
  });

  it('is slow by a factor, and preempts in storms, without a change in the text', async () => {
    const simulator = await startSimulator(FAST);
    const [undisturbed] = await loadSimulator(simulator);
    await simulator.arm({ action: 'slow', factor: 10 }, { action: 'preemption-storm' });
    const records = await loadSimulator(simulator, {
      requests: 3,
      concurrency: 3,
      body: () => ({ model: 'm', messages: MESSAGES, max_tokens: 10, ignore_eos: true, temperature: 0 }),
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
    const records = await loadSimulator(simulator, { requests: 4, concurrency: 1 });
    expect(records.map((record) => record.status)).toEqual([429, 429, 500, 200]);
    expect(records[0]?.headers['retry-after']).toBe('7');
  });

  it('answers with an empty 200', async () => {
    const simulator = await startSimulator(FAST);
    await simulator.arm({ action: 'empty-answer' });
    const records = await loadSimulator(simulator, { requests: 2 });
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
    expect((await loadSimulator(simulator))[0]?.error).toBeNull();
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
    const answer = (await postJson(`${simulator.url}/v1/chat/completions`, {
      model: 'm',
      messages: MESSAGES,
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
    expect(await postJson(faults, { action: 'slow', factor: 'no' })).toMatchObject({
      error: { code: 'config_invalid', message: expect.stringContaining('fault.factor: found "no"') },
    });
  });
});
