/** Errors by class, departures in each phase, and hostile requests, as the stock client sees them. */
import OpenAI from 'openai';
import type { ResponseStreamEvent } from 'openai/resources/responses/responses';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually, type RunningGateway } from '../../support/gateway-under-test.ts';
import { failure, type ResponsesFixture, startResponsesFixture } from '../../support/responses-fixture.ts';
import type { ScriptedEngine } from '../../support/scripted-engine.ts';

let fixture: ResponsesFixture;
let client: OpenAI;
let engine: ScriptedEngine;
let gateway: RunningGateway;

beforeAll(async () => {
  fixture = await startResponsesFixture();
  ({ client, engine, gateway } = fixture);
});

afterAll(() => fixture?.stop());

afterEach(() => fixture.reset());

describe('errors', () => {
  it.each([
    ['no such model', { model: 'nope', input: 'x' }, 404, 'model_not_found'],
    ['a built-in tool', { model: 'm', input: 'x', tools: [{ type: 'web_search' }] }, 400, 'invalid_request'],
    [
      'an unknown part',
      { model: 'm', input: [{ role: 'user', content: [{ type: 'x' }] }] },
      400,
      'invalid_request',
    ],
    [
      'background without store',
      { model: 'm', input: 'x', background: true, store: false },
      400,
      'invalid_request',
    ],
    [
      'an unknown previous response',
      { model: 'm', input: 'x', previous_response_id: 'resp_x' },
      400,
      'previous_response_not_found',
    ],
    ['no input', { model: 'm' }, 400, 'invalid_request'],
    ['no replica', { model: 'down', input: 'x' }, 503, 'no_replica'],
  ])('%s', async (_name, body, status, code) => {
    const error = await failure(client.responses.create(body as never));
    expect(error).toMatchObject({ status, code });
    expect(error.message.length).toBeGreaterThan(10);
  });

  it('a wrong key', async () => {
    const error = await failure(fixture.clientOf('eve').responses.create({ model: 'm', input: 'x' }));
    expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
  });

  it('a full queue', async () => {
    engine.base = { hang: true };
    const controller = new AbortController();
    const { signal } = controller;
    const ask = (options = {}) => failure(client.responses.create({ model: 'narrow', input: 'x' }, options));
    const holder = ask({ signal });
    await eventually(() => engine.inFlight === 1);
    // Two at once: one stands in the queue, which the other finds full.
    const errors: unknown[] = [];
    while (!errors.some((error) => error instanceof OpenAI.RateLimitError))
      errors.push(...(await Promise.all([ask(), ask()])));
    controller.abort();
    await holder;
  });

  it('cancelling what was not created in the background', async () => {
    const { id } = await client.responses.create({ model: 'm', input: 'Hi' });
    expect(await failure(client.responses.cancel(id))).toBeInstanceOf(OpenAI.BadRequestError);
  });

  it('streaming what has no events', async () => {
    const { id } = await client.responses.create({ model: 'm', input: 'Hi' });
    expect(await failure(client.responses.retrieve(id, { stream: true }))).toMatchObject({
      status: 400,
      param: 'stream',
    });
  });

  it('pages that do not exist', async () => {
    const { id } = await client.responses.create({ model: 'm', input: 'Hi' });
    expect(
      await failure(client.responses.inputItems.list(id, { limit: 1_000 }) as unknown as Promise<unknown>),
    ).toMatchObject({ status: 400, param: 'limit' });
    expect(
      await failure(client.responses.inputItems.list(id, { after: 'msg_1' }) as unknown as Promise<unknown>),
    ).toMatchObject({ status: 400, param: 'after' });
  });
});

describe('a client that leaves', () => {
  const ROUNDS = 15;

  /** Milliseconds from the departure to the engine seeing it; the median of some rounds. */
  async function medianAbortMs(script: object, stream: boolean): Promise<number> {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      engine.seen = [];
      engine.next = [script];
      const controller = new AbortController();
      const answer = client.responses.create(
        { model: 'm', input: 'Hi', stream },
        { signal: controller.signal },
      );
      const seen = await eventually(() => engine.seen[0]);
      if (stream) {
        const events = (await answer) as AsyncIterable<ResponseStreamEvent>;
        for await (const event of events) if (event.type === 'response.output_text.delta') break;
      } else {
        const ended = failure(answer as Promise<unknown>);
        controller.abort();
        await ended;
      }
      const leftAtMs = performance.now();
      controller.abort();
      await eventually(() => seen.abortedAtMs !== null);
      times.push((seen.abortedAtMs as number) - leftAtMs);
    }
    return times.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] as number;
  }

  it.each([
    ['before the headers', { hang: true }, false],
    ['in the body', { stallAfter: 3 }, true],
  ])('%s frees the engine within 10 ms', async (_phase, script, stream) => {
    expect(await medianAbortMs(script, stream)).toBeLessThan(10);
  });

  it('in the queue is never sent to an engine', async () => {
    engine.base = { hang: true };
    const controller = new AbortController();
    const first = failure(
      client.responses.create({ model: 'narrow', input: 'x' }, { signal: controller.signal }),
    );
    await eventually(() => engine.inFlight === 1);
    const second = new AbortController();
    const queued = failure(
      client.responses.create({ model: 'narrow', input: 'y' }, { signal: second.signal }),
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    second.abort();
    await queued;
    controller.abort();
    await first;
    await eventually(() => engine.inFlight === 0);
    expect(engine.seen).toHaveLength(1);
  });
});

describe('hostile requests', () => {
  it('are refused with 400 when they are nested too deeply to be written again', async () => {
    const deep = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    const bodies = [
      `{"model":"m","input":"x","tools":[{"type":"function","name":"f","parameters":${deep}}]}`,
      `{"model":"m","input":[{"role":"user","content":[{"type":"input_audio","input_audio":${deep}}]}]}`,
      `{"model":"m","input":"x","prompt_cache_key":${deep}}`,
    ];
    for (const path of ['/v1/responses', '/v1/responses/input_tokens']) {
      for (const body of bodies) {
        const headers = { authorization: 'Bearer sk-ada' };
        const response = await fetch(gateway.url + path, { method: 'POST', body, headers });
        expect(await response.json()).toMatchObject({ error: { code: 'invalid_request' } });
        expect(response.status).toBe(400);
      }
    }
  });

  const send = (method: string, path: string, body?: string) =>
    fetch(`${gateway.url}${path}`, {
      method,
      headers: { authorization: 'Bearer sk-ada' },
      ...(body !== undefined && { body }),
    });

  it.each([
    ['GET', '/v1/responses/%00'],
    ['GET', '/v1/responses/%2e%2e'],
    ['GET', `/v1/responses/${'x'.repeat(2_000)}`],
    ['GET', "/v1/responses/resp_'%20OR%201=1--"],
    ['DELETE', '/v1/responses/%27%3B%20DROP%20TABLE%20responses'],
    ['POST', '/v1/responses/resp_x/cancel'],
    ['GET', '/v1/responses/resp_x/input_items?limit=-1&order=sideways'],
    ['PUT', '/v1/responses/resp_x'],
    ['POST', '/v1/responses', '['],
    ['POST', '/v1/responses', '{"model":"m","input":{"__proto__":{"x":1}}}'],
    ['POST', '/v1/responses', `{"model":"m","input":${'['.repeat(5_000)}${']'.repeat(5_000)}}`],
    ['POST', '/v1/responses', '{"model":"m","input":"x","previous_response_id":"resp_\u0000"}'],
  ])('%s %s is refused with a 4xx', async (method, path, body?: string) => {
    const answer = await send(method, path, body);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
    expect(await answer.json()).toMatchObject({
      error: { message: expect.any(String), type: expect.any(String) },
    });
  });

  it('text with lone surrogates and NUL is stored and given back', async () => {
    const { id } = await client.responses.create({ model: 'm', input: 'a\u0000b\ud800c' });
    const { data } = await client.responses.inputItems.list(id);
    expect((data[0] as { content: { text: string }[] }).content[0]?.text).toBe('a\u0000b\ud800c');
  });
});
