/**
 * Goal: what holds for chat when an engine dies holds for responses: the stream goes on with the same content, or ends with
 * response.failed; arguments and structured output are never half. What is stored outlives gateway and node process.
 * Method: real gateway processes between the stock client and engines that die at exact places, or the whole system.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import type { Response, ResponseStreamEvent } from 'openai/resources/responses/responses';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import {
  ANSWER_TEXT,
  type Script,
  type ScriptedChat,
  type ScriptedEngine,
} from '../support/scripted-engine.ts';
import { type ScriptedPair, startScriptedPair } from '../support/scripted-pair.ts';
import {
  killQuietly,
  type SystemUnderTest,
  simulatorPool,
  startSystem,
} from '../support/system-under-test.ts';

const call = (index: number, fields: Record<string, unknown>) => ({ tool_calls: [{ index, ...fields }] });
const CALLS: ScriptedChat = {
  deltas: [
    { content: 'I look.' },
    call(0, { id: 'call_a', type: 'function', function: { name: 'weather', arguments: '' } }),
    call(0, { function: { arguments: '{"city":' } }),
    call(0, { function: { arguments: '"Paris"}' } }),
    call(1, { id: 'call_b', type: 'function', function: { name: 'weather', arguments: '{"city":' } }),
    call(1, { function: { arguments: '"Rome"}' } }),
  ],
};
const STRUCTURED: ScriptedChat = {
  deltas: ['{"city":', '"Par', 'is","degrees"', ':21}'].map((content) => ({ content })),
};
const TOOL = { type: 'function' as const, name: 'weather', strict: true, parameters: { type: 'object' } };
const FORMAT = { type: 'json_schema' as const, name: 'weather', schema: { type: 'object' } };

let pair: ScriptedPair;
let one: ScriptedEngine;
let stateDir: string;
let client: OpenAI;

beforeAll(async () => {
  stateDir = mkdtempSync(join(tmpdir(), 'autoglm-state-'));
  pair = await startScriptedPair('m', {}, { stateDir });
  [one] = pair.engines;
  client = clientOf(pair.gateway);
});

afterAll(async () => {
  await pair?.stop();
  rmSync(stateDir, { recursive: true, force: true });
});

afterEach(() => pair.reset());

function clientOf({ v1 }: RunningGateway): OpenAI {
  return new OpenAI({ baseURL: v1, apiKey: 'none', maxRetries: 0 });
}

type Params = OpenAI.Responses.ResponseCreateParamsNonStreaming;

async function streamed(params: Params): Promise<{ events: ResponseStreamEvent[]; last: Response }> {
  const events: ResponseStreamEvent[] = [];
  for await (const event of await client.responses.create({ ...params, stream: true })) events.push(event);
  expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, index) => index));
  const last = events.at(-1) as { response?: Response };
  return { events, last: last.response as Response };
}

/** Whichever engine is asked first dies there; the other one answers whole. */
function withFirstDying(script: Script, dieAfter: number, params: Params) {
  pair.play({ ...script, dieAfter }, script);
  return streamed(params);
}

/** What a reader of the stream has at its end, without ids and times. */
const contentOf = (response: Response) =>
  response.output.map((item) => {
    const { id: _id, ...rest } = item as unknown as Record<string, unknown>;
    return rest;
  });

const deltasOf = (events: ResponseStreamEvent[], type: string) =>
  events
    .filter((event) => event.type === type)
    .map((event) => (event as { delta: string }).delta)
    .join('');

describe('an engine that dies in the middle of a responses stream', () => {
  it.each([1, 5, 10])('after %i tokens of text: the text goes on', async (dieAfter) => {
    const { events, last } = await withFirstDying({}, dieAfter, { model: 'm', input: 'Hi' });
    expect(last).toMatchObject({ status: 'completed' });
    expect(deltasOf(events, 'response.output_text.delta')).toBe(ANSWER_TEXT);
    expect((await client.responses.retrieve(last.id)).output_text).toBe(ANSWER_TEXT);
  });

  it.each([
    2, 3, 4, 5,
  ])('in calls of tools, at event %i, temperature 0: identical calls', async (dieAfter) => {
    const params: Params = { model: 'm', input: 'Hi', tools: [TOOL], temperature: 0 };
    pair.play({ chat: CALLS });
    const calm = await streamed(params);
    const hit = await withFirstDying({ chat: CALLS }, dieAfter, params);
    expect(hit.last.status).toBe('completed');
    expect(contentOf(hit.last)).toEqual(contentOf(calm.last));
    expect(deltasOf(hit.events, 'response.function_call_arguments.delta')).toBe(
      '{"city":"Paris"}{"city":"Rome"}',
    );
  });

  it.each([
    2, 3, 4, 5,
  ])('in calls of tools, at event %i, sampled: failed, and no call is half', async (dieAfter) => {
    const params: Params = { model: 'm', input: 'Hi', tools: [TOOL], temperature: 0.7 };
    const { events, last } = await withFirstDying({ chat: CALLS }, dieAfter, params);
    expect(events.at(-1)?.type).toBe('response.failed');
    expect(last).toMatchObject({ status: 'failed', error: { code: 'server_error' } });
    expect(last.output.filter(({ type }) => type === 'function_call')).toEqual([]);
    expect(events.some(({ type }) => type === 'response.function_call_arguments.done')).toBe(false);
  });

  it.each([1, 2, 3])('in structured output, at event %i, temperature 0: the same JSON', async (dieAfter) => {
    const params: Params = { model: 'm', input: 'Hi', temperature: 0, text: { format: FORMAT } };
    const { events, last } = await withFirstDying({ chat: STRUCTURED }, dieAfter, params);
    expect(last.status).toBe('completed');
    expect(JSON.parse(deltasOf(events, 'response.output_text.delta'))).toEqual({
      city: 'Paris',
      degrees: 21,
    });
  });

  it('in structured output, sampled: failed, and what there was is marked as incomplete', async () => {
    const params: Params = { model: 'm', input: 'Hi', temperature: 0.7, text: { format: FORMAT } };
    const { last } = await withFirstDying({ chat: STRUCTURED }, 2, params);
    expect(last).toMatchObject({ status: 'failed', output: [{ status: 'incomplete' }] });
  });

  it('before its first token: nobody notices', async () => {
    pair.play({ dieAfterRole: true });
    const { last } = await streamed({ model: 'm', input: 'Hi' });
    expect(last.status).toBe('completed');
  });

  it('of a background response: it completes all the same', async () => {
    pair.play({ dieAfter: 4, paceMs: 5 });
    const { id } = await client.responses.create({ model: 'm', input: 'Hi', background: true });
    for (;;) {
      const response = await client.responses.retrieve(id);
      if (response.status === 'queued' || response.status === 'in_progress') continue;
      expect(response).toMatchObject({ status: 'completed', output_text: ANSWER_TEXT });
      break;
    }
  });
});

describe('two gateway processes over one state directory', () => {
  let second: RunningGateway;
  let other: OpenAI;
  beforeAll(async () => {
    second = await startGateway([poolOf('m', [{ url: one.url }])], {}, { stateDir });
    other = clientOf(second);
  });
  afterAll(() => second.stop());

  it('share responses and conversations', async () => {
    const first = await client.responses.create({ model: 'm', input: 'One' });
    expect((await other.responses.retrieve(first.id)).output_text).toBe(ANSWER_TEXT);
    const next = await other.responses.create({ model: 'm', input: 'Two', previous_response_id: first.id });
    expect((await client.responses.retrieve(next.id)).previous_response_id).toBe(first.id);
  });

  it('cancel background responses of each other, which reaches the engine within two seconds', async () => {
    pair.play({ stallAfter: 1 });
    const { id } = await client.responses.create({ model: 'm', input: 'Hi', background: true });
    const seen = await eventually(() => pair.asked()[0]);
    expect((await other.responses.cancel(id)).status).toBe('cancelled');
    await eventually(() => seen.abortedAtMs !== null, 2_000);
    expect((await client.responses.retrieve(id)).status).toBe('cancelled');
  });

  it('stream the events of each other’s background responses', async () => {
    pair.play({ paceMs: 20 });
    const { id } = await client.responses
      .create({ model: 'm', input: 'Hi', background: true, stream: true })
      .then(async (stream) => {
        for await (const event of stream) if (event.type === 'response.created') return event.response;
        throw new Error('no response.created');
      });
    const response = await other.responses.stream({ response_id: id }).finalResponse();
    expect(response).toMatchObject({ status: 'completed', output_text: ANSWER_TEXT });
  });

  it('finish background responses before they stop', async () => {
    const stopping = await startGateway([poolOf('m', [{ url: one.url }])], {}, { stateDir });
    pair.play({ paceMs: 60 });
    const { id } = await clientOf(stopping).responses.create({ model: 'm', input: 'Hi', background: true });
    await eventually(() => one.inFlight > 0);
    stopping.process.kill('SIGTERM');
    await eventually(() => stopping.process.exitCode !== null, 10_000);
    expect(await other.responses.retrieve(id)).toMatchObject({
      status: 'completed',
      output_text: ANSWER_TEXT,
    });
    await stopping.stop();
  });

  it('lose nothing that is stored when one is killed, and say of what it was doing that it failed', async () => {
    const dying = await startGateway([poolOf('m', [{ url: one.url }])], {}, { stateDir });
    const kept = await clientOf(dying).responses.create({ model: 'm', input: 'Hi' });
    pair.play({ stallAfter: 1 });
    const running = await clientOf(dying).responses.create({ model: 'm', input: 'Hi', background: true });
    await eventually(() => one.inFlight > 0);
    dying.process.kill('SIGKILL');
    await eventually(() => dying.process.signalCode !== null);
    expect((await other.responses.retrieve(kept.id)).output_text).toBe(ANSWER_TEXT);
    const endMs = performance.now() + 25_000;
    let response = await other.responses.retrieve(running.id);
    while (response.status === 'queued' || response.status === 'in_progress') {
      expect(performance.now()).toBeLessThan(endMs);
      await new Promise((resolve) => setTimeout(resolve, 100));
      response = await other.responses.retrieve(running.id);
    }
    expect(response).toMatchObject({ status: 'failed', error: { code: 'server_error' } });
    expect(response.error?.message).toContain('gateway');
    await dying.stop();
  });
});

describe('the whole system', () => {
  let system: SystemUnderTest;
  afterAll(() => system?.stop());

  it('keeps and serves responses while the node process is killed', async () => {
    system = await startSystem({ models: [simulatorPool('sim', 2)], supervisor: { backoff_initial_ms: 50 } });
    const sdk = new OpenAI({ baseURL: system.v1(), apiKey: 'none', maxRetries: 0 });
    const ask = (previous?: string) =>
      sdk.responses.create({
        model: 'sim',
        input: 'Hi',
        max_output_tokens: 20,
        temperature: 0,
        ...(previous !== undefined && { previous_response_id: previous }),
      });
    const first = await ask();
    const background = await sdk.responses.create({
      model: 'sim',
      input: 'Long',
      max_output_tokens: 100,
      background: true,
    });
    killQuietly((await system.status()).node.pid);
    const second = await ask(first.id);
    expect((await sdk.responses.retrieve(second.id)).output).toEqual(second.output);
    let response = background;
    while (response.status === 'queued' || response.status === 'in_progress')
      response = await sdk.responses.retrieve(background.id);
    expect(response.error).toBeNull();
    expect(response.output_text).not.toBe('');
  });
});
