/**
 * Goal: killing an engine costs the client nothing. Method: the whole system as `autoglm serve` starts it, many streams at
 * once, one replica killed again and again with SIGKILL; each text is compared with the undisturbed run of the same request.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { type LoadResult, type RequestRecord, runLoad } from '../../bench/load-client.ts';
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
  requests: number,
  concurrency: number,
  body: (index: number) => object,
): Promise<LoadResult> {
  return runLoad({ url: `${system?.v1()}/chat/completions`, requests, concurrency, stream: true, body });
}

/** Kills the named replica as soon as it is ready, `times` over, while `running` says so. */
async function killRepeatedly(id: string, times: number, betweenMs: number): Promise<number> {
  let last = 0;
  let kills = 0;
  while (kills < times) {
    const status = await system?.until(
      ({ pools }) =>
        pools.some(({ replicas }) =>
          replicas.some((replica) => replica.id === id && replica.state === 'ready' && replica.pid !== last),
        ),
      30_000,
    );
    await new Promise((resolve) => setTimeout(resolve, betweenMs));
    const replica = status?.pools.flatMap(({ replicas }) => replicas).find((found) => found.id === id);
    last = replica?.pid ?? 0;
    killQuietly(last);
    kills++;
  }
  return kills;
}

function expectUntouched(hit: LoadResult, calm: LoadResult): void {
  expect(hit.records.filter(({ error }) => error !== null).map(({ error }) => error)).toEqual([]);
  const compare = ({ text, finishReason, usage }: RequestRecord) => ({ text, finishReason, usage });
  for (const record of hit.records) {
    const before = calm.records[record.index % calm.records.length] as RequestRecord;
    expect(compare(record)).toEqual(compare(before));
  }
}

/** What the surviving engine needs by itself to take over all streams of the other one at once, on two busy processors. */
const SIMULATOR_PREFILL_MS = 500;
const EMBEDDED_PREFILL_MS = 5_000;

/** Gaps as the gateway measured them, from the cut to the next token. */
async function expectShortGaps(prefillMs: number): Promise<void> {
  const answer = await fetch(`${system?.adminUrl()}/api/v1/facts?limit=1000`);
  const { facts } = (await answer.json()) as { facts: { type: string; gapMs?: number }[] };
  const gaps = facts.filter(({ type }) => type === 'streamContinued').map(({ gapMs }) => gapMs ?? 0);
  expect(gaps.length).toBeGreaterThan(0);
  console.log(
    `${gaps.length} streams continued; gap p50 ${Math.round(quantile(gaps, 0.5))} ms, p99 ${Math.round(quantile(gaps, 0.99))} ms`,
  );
  expect(quantile(gaps, 0.99)).toBeLessThan(1_000 + prefillMs);
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
    const calm = await streams(200, 200, body);
    // A new stream begins whenever one ends, so that each kill meets streams on the replica.
    const [hit] = await Promise.all([streams(1_200, 200, body), killRepeatedly('sim/0', 5, 400)]);
    expectUntouched(hit, calm);
    await expectShortGaps(SIMULATOR_PREFILL_MS);
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
    const calm = await streams(16, 16, body);
    const [hit] = await Promise.all([streams(96, 16, body), killRepeatedly('inference-ops-demo/0', 5, 400)]);
    expectUntouched(hit, calm);
    await expectShortGaps(EMBEDDED_PREFILL_MS);
  });
});

describe('a replica that is stopped with SIGSTOP, its port still open', () => {
  it('loses its streams to the other one as soon as its probes fail, and is not restarted for that', async () => {
    system = await startSystem({
      models: [simulatorPool('sim', 2)],
      supervisor: { probe_interval_ms: 400, probe_timeout_ms: 300, probe_failures: 2 },
    });
    const body = (index: number) => ({
      model: 'sim',
      temperature: 0,
      max_tokens: 100,
      messages: [{ role: 'user', content: `Question ${index}` }],
    });
    const calm = await streams(32, 32, body);
    const [stopped] = (await system.status()).pools[0]?.replicas ?? [];
    const running = streams(32, 32, body);
    await system.until(({ pools }) => (pools[0]?.replicas[0]?.inFlight ?? 0) > 0);
    process.kill(stopped?.pid ?? 0, 'SIGSTOP');
    const hit = await running;
    process.kill(stopped?.pid ?? 0, 'SIGCONT');
    expectUntouched(hit, calm);
    const status = await system.until(({ pools }) => pools[0]?.ready === 2);
    expect(status.pools[0]?.replicas[0]).toMatchObject({ pid: stopped?.pid, restarts: 0 });
  });
});
