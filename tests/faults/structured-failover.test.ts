/**
 * What must hold, 4, for the OpenAI dialect: an engine that dies in the middle of tool calls or of structured output. Either
 * the answer is in the end the very one that an undisturbed run gives (tier C), or it ends with a typed error (tier D): never
 * a malformed document, never an argument twice.
 *
 * Method: two simulators of one model. First the undisturbed answer; then the same request, cut at many tokens. What the client
 * read is taken apart strictly: an id and a name once per call, one reason per choice, usage and [DONE] once.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseSseEvents } from '../../src/wire/sse/parse-event.ts';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { ALARM_TOOL, WEATHER_TOOL } from '../support/openai-fixture.ts';
import type { Script } from '../support/scripted-engine.ts';
import { startScriptedPair } from '../support/scripted-pair.ts';
import { type SimulatorUnderTest, startSimulator, stopSimulators } from '../support/simulator-under-test.ts';

const messages = [{ role: 'user', content: 'Hi' }];
const MODEL = ['--model-name', 'demo', '--model-seed', '9', '--speed', '30', '--mean-tokens', '40'];
const schema = {
  type: 'object',
  properties: {
    name: { type: 'string' },
    steps: {
      type: 'array',
      minItems: 3,
      items: {
        type: 'object',
        properties: { do: { type: 'string' }, n: { type: 'integer' } },
        required: ['do', 'n'],
      },
    },
  },
  required: ['name', 'steps'],
};
const tools = [WEATHER_TOOL, ALARM_TOOL];
const response_format = { type: 'json_schema', json_schema: { name: 'plan', schema } };

let pair: SimulatorUnderTest[] = [];
let gateway: RunningGateway;

beforeAll(async () => {
  pair = await Promise.all([startSimulator(MODEL), startSimulator(MODEL)]);
  const replicas = pair.map(({ url }) => ({ url }));
  gateway = await startGateway([
    poolOf('demo', replicas),
    // As vLLM: repeats itself at temperature 0 only.
    poolOf(
      'greedy',
      replicas.map((replica) => ({
        ...replica,
        servedModel: 'demo',
        capabilities: { determinism: 'greedy' as const },
      })),
    ),
  ]);
});

afterAll(async () => {
  await gateway.stop();
  await stopSimulators();
});

afterEach(() => Promise.all(pair.filter(({ child }) => child.exitCode === null).map((one) => one.heal())));

interface Call {
  ids: string[];
  names: string[];
  arguments: string;
}
interface Choice {
  content: string;
  reasoning: string;
  calls: Call[];
  reasons: string[];
}
interface Read {
  choices: Choice[];
  usages: unknown[];
  done: number;
  errors: { code: string; type: string }[];
  tier: string | null;
}

/** A stream as the client reads it, with nothing merged that should occur once. */
function read(text: string): Read {
  const result: Read = { choices: [], usages: [], done: 0, errors: [], tier: null };
  result.tier = /x-autoglm-continuation: tier=(\w)/.exec(text)?.[1] ?? null;
  for (const { data } of parseSseEvents(text)) {
    if (data === '[DONE]') {
      result.done++;
      continue;
    }
    const chunk = JSON.parse(data);
    if (chunk.error) result.errors.push(chunk.error);
    else if (chunk.usage) result.usages.push(chunk.usage);
    for (const choice of chunk.choices ?? []) addChoice(result, choice);
  }
  return result;
}

function addChoice(
  result: Read,
  { index, delta, finish_reason: reason }: ReturnType<typeof JSON.parse>,
): void {
  result.choices[index] ??= { content: '', reasoning: '', calls: [], reasons: [] };
  const choice = result.choices[index] as Choice;
  choice.content += delta?.content ?? '';
  choice.reasoning += delta?.reasoning_content ?? '';
  if (reason) choice.reasons.push(reason);
  for (const call of delta?.tool_calls ?? []) {
    choice.calls[call.index] ??= { ids: [], names: [], arguments: '' };
    const sum = choice.calls[call.index] as Call;
    if (call.id) sum.ids.push(call.id);
    if (call.function?.name) sum.names.push(call.function.name);
    sum.arguments += call.function?.arguments ?? '';
  }
}

/** Without what may differ between runs: the ids of calls. */
function plain({ choices, usages, done, errors }: Read) {
  const calls = (choice: Choice) => choice.calls.map((call) => ({ ...call, ids: call.ids.length }));
  return { choices: choices.map((choice) => ({ ...choice, calls: calls(choice) })), usages, done, errors };
}

async function ask(body: object, model = 'demo', from: RunningGateway = gateway): Promise<Read> {
  const answer = await fetch(`${from.v1}/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({ model, messages, stream: true, ...body }),
  });
  return read(await answer.text());
}

/** Asks until the armed simulator was the one that answered first, and was cut; null when the answer is shorter than that. */
async function askCutAt(atToken: number, body: object, model = 'demo'): Promise<Read | null> {
  const armed = pair[0] as SimulatorUnderTest;
  await armed.heal();
  await armed.arm({ action: 'truncate-stream', how: 'reset', when: { atToken } });
  for (let turn = 0; turn < 4; turn++) {
    const result = await ask(body, model);
    const { faults } = (await (await fetch(`${armed.url}/simulator/faults`)).json()) as {
      faults: { state: string }[];
    };
    if (!faults.some(({ state }) => state === 'armed')) return result;
  }
  return null;
}

/** How many tokens of the model a text has. */
async function tokensOf(text: string): Promise<number> {
  const answer = await fetch(`${pair[0]?.url}/tokenize`, {
    method: 'POST',
    body: JSON.stringify({ prompt: text }),
  });
  return ((await answer.json()) as { count: number }).count;
}

const usage = { stream_options: { include_usage: true } };

describe('cut anywhere, an answer that can be repeated is the undisturbed one', () => {
  it.each([
    ['parallel tool calls at temperature 0', { tools, temperature: 0, ...usage }],
    ['a sampled tool call with a seed', { tools, seed: 4, parallel_tool_calls: false }],
    [
      'a named function',
      { tools, temperature: 0, tool_choice: { type: 'function', function: { name: 'get_weather' } } },
    ],
    ['structured output at temperature 0', { response_format, temperature: 0, ...usage }],
    ['sampled structured output with a seed', { response_format, seed: 11 }],
    ['two answers with calls at temperature 0', { tools, temperature: 0, n: 2, ...usage }],
    ['two sampled documents with a seed', { response_format, seed: 3, n: 2 }],
    ['a thought and calls', { tools, temperature: 0, chat_template_kwargs: { enable_thinking: true } }],
    [
      'a thought and a document',
      { response_format, seed: 2, chat_template_kwargs: { enable_thinking: true } },
    ],
  ])('%s', async (_name, body) => {
    const whole = await ask(body);
    expect(whole).toMatchObject({ done: 1, errors: [], tier: null });
    const text = whole.choices
      .map(({ content, calls }) => content + calls.map((call) => call.arguments).join(''))
      .join('');
    for (const { content } of whole.choices) if (content !== '') JSON.parse(content);
    for (const { calls } of whole.choices) for (const call of calls) JSON.parse(call.arguments);
    let replays = 0;
    // Each token of markup comes on top of the characters that the client reads.
    for (let atToken = 1; atToken < text.length + 120; atToken += 7) {
      const result = await askCutAt(atToken, body);
      if (result === null) break;
      expect(plain(result)).toEqual(plain(whole));
      if (result.tier === 'C') replays++;
    }
    expect(replays).toBeGreaterThan(1);
  });
});

describe('an answer that can not be repeated', () => {
  it.each([
    ['sampled tool calls without a seed', 'demo', { tools }],
    ['sampled structured output without a seed', 'demo', { response_format }],
    ['a seed that the engine does not honour', 'greedy', { tools, seed: 1 }],
    ['two sampled answers without a seed', 'demo', { n: 2, max_tokens: 200, min_tokens: 100 }],
  ])('ends with a typed error, the usage so far and no [DONE]: %s', async (_name, model, body) => {
    // Late enough for the name of a function, or some text, to have left.
    const result = (await askCutAt(44, body, model)) as Read;
    expect(result.done).toBe(0);
    expect(result.errors).toEqual([
      expect.objectContaining({ code: 'stream_interrupted', type: 'upstream_error', param: null }),
    ]);
    expect(result.choices.flatMap(({ reasons }) => reasons)).toEqual([]);
    for (const { calls } of result.choices)
      for (const call of calls) expect([call.ids.length, call.names.length]).toEqual([1, 1]);
  });
});

describe('an engine that is killed', () => {
  const head = (name: string) => `<tool_call>\n{"name": "${name}", "arguments": `;
  const firstCall = ([call]: Call[]) => `${head('get_weather')}${call?.arguments}}\n</tool_call>\n`;
  const greedy = { tools, temperature: 0 };

  it.each([
    [
      'inside the arguments of a call',
      greedy,
      (calls: Call[]) => head('get_weather') + calls[0]?.arguments.slice(0, 9),
    ],
    ['between two calls', greedy, (calls: Call[]) => `${firstCall(calls)}<tool_call>`],
    [
      'inside the arguments of the second call',
      greedy,
      (calls: Call[]) => `${firstCall(calls)}${head('set_alarm')}{"at`,
    ],
    ['inside of a document', { response_format, temperature: 0 }, () => '{"name":"a","steps":[{"'],
    [
      'inside of one of two answers',
      { ...greedy, n: 2 },
      (calls: Call[]) => firstCall(calls) + firstCall(calls),
    ],
  ])('%s is noticed by nobody', async (_name, body, delivered) => {
    const victims = await Promise.all([startSimulator(MODEL), startSimulator(MODEL)]);
    const own = await startGateway([
      poolOf(
        'demo',
        victims.map(({ url }) => ({ url })),
      ),
    ]);
    try {
      const whole = await ask(body, 'demo', own);
      const atToken = await tokensOf(delivered(whole.choices[0]?.calls ?? []));
      await victims[0]?.arm({ action: 'exit', signal: 'SIGKILL', when: { atToken } });
      const results = [await ask(body, 'demo', own), await ask(body, 'demo', own)];
      expect(await victims[0]?.exited).toMatchObject({ signal: 'SIGKILL' });
      for (const result of results) expect(plain(result)).toEqual(plain(whole));
      expect(results.map(({ tier }) => tier)).toContain('C');
    } finally {
      await own.stop();
      for (const victim of victims) await victim.kill();
    }
  });
});

describe('an engine that dies when all but the end was said', () => {
  const event = (delta: object, finish: string | null, index = 0) =>
    `data: ${JSON.stringify({ id: 'x', created: 1, model: 'm', choices: [{ index, delta, finish_reason: finish }] })}\n\n`;
  const call = {
    tool_calls: [{ index: 0, id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } }],
  };
  const answer = [event({ role: 'assistant' }, null), event(call, null), event({}, 'tool_calls')];
  const counted =
    'data: {"id":"y","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9,"total_tokens":12}}\n\n';
  const body = { tools, temperature: 0 };

  async function withTwo(
    first: Script,
    then: Script,
    run: (own: RunningGateway, asked: () => number) => Promise<void>,
  ): Promise<void> {
    const pair = await startScriptedPair('demo', { workers: 1 });
    try {
      pair.play(first, then);
      await run(pair.gateway, () => pair.asked().length);
    } finally {
      await pair.stop();
    }
  }

  it('needs no other engine right after the reason', async () => {
    await withTwo({ chunks: answer, chunksThenDie: true }, { status: 500 }, async (own, asked) => {
      const result = await ask(body, 'demo', own);
      expect(plain(result)).toMatchObject({ done: 1, errors: [], usages: [] });
      expect(result.choices[0]).toMatchObject({
        reasons: ['tool_calls'],
        calls: [{ ids: ['a'], arguments: '{"x":1}' }],
      });
      expect(asked()).toBe(1);
    });
  });

  it('has its usage counted by a replay, which says nothing else again', async () => {
    const dies = { chunks: answer, chunksThenDie: true };
    const replays = {
      chunks: [...answer.map((text) => text.replace('"id":"a"', '"id":"b"')), counted, 'data: [DONE]\n\n'],
    };
    await withTwo(dies, replays, async (own) => {
      const result = await ask({ ...body, ...usage }, 'demo', own);
      expect(result).toMatchObject({
        done: 1,
        errors: [],
        usages: [{ prompt_tokens: 3, completion_tokens: 9 }],
      });
      expect(result.choices[0]).toMatchObject({
        reasons: ['tool_calls'],
        calls: [{ ids: ['a'], arguments: '{"x":1}' }],
      });
    });
  });

  it('has its usage estimated, and marked so, when nobody can count it', async () => {
    const dies = { chunks: answer, chunksThenDie: true };
    await withTwo(dies, { status: 400 }, async (own) => {
      const result = await ask({ ...body, ...usage }, 'demo', own);
      expect(result).toMatchObject({
        done: 1,
        errors: [],
        usages: [{ estimated: true, completion_tokens: 1 }],
      });
    });
  });

  it('is not taken for complete when only one of two answers has ended', async () => {
    const first = [...answer, event({ role: 'assistant' }, null, 1)];
    const replay = [
      ...answer,
      event({ role: 'assistant' }, null, 1),
      event(call, null, 1),
      event({}, 'tool_calls', 1),
    ];
    await withTwo(
      { chunks: first, chunksThenDie: true },
      { chunks: [...replay, 'data: [DONE]\n\n'] },
      async (own) => {
        const result = await ask({ ...body, n: 2 }, 'demo', own);
        expect(result).toMatchObject({ done: 1, errors: [] });
        expect(result.choices.map(({ reasons }) => reasons)).toEqual([['tool_calls'], ['tool_calls']]);
      },
    );
  });

  it('does not send a call of the older kind twice', async () => {
    const legacy = event({ function_call: { name: 'f', arguments: '{"x"' } }, null);
    await withTwo({ chunks: [legacy], chunksThenDie: true }, { chunks: [legacy] }, async (own) => {
      const result = await ask({ functions: [{ name: 'f' }], temperature: 0 }, 'demo', own);
      expect(result).toMatchObject({ done: 0, errors: [{ code: 'stream_interrupted' }] });
    });
  });
});

it('says in the log which tier carried a call on', async () => {
  await askCutAt(50, { tools, temperature: 0 });
  await eventually(() => gateway.log().some((line) => line.tier === 'C' && line.outcome === 'completed'));
});
