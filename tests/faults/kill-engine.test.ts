/**
 * Goal: killing an engine costs the client nothing. Method: the whole system as `autoglm serve` starts it, many streams at
 * once, one replica killed again and again with SIGKILL; each text is compared with the undisturbed run of the same request.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { type LoadOptions, type LoadResult, type RequestRecord, runLoad } from '../../bench/load-client.ts';
import type { SystemStatus } from '../../src/contract/admin-api.ts';
import { until } from '../support/embedded-under-test.ts';
import {
  killQuietly,
  type SystemUnderTest,
  simulatorPool,
  startSystem,
} from '../support/system-under-test.ts';

let system: SystemUnderTest | undefined;
afterEach(async () => {
  await system?.stop();
  system = undefined;
});

function streams(
  load: Pick<LoadOptions, 'requests' | 'concurrency' | 'body' | 'enough'>,
): Promise<LoadResult> {
  return runLoad({ url: `${system?.v1()}/chat/completions`, stream: true, ...load });
}

/** Kills the named replica five times, each time as soon as a new process of it is in the middle of a quarter of all streams. */
async function killFiveTimes(id: string, concurrency: number): Promise<void> {
  const killed = new Set<number>();
  const share = concurrency / 4;
  const busy = ({ pools }: SystemStatus) =>
    pools
      .flatMap(({ replicas }) => replicas)
      .find(
        (replica) =>
          replica.id === id &&
          replica.state === 'ready' &&
          !killed.has(replica.pid ?? 0) &&
          replica.inFlight >= share,
      );
  while (killed.size < 5) {
    const replica = busy((await system?.until((seen) => busy(seen) !== undefined, 30_000)) as SystemStatus);
    if (!replica?.pid) throw new Error(`${id} has no process to kill`);
    await until(async () => (await generatedTokens(replica.url ?? '')) > 10 * share);
    killed.add(replica.pid);
    killQuietly(replica.pid);
  }
}

/** By the engine itself. */
async function generatedTokens(url: string): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  return Number(/^vllm:generation_tokens_total.* (\d+)$/m.exec(metrics)?.[1]);
}

/** Streams without a pause until the replica has been killed five times, so that each kill meets some. */
async function streamsUnderKills(
  id: string,
  concurrency: number,
  body: LoadOptions['body'],
): Promise<LoadResult> {
  const killed = new AbortController();
  const [hit] = await Promise.all([
    streams({ requests: Number.POSITIVE_INFINITY, concurrency, body, enough: killed.signal }),
    killFiveTimes(id, concurrency).finally(() => killed.abort()),
  ]);
  return hit;
}

function expectUntouched(hit: LoadResult, calm: LoadResult): void {
  expect(hit.records.filter(({ error }) => error !== null).map(({ error }) => error)).toEqual([]);
  const compare = ({ text, finishReason, usage }: RequestRecord) => ({ text, finishReason, usage });
  for (const record of hit.records) {
    const before = calm.records[record.index % calm.records.length] as RequestRecord;
    expect(compare(record)).toEqual(compare(before));
  }
}

/**
 * Gaps as the gateway measured them, from the cut to the next token: under a second beside what the engine needs for a prompt
 * anyway, which the undisturbed run of the same streams has shown. The longest pause of each stream as its client saw it is
 * printed only: with more processes than processors it says more about them than about us.
 */
async function expectShortGaps(hit: LoadResult, calm: LoadResult): Promise<void> {
  const answer = await fetch(`${system?.adminUrl()}/api/v1/facts?limit=1000`);
  const { facts } = (await answer.json()) as { facts: { type: string; gapMs?: number }[] };
  const gaps = facts.filter(({ type }) => type === 'streamContinued').map(({ gapMs }) => gapMs ?? 0);
  const pauses = hit.records.map(({ gapsMs }) => Math.max(0, ...gapsMs));
  const in99 = (values: number[]) => Math.round(quantile(values, 0.99));
  const prefillMs = in99(calm.records.map(({ ttftMs }) => ttftMs ?? 0));
  console.log(
    `${hit.records.length} streams, ${gaps.length} continued; p99 of prefills ${prefillMs} ms, of gaps ${in99(gaps)} ms, of pauses ${in99(pauses)} ms`,
  );
  expect(gaps.length).toBeGreaterThan(0);
  expect(in99(gaps)).toBeLessThan(1_000 + prefillMs);
}

function quantile(values: number[], share: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length * share)] ?? 0;
}

describe('a replica that is killed with SIGKILL five times', () => {
  it('fails none of 200 concurrent streams on the simulator, and changes no text', async () => {
    system = await startSystem({
      models: [simulatorPool('sim', 2)],
      supervisor: { restarts_max: 20, backoff_initial_ms: 50 },
    });
    const body = (index: number) => ({
      model: 'sim',
      temperature: 0,
      max_tokens: 120 + (index % 50),
      messages: [{ role: 'user', content: `Question ${index % 200}` }],
      stream_options: { include_usage: true },
    });
    const calm = await streams({ requests: 200, concurrency: 200, body });
    const hit = await streamsUnderKills('sim/0', 200, body);
    expectUntouched(hit, calm);
    await expectShortGaps(hit, calm);
  });

  it('fails none of 16 concurrent streams on the embedded engine, and changes no text', async () => {
    system = await startSystem({ supervisor: { restarts_max: 20, backoff_initial_ms: 50 } });
    const questions = [
      'What does HTTP 429 mean?',
      'How does prefix caching work?',
      'Tell me a story.',
      'Write a long text about operating an inference service.',
    ];
    const body = (index: number) => ({
      model: 'inference-ops-demo',
      temperature: 0,
      max_tokens: 250,
      messages: [{ role: 'user', content: questions[index % questions.length] }],
      stream_options: { include_usage: true },
    });
    const calm = await streams({ requests: 16, concurrency: 16, body });
    const hit = await streamsUnderKills('inference-ops-demo/0', 16, body);
    expectUntouched(hit, calm);
    await expectShortGaps(hit, calm);
  });
});

describe('a replica that is stopped with SIGSTOP, its port still open', () => {
  it('loses its streams to the other one as soon as its probes fail, and is not restarted for that', async () => {
    system = await startSystem({
      models: [simulatorPool('sim', 2)],
      supervisor: { probe_interval_ms: 400, probe_timeout_ms: 300, probe_failures: 2 },
      // Left to itself the supervisor would restart what is stopped by a signal.
      auto_recovery: { recovery: { automatic: false } },
    });
    const body = (index: number) => ({
      model: 'sim',
      temperature: 0,
      max_tokens: 100,
      messages: [{ role: 'user', content: `Question ${index}` }],
    });
    const calm = await streams({ requests: 32, concurrency: 32, body });
    const [stopped] = (await system.status()).pools[0]?.replicas ?? [];
    const running = streams({ requests: 32, concurrency: 32, body });
    await system.until(({ pools }) => (pools[0]?.replicas[0]?.inFlight ?? 0) > 0);
    process.kill(stopped?.pid ?? 0, 'SIGSTOP');
    const hit = await running;
    process.kill(stopped?.pid ?? 0, 'SIGCONT');
    expectUntouched(hit, calm);
    const status = await system.until(({ pools }) => pools[0]?.ready === 2);
    expect(status.pools[0]?.replicas[0]).toMatchObject({ pid: stopped?.pid, restarts: 0 });
  });
});
