/** Errors by class over the stock client, and what its own retries do. */
import { createHash } from 'node:crypto';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { poolOf, startGateway } from '../../support/gateway-under-test.ts';
import { failureOf, type OpenAiFixture, startOpenAiFixture, USER } from '../../support/openai-fixture.ts';
import { ANSWER_TEXT } from '../../support/scripted-engine.ts';

let fixture: OpenAiFixture;

beforeAll(async () => {
  fixture = await startOpenAiFixture();
});
afterAll(() => fixture.stop());
afterEach(() => fixture.reset());

const ask = (client: OpenAI = fixture.client, model = 'script') =>
  client.chat.completions.create({ model, messages: USER });

describe('an error of the engine', () => {
  it.each([
    [400, OpenAI.BadRequestError],
    [401, OpenAI.AuthenticationError],
    [403, OpenAI.PermissionDeniedError],
    [404, OpenAI.NotFoundError],
    [409, OpenAI.ConflictError],
    [422, OpenAI.UnprocessableEntityError],
    [429, OpenAI.RateLimitError],
    [500, OpenAI.InternalServerError],
    [502, OpenAI.InternalServerError],
    [503, OpenAI.InternalServerError],
    [504, OpenAI.InternalServerError],
  ] as const)('with status %i is thrown as its class, with code, type and param', async (status, errorClass) => {
    fixture.engine.base = { status, body: '{"error":{"message":"m","type":"t","param":"p","code":"c"}}' };
    const error = await failureOf(ask());
    expect(error).toBeInstanceOf(errorClass);
    expect(error).toMatchObject({ status, code: 'c', type: 't', param: 'p' });
    expect(error.requestID).toMatch(/^req-/);
  });
});

describe('an error of the gateway', () => {
  it('is a 404 for a model that does not exist, with the names of those that do', async () => {
    const error = await failureOf(ask(fixture.client, 'nope'));
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect(error).toMatchObject({ code: 'model_not_found', param: 'model' });
    expect(error.message).toContain('sim');
  });

  it('is a 400 for a body without messages', async () => {
    const error = await failureOf(fixture.client.post('/chat/completions', { body: { model: 'sim' } }));
    expect(error).toMatchObject({ status: 400, code: 'invalid_request', param: 'messages' });
  });

  it('is a 400 of the engine for a prompt that does not fit', async () => {
    const messages = [{ role: 'user' as const, content: 'word '.repeat(40_000) }];
    const error = await failureOf(fixture.client.chat.completions.create({ model: 'sim', messages }));
    expect(error).toMatchObject({ status: 400, code: 'context_length_exceeded' });
  });

  it('is a 413 for a body beyond the limit', async () => {
    const messages = [{ role: 'user' as const, content: 'x'.repeat(1_100_000) }];
    const error = await failureOf(fixture.client.chat.completions.create({ model: 'sim', messages }));
    expect(error).toMatchObject({ status: 413, code: 'body_too_large' });
  });

  it('is a 408 for a request that waited in vain, and a 429 for one that found the queue full', async () => {
    const tight = await startGateway([poolOf('narrow', [{ url: fixture.engine.url, window: 1 }])], {
      workers: 1,
      queueSizeMax: 1,
      queueTimeoutMs: 400,
    });
    try {
      fixture.engine.base = { hang: true };
      const client = fixture.newClient({ baseURL: tight.v1 });
      const leave = new AbortController();
      void client.chat.completions
        .create({ model: 'narrow', messages: USER }, { signal: leave.signal })
        .catch(() => {});
      while (fixture.engine.seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      const errors = await Promise.all([1, 2].map(() => failureOf(ask(client, 'narrow'))));
      errors.sort((a, b) => Number(a.status) - Number(b.status));
      expect(errors.map(({ status, code }) => [status, code])).toEqual([
        [408, 'queue_timeout'],
        [429, 'saturated'],
      ]);
      expect(errors[1]).toBeInstanceOf(OpenAI.RateLimitError);
      expect(errors[1]?.headers?.get('retry-after')).toMatch(/^\d+$/);
      leave.abort();
    } finally {
      await tight.stop();
    }
  });

  it('is a 401 for a wrong key and passes for the right one', async () => {
    const sha256 = createHash('sha256').update('sk-right-key').digest('hex');
    const locked = await startGateway([poolOf('script', [{ url: fixture.engine.url }])], {
      keys: [{ name: 'me', sha256 }],
    });
    try {
      const client = (apiKey: string) => fixture.newClient({ baseURL: locked.v1, apiKey });
      expect(await failureOf(ask(client('sk-wrong')))).toBeInstanceOf(OpenAI.AuthenticationError);
      expect((await ask(client('sk-right-key'))).choices[0]?.message.content).toBe(ANSWER_TEXT);
    } finally {
      await locked.stop();
    }
  });

  it('is a 502 when the engine dies each time, and a 503 when none listens', async () => {
    fixture.engine.base = { dieBeforeHead: true };
    expect(await failureOf(ask())).toMatchObject({ status: 502, code: 'engine_failed' });
    const dead = await startGateway([poolOf('script', [{ url: 'http://127.0.0.1:9' }])]);
    try {
      expect(await failureOf(ask(fixture.newClient({ baseURL: dead.v1 })))).toMatchObject({
        status: 503,
        code: 'no_replica',
      });
    } finally {
      await dead.stop();
    }
  });

  it('is a 501 that the client does not repeat for what the engine can not do', async () => {
    const before = fixture.engine.seen.length;
    const client = fixture.newClient({ maxRetries: 3 });
    const body = { model: 'sim', messages: USER, tools: [], structured_outputs: { regex: 'a' } };
    expect((await failureOf(client.post('/chat/completions', { body }))).status).toBe(400);
    expect((await failureOf(client.post('/pooling', { body: { model: 'sim', input: 'x' } }))).status).toBe(
      501,
    );
    expect(fixture.engine.seen.length).toBe(before);
  });
});

describe('retries of the client', () => {
  it('save a request whose engine was overloaded for a moment', async () => {
    const overloaded = { status: 429, headers: { 'retry-after-ms': '5' } };
    fixture.engine.next = [overloaded, overloaded, overloaded];
    const answer = await ask(fixture.newClient({ maxRetries: 2 }));
    expect(answer.choices[0]?.message.content).toBe(ANSWER_TEXT);
    // Three attempts of the gateway made the first one of the client.
    expect(fixture.engine.seen).toHaveLength(4);
  });

  it('do not happen where the engine says that they are no use', async () => {
    fixture.engine.base = { status: 409, headers: { 'x-should-retry': 'false' } };
    await failureOf(ask(fixture.newClient({ maxRetries: 3 })));
    expect(fixture.engine.seen).toHaveLength(1);
  });

  it('do not happen after a client error', async () => {
    fixture.engine.base = { status: 400 };
    await failureOf(ask(fixture.newClient({ maxRetries: 3 })));
    expect(fixture.engine.seen).toHaveLength(1);
  });
});

describe('the connection', () => {
  it('that can not be made is an APIConnectionError', async () => {
    const client = fixture.newClient({ baseURL: 'http://127.0.0.1:9/v1' });
    expect(await failureOf(ask(client))).toBeInstanceOf(OpenAI.APIConnectionError);
  });

  it('that gives nothing in time is an APIConnectionTimeoutError, and frees the engine', async () => {
    fixture.engine.base = { hang: true };
    const client = fixture.newClient({ timeout: 200 });
    expect(await failureOf(ask(client))).toBeInstanceOf(OpenAI.APIConnectionTimeoutError);
    while (fixture.engine.inFlight > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  });

  it('that times out once is made again by a retry', async () => {
    fixture.engine.next = [{ hang: true }];
    const answer = await ask(fixture.newClient({ timeout: 300, maxRetries: 1 }));
    expect(answer.choices[0]?.message.content).toBe(ANSWER_TEXT);
  });
});
