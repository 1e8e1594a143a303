/**
 * What the tests of the Responses API over the stock client share: a gateway with two keys, behind it a scripted engine (`m`;
 * `narrow` takes one request at a time, `uncounted` counts no tokens), `down` without a replica, and `dead` where nobody answers.
 */
import { createHash } from 'node:crypto';
import OpenAI from 'openai';
import type { Response, ResponseStreamEvent } from 'openai/resources/responses/responses';
import { expect } from 'vitest';
import { eventually, poolOf, type RunningGateway, startGateway } from './gateway-under-test.ts';
import { type ScriptedEngine, startScriptedEngine } from './scripted-engine.ts';

export interface ResponsesFixture {
  gateway: RunningGateway;
  engine: ScriptedEngine;
  client: OpenAI;
  /** Another caller of the same gateway. */
  stranger: OpenAI;
  /** A client with the key of that name; `ada` and `bob` have one. */
  clientOf(name: string): OpenAI;
  /** What the engine was asked last. */
  lastBody(): Record<string, unknown>;
  /** The response when it has ended. */
  untilDone(id: string): Promise<Response>;
  /** Waits until the engine is idle; back to one that answers, with nothing remembered. */
  reset(): Promise<void>;
  stop(): Promise<void>;
}

export async function startResponsesFixture(): Promise<ResponsesFixture> {
  const engine = await startScriptedEngine();
  const gateway = await startGateway(
    [
      poolOf('m', [{ url: engine.url }]),
      poolOf('narrow', [{ url: engine.url, window: 1 }]),
      poolOf('down', [{ url: 'http://127.0.0.1:9', state: 'backing-off' }]),
      poolOf('dead', [{ url: 'http://127.0.0.1:9' }]),
      poolOf('uncounted', [{ url: engine.url, capabilities: { tokenize: false } }]),
    ],
    { keys: [keyOf('ada'), keyOf('bob')], queueSizeMax: 1, queueTimeoutMs: 500 },
  );
  const clientOf = (name: string) => new OpenAI({ baseURL: gateway.v1, apiKey: `sk-${name}`, maxRetries: 0 });
  const client = clientOf('ada');
  return {
    gateway,
    engine,
    client,
    stranger: clientOf('bob'),
    clientOf,
    lastBody: () => engine.seen.filter(({ path }) => path.startsWith('/v1')).at(-1)?.body ?? {},
    untilDone: async (id) => {
      for (;;) {
        const response = await client.responses.retrieve(id);
        if (response.status !== 'queued' && response.status !== 'in_progress') return response;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    reset: async () => {
      await eventually(() => engine.inFlight === 0);
      engine.base = {};
      engine.next = [];
      engine.seen = [];
    },
    stop: async () => {
      await gateway.stop();
      await engine.close();
    },
  };
}

const keyOf = (name: string) => ({ name, sha256: createHash('sha256').update(`sk-${name}`).digest('hex') });

/** All events, which are numbered without a gap. */
export async function eventsOf(stream: AsyncIterable<ResponseStreamEvent>): Promise<ResponseStreamEvent[]> {
  const events: ResponseStreamEvent[] = [];
  for await (const event of stream) events.push(event);
  expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, index) => index));
  return events;
}

export async function failure(promise: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  return promise.then(
    () => {
      throw new Error('expected an error');
    },
    (thrown) => thrown as InstanceType<typeof OpenAI.APIError>,
  );
}

const call = (index: number, fields: Record<string, unknown>) => ({ tool_calls: [{ index, ...fields }] });
/** Deltas of two calls whose arguments come in pieces. */
export const TWO_CALLS = [
  { content: 'I look.' },
  call(0, { id: 'call_a', type: 'function', function: { name: 'weather', arguments: '{"city":' } }),
  call(0, { function: { arguments: '"Paris"}' } }),
  call(1, { id: 'call_b', type: 'function', function: { name: 'weather', arguments: '{"city":' } }),
  call(1, { function: { arguments: '"Rome"}' } }),
];
export const WEATHER = {
  type: 'function' as const,
  name: 'weather',
  description: 'Weather of a city',
  strict: true,
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};
