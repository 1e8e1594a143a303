/**
 * What a driver says of its engine, checked against the engine: the simulator in each dialect, and a real one where the environment
 * or `npm run conformance` names it. The same cases for both, so that the simulator cannot drift from what it pretends to be.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ContinuationTier } from '../../src/contract/continuation.ts';
import type { EngineTarget } from '../../src/contract/ports/engine-driver.ts';
import { READINESS_RUNGS } from '../../src/contract/ports/engine-driver.ts';
import { buildContinuation } from '../../src/wire/openai/continuation-request.ts';
import { ContinuedStream } from '../../src/wire/openai/continued-stream.ts';
import {
  addEvents,
  allFinished,
  choiceOf,
  type Delivered,
  emptyDelivered,
} from '../../src/wire/openai/delivered-stream.ts';
import { parseEnvelope } from '../../src/wire/openai/envelope.ts';
import {
  type EngineUnderConformance,
  enginesUnderConformance,
  type RunningEngine,
} from '../support/engine-under-conformance.ts';

const QUESTION = 'What does HTTP 429 mean?';
const CHAT = '/v1/chat/completions';
/** A cut must lie within the answer; small models stop early. */
const TOKENS = 24;

let running: RunningEngine | undefined;
const target = (): EngineTarget => (running as RunningEngine).target;
const soon = () => AbortSignal.timeout(30_000);

function ask(path: string, body: object, signal?: AbortSignal): Promise<Response> {
  const { url, servedModel, engineKey } = target();
  return fetch(`${url}${path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(engineKey !== undefined && { authorization: `Bearer ${engineKey}` }),
    },
    body: JSON.stringify({ model: servedModel, ...body }),
    signal: signal ?? AbortSignal.timeout(60_000),
  });
}

const chat = (more: object = {}) => ({
  messages: [{ role: 'user', content: QUESTION }],
  temperature: 0,
  max_tokens: TOKENS,
  ...more,
});

/** The events of a stream, each with its blank line; comments left out. */
async function eventsOf(path: string, body: object): Promise<string[]> {
  const response = await ask(path, { ...body, stream: true });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
  return text
    .split('\n\n')
    .filter((event) => event.startsWith('data:'))
    .map((event) => `${event}\n\n`);
}

function deliveredOf(events: readonly string[]): Delivered {
  const delivered = emptyDelivered();
  addEvents(delivered, events.join(''));
  return delivered;
}

const textOf = (events: readonly string[]) => choiceOf(deliveredOf(events), 0).text;

describe.each(
  enginesUnderConformance(process.env).map((engine) => [engine.label, engine] as const),
)('%s', (_label, engine) => {
  if (engine.skipped !== undefined) {
    it.skip(engine.skipped, () => {});
    return;
  }
  beforeAll(async () => {
    running = await engine.start();
  });
  afterAll(async () => {
    await running?.stop();
    running = undefined;
  });
  suite(engine);
});

function suite({ driver, kind }: EngineUnderConformance): void {
  const { capabilities } = driver;

  it('climbs every rung of its ladder, and names the models when another is expected', async () => {
    for (const rung of READINESS_RUNGS)
      expect(await driver.probe(target(), rung, soon()), rung).toMatchObject({ ok: true });
    const other = { ...target(), servedModel: 'no-such-model' };
    expect(await driver.probe(other, 'model', soon())).toMatchObject({
      ok: false,
      detail: expect.stringMatching(/^model 'no-such-model' not listed; found: ./),
    });
  });

  it('streams events that are read as they are meant: text, one end, usage when asked, [DONE]', async () => {
    const events = await eventsOf(CHAT, chat({ stream_options: { include_usage: true } }));
    expect(events.at(-1)).toMatch(/^data: ?\[DONE\]\n\n$/);
    const delivered = deliveredOf(events);
    expect(delivered).toMatchObject({ done: true, unreadable: false });
    expect(allFinished(delivered, 1)).toBe(true);
    expect(allFinished(deliveredOf(events.slice(0, 3)), 1)).toBe(false);
    expect(choiceOf(delivered, 0).text).not.toBe('');
    expect(delivered.usage).toMatchObject({
      prompt_tokens: expect.any(Number),
      completion_tokens: expect.any(Number),
    });
  });

  it('repeats itself at temperature 0, as far as the driver says so', async () => {
    if (capabilities.determinism === 'none') return;
    const whole = (await (await ask(CHAT, chat())).json()) as { choices: { message: { content: string } }[] };
    const streamed = textOf(await eventsOf(CHAT, chat()));
    expect(streamed).toBe(whole.choices[0]?.message.content);
    expect(textOf(await eventsOf(CHAT, chat()))).toBe(streamed);
  });

  it('goes on with a chat answer by text (tier B) exactly where the driver says so', async () => {
    await continues('B', CHAT, chat(), capabilities.chatContinuation);
  });

  it('goes on with a completion by text (tier B) exactly where the driver says so', async () => {
    const body = { prompt: QUESTION, temperature: 0, max_tokens: TOKENS };
    await continues('B', '/v1/completions', body, capabilities.templatesCompletions !== true);
  });

  it('goes on with a completion by token ids (tier A) where the driver says so', async () => {
    if (!capabilities.tokenReplay) return;
    const body = { prompt: QUESTION, temperature: 0, max_tokens: TOKENS, return_token_ids: true };
    await continues('A', '/v1/completions', body, true);
  });

  /** Cuts the answer at several events and has the engine itself go on; every joined text must be the undisturbed one. */
  async function continues(
    tier: Exclude<ContinuationTier, 'C' | 'D'>,
    path: '/v1/chat/completions' | '/v1/completions',
    body: object,
    expected: boolean,
  ): Promise<void> {
    const endpoint = path === CHAT ? 'chat' : 'completions';
    const events = await eventsOf(path, body);
    const whole = textOf(events);
    let joined = 0;
    let equal = 0;
    for (const cut of [3, 6, 9, 13]) {
      const before = deliveredOf(events.slice(0, cut));
      const choice = choiceOf(before, 0);
      if (choice.text === '' || choice.text === whole || allFinished(before, 1)) continue;
      if (capabilities.trimsPrefill === true && endpoint === 'chat' && /^\s|\s$/.test(choice.text)) continue;
      joined++;
      const text = await continued(tier, endpoint, body, before);
      // Tokens of one character share an event, so that the limit may lie a few tokens further on.
      const goesOn = text.length > choice.text.length && (text.startsWith(whole) || whole.startsWith(text));
      if (goesOn) equal++;
    }
    expect(joined, `no cut within ${JSON.stringify(whole)}`).toBeGreaterThan(0);
    if (expected) expect(equal).toBe(joined);
    else expect(equal).toBeLessThan(joined);
  }

  async function continued(
    tier: Exclude<ContinuationTier, 'C' | 'D'>,
    endpoint: 'chat' | 'completions',
    body: object,
    delivered: Delivered,
  ): Promise<string> {
    const { servedModel } = target();
    const fields = { model: servedModel, ...body, stream: true };
    const choice = choiceOf(delivered, 0);
    const ids = [...(delivered.promptTokenIds ?? []), ...(choice.tokenIds ?? [])];
    const upstream = buildContinuation(tier, {
      envelope: parseEnvelope(endpoint, Buffer.from(JSON.stringify(fields))),
      delivered,
      deliveredTokens: choice.tokenIds?.length || choice.textEvents,
      servedModel,
      promptIds: tier === 'A' ? ids : null,
    });
    const joiner = new ContinuedStream({
      tier,
      endpoint,
      delivered,
      deliveredTokens: choice.textEvents,
      choices: 1,
      includeUsage: false,
      stopStrings: [],
      mayEchoPrefill: capabilities.mayEchoPrefill ?? false,
    });
    const rest = joiner.push(Buffer.from((await eventsOf(upstream.path, upstream.body)).join('')));
    if (rest.kind !== 'events') throw new Error(`the continuation ended with ${JSON.stringify(rest)}`);
    return choice.text + textOf(rest.data.map((data) => `data: ${data}\n\n`));
  }

  it('refuses a bad request with a 4xx, and says so in words', async () => {
    const response = await ask(CHAT, { messages: 'no list', temperature: 0 });
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(response.status).toBeLessThan(500);
    expect((await response.text()).length).toBeGreaterThan(10);
  });

  it('counts its steps while it works, and gives up a request whose client has gone', async () => {
    const before = await driver.readMetrics(target(), soon());
    if (before === undefined) return expect(['ollama', 'openai']).toContain(kind);
    const gone = new AbortController();
    const asked = ask(CHAT, chat({ max_tokens: 1500, stream: true }), gone.signal);
    const reader = (await asked).body?.getReader();
    await reader?.read();
    const during = await driver.readMetrics(target(), soon());
    gone.abort();
    await reader?.read().catch(() => {});
    expect(during?.running ?? 0).toBeGreaterThanOrEqual(0);
    await expect
      .poll(async () => (await driver.readMetrics(target(), soon()))?.running, { timeout: 10_000 })
      .toBe(0);
    const after = await driver.readMetrics(target(), soon());
    expect(after?.progressCount ?? 0).toBeGreaterThan(before.progressCount ?? 0);
    expect(after?.waiting).toBe(0);
    return undefined;
  });

  it('clears its cache, drains and resumes where the driver can, or says what it must be started with', async () => {
    for (const call of ['clearCache', 'drain', 'resume'] as const) {
      const result = await driver[call]?.(target(), soon());
      if (result === undefined) continue;
      if (!result.ok) expect(result.detail, call).toMatch(/start|Start|could not/);
    }
    expect(await driver.probe(target(), 'generation', soon())).toMatchObject({ ok: true });
  });
}
