/**
 * A stock client that aborts, in each phase of each kind of request: the engine knows within 10 ms (median), and a request
 * that waits in the queue never reaches it (row 1 of the complaints that this design answers).
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../support/gateway-under-test.ts';
import { median, type OpenAiFixture, startOpenAiFixture, USER } from '../../support/openai-fixture.ts';
import type { Script } from '../../support/scripted-engine.ts';

const ROUNDS = 15;
let fixture: OpenAiFixture;

beforeAll(async () => {
  fixture = await startOpenAiFixture();
});
afterAll(() => fixture.stop());
afterEach(() => fixture.reset());

type Ask = (model: string, signal: AbortSignal) => PromiseLike<unknown>;
const REQUESTS: [name: string, ask: Ask][] = [
  [
    'a chat',
    (model, signal) => fixture.client.chat.completions.create({ model, messages: USER }, { signal }),
  ],
  [
    'a streamed chat',
    (model, signal) =>
      fixture.client.chat.completions.create({ model, messages: USER, stream: true }, { signal }),
  ],
  ['a completion', (model, signal) => fixture.client.completions.create({ model, prompt: 'P' }, { signal })],
  ['embeddings', (model, signal) => fixture.client.embeddings.create({ model, input: 'x' }, { signal })],
  [
    'rerank',
    (model, signal) =>
      fixture.client.post('/rerank', { body: { model, query: 'q', documents: ['d'] }, signal }),
  ],
];

/** Milliseconds from the abort to the engine seeing it. */
async function abortOnce(script: Script, start: (signal: AbortSignal) => Promise<unknown>): Promise<number> {
  fixture.engine.base = script;
  const before = fixture.engine.seen.length;
  const controller = new AbortController();
  const ready = start(controller.signal);
  const seen = await eventually(() => fixture.engine.seen[before]);
  await ready;
  const leftAtMs = performance.now();
  controller.abort();
  return (await eventually(() => seen.abortedAtMs)) - leftAtMs;
}

async function medianDelay(
  script: Script,
  start: (signal: AbortSignal) => Promise<unknown>,
): Promise<number> {
  const delays: number[] = [];
  for (let round = 0; round < ROUNDS; round++) delays.push(await abortOnce(script, start));
  return median(delays);
}

describe('an abort before the response head', () => {
  it.each(REQUESTS)('reaches the engine within 10 ms: %s', async (_name, ask) => {
    const delay = await medianDelay({ hang: true }, async (signal) => {
      void Promise.resolve(ask('script', signal)).catch(() => {});
    });
    expect(delay).toBeLessThan(10);
  });
});

describe('an abort in the body', () => {
  it.each([
    [
      'a chat',
      async (signal: AbortSignal) => {
        const stream = await fixture.client.chat.completions.create(
          { model: 'script', messages: USER, stream: true },
          { signal },
        );
        for await (const chunk of stream) if (chunk.choices[0]?.delta.content) return;
      },
    ],
    [
      'a completion',
      async (signal: AbortSignal) => {
        const stream = await fixture.client.completions.create(
          { model: 'script', prompt: 'P', stream: true },
          { signal },
        );
        for await (const chunk of stream) if (chunk.choices[0]?.text) return;
      },
    ],
  ])('reaches the engine within 10 ms: %s', async (_name, readOne) => {
    // Leaving the loop aborts as well: what is measured begins with that.
    fixture.engine.base = { stallAfter: 2 };
    const delays: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const before = fixture.engine.seen.length;
      await readOne(new AbortController().signal);
      const leftAtMs = performance.now();
      const seen = await eventually(() => fixture.engine.seen[before]);
      delays.push((await eventually(() => seen.abortedAtMs)) - leftAtMs);
    }
    expect(median(delays)).toBeLessThan(10);
  });
});

describe('an abort in the queue', () => {
  it.each(REQUESTS)('never reaches the engine, and leaves the queue: %s', async (_name, ask) => {
    fixture.engine.base = { hang: true };
    const holder = new AbortController();
    void fixture.client.chat.completions
      .create({ model: 'narrow', messages: USER }, { signal: holder.signal })
      .catch(() => {});
    await eventually(() => fixture.engine.seen.length === 1);
    const logged = () =>
      fixture.gateway.log().filter((line) => line.outcome === 'cancelled-by-client' && line.attempts === 0);
    const before = logged().length;
    const waiting = new AbortController();
    const left = Promise.resolve(ask('narrow', waiting.signal)).catch((error: unknown) => error);
    await new Promise((resolve) => setTimeout(resolve, 40));
    waiting.abort();
    await left;
    await eventually(() => logged().length === before + 1);
    holder.abort();
    await eventually(() => fixture.engine.inFlight === 0);
    expect(fixture.engine.seen).toHaveLength(1);
  });
});
