/**
 * Goal: a client of the Messages API notices an engine's death no more than any other client: the text or the arguments are
 * those of the undisturbed run, or the stream ends with a typed error event; never malformed JSON, never a piece twice.
 * Method: a real gateway process; scripted engines cut at every event, simulators that die by SIGKILL at a given token.
 */
import Anthropic from '@anthropic-ai/sdk';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseSseEvents } from '../../src/wire/sse/parse-event.ts';
import { poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { ANSWER, ANSWER_TEXT, type Script, type ScriptedChat } from '../support/scripted-engine.ts';
import { type ScriptedPair, startScriptedPair } from '../support/scripted-pair.ts';
import { startSimulator, stopSimulators } from '../support/simulator-under-test.ts';

let pair: ScriptedPair;
let gateway: RunningGateway;

beforeAll(async () => {
  pair = await startScriptedPair('pair', { firstTokenTimeoutMs: 400, stallTimeoutMs: 400 });
  gateway = pair.gateway;
});

afterAll(async () => {
  await pair?.stop();
  await stopSimulators();
});

afterEach(() => pair.reset());

interface Block {
  type: string;
  id?: string;
  name?: string;
  text: string;
}

interface Heard {
  raw: string;
  blocks: Block[];
  /** `message_stop`, or the type of the error. */
  end: string | undefined;
  stopReason: unknown;
  usage: Record<string, number>;
}

async function hear(url: string, body: Record<string, unknown>): Promise<Heard> {
  const response = await fetch(`${url}/v1/messages`, {
    method: 'POST',
    body: JSON.stringify({
      max_tokens: 500,
      temperature: 0,
      messages: [{ role: 'user', content: 'Hi' }],
      ...body,
      stream: true,
    }),
  });
  expect(response.status).toBe(200);
  const raw = await response.text();
  const heard: Heard = { raw, blocks: [], end: undefined, stopReason: undefined, usage: {} };
  // Whatever happens, each event is whole JSON, there is one beginning and one end, and nothing after it.
  for (const { data, event } of parseSseEvents(raw)) {
    expect(heard.end).toBeUndefined();
    // biome-ignore lint/suspicious/noExplicitAny: events of any type
    const found = JSON.parse(data) as any;
    expect(found.type).toBe(event);
    if (event === 'content_block_start') {
      expect(found.index).toBe(heard.blocks.length);
      heard.blocks.push({ ...found.content_block, text: '' });
    } else if (event === 'content_block_delta') {
      expect(found.index).toBe(heard.blocks.length - 1);
      heard.blocks.at(-1)!.text += found.delta.text ?? found.delta.partial_json ?? found.delta.thinking ?? '';
    } else if (event === 'message_delta') {
      heard.stopReason = found.delta.stop_reason;
      heard.usage = found.usage;
    } else if (event === 'message_stop') heard.end = 'message_stop';
    else if (event === 'error') heard.end = found.error.type;
  }
  expect(raw.match(/event: message_start/g)).toHaveLength(1);
  return heard;
}

const comparable = ({ blocks, end, stopReason, usage }: Heard) => ({ blocks, end, stopReason, usage });

/** The engine that is asked first plays `first`; the other one then carries on by `then`. */
function withFirst(first: Script, body: Record<string, unknown>, then: Script = {}): Promise<Heard> {
  pair.play(first, then);
  return hear(gateway.url, { model: 'pair', ...body });
}

const piece = (index: number, json: string, name?: string) => ({
  tool_calls: [
    {
      index,
      ...(name !== undefined && { id: `toolu_${index}` }),
      function: { ...(name && { name }), arguments: json },
    },
  ],
});

const CALLS: ScriptedChat = {
  deltas: [
    { content: 'Looking ' },
    { content: 'twice.' },
    piece(0, '', 'weather'),
    piece(0, '{"place"'),
    piece(1, '{"pl', 'weather'),
    piece(0, ': "Par'),
    piece(1, 'ace":"Ro'),
    piece(0, 'is"}'),
    piece(1, 'me"}'),
  ],
};
const tools = [{ name: 'weather', input_schema: { type: 'object' } }];

describe('plain text', () => {
  it.each(ANSWER.map((_, index) => index).slice(1))('is whole after a cut at %i tokens', async (cut) => {
    const heard = await withFirst({ dieAfter: cut }, {});
    expect(heard).toMatchObject({
      end: 'message_stop',
      stopReason: 'end_turn',
      blocks: [{ type: 'text', text: ANSWER_TEXT }],
      usage: { input_tokens: 3, output_tokens: ANSWER.length },
    });
    expect(heard.raw).toContain(': x-autoglm-continuation: tier=B');
  });

  it('is what the helper of the SDK hears', async () => {
    const client = new Anthropic({ baseURL: gateway.url, apiKey: 'none', maxRetries: 0 });
    const messages = [{ role: 'user' as const, content: 'Hi' }];
    pair.play({ dieAfter: 4 });
    const stream = client.messages.stream({ model: 'pair', max_tokens: 100, temperature: 0, messages });
    expect(await stream.finalText()).toBe(ANSWER_TEXT);
  });

  it('stops at a stop sequence that lies across the cut, and names it', async () => {
    const heard = await withFirst({ dieAfter: 7 }, { stop_sequences: ['END of'] });
    expect(heard).toMatchObject({ end: 'message_stop', stopReason: 'stop_sequence' });
    expect(heard.blocks[0]!.text).toBe(ANSWER.slice(0, 7).join(''));
    expect(heard.raw).toContain('"stop_sequence":"END of"');
  });

  it('needs no engine when only the end was missing, and is counted all the same', async () => {
    const heard = await withFirst({ dieAfter: 6 }, { max_tokens: 6 });
    expect(heard).toMatchObject({ stopReason: 'max_tokens', usage: { output_tokens: 6 } });
  });

  it('goes on inside an assistant message that the client began', async () => {
    const begun = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: ANSWER.slice(0, 2).join('') },
    ];
    const heard = await withFirst({ dieAfter: 3 }, { messages: begun });
    expect(heard).toMatchObject({ end: 'message_stop', blocks: [{ text: ANSWER.slice(2).join('') }] });
  });

  it('ends with an error event where nobody can go on', async () => {
    const heard = await withFirst({ dieAfter: 2 }, {}, { dieAfter: 1 });
    expect(heard.end).toBe('api_error');
    expect(ANSWER_TEXT.startsWith(heard.blocks[0]!.text)).toBe(true);
  });
});

describe('tool calls', () => {
  it.each(
    CALLS.deltas.map((_, index) => index).slice(1),
  )('are whole and said once after a cut at event %i, at temperature 0', async (cut) => {
    const heard = await withFirst({ chat: CALLS, dieAfter: cut }, { tools }, { chat: CALLS });
    expect(heard).toMatchObject({ end: 'message_stop', stopReason: 'tool_use' });
    expect(heard.blocks.map(({ type, name, text }) => ({ type, name, text }))).toEqual([
      { type: 'text', name: undefined, text: 'Looking twice.' },
      { type: 'tool_use', name: 'weather', text: '{"place": "Paris"}' },
      { type: 'tool_use', name: 'weather', text: '{"place":"Rome"}' },
    ]);
    expect(heard.raw).toContain('tier=C');
  });

  it.each(
    CALLS.deltas.map((_, index) => index).slice(1),
  )('that are sampled end with an error event after a cut at event %i', async (cut) => {
    const heard = await withFirst({ chat: CALLS, dieAfter: cut }, { tools, temperature: 1 }, { chat: CALLS });
    expect(heard.end).toBe('api_error');
    expect(heard.raw).not.toMatch(/message_delta|message_stop/);
    for (const [index, { type, text }] of heard.blocks.entries()) {
      const whole = ['Looking twice.', '{"place": "Paris"}', '{"place":"Rome"}'][index] ?? '';
      expect(type === 'text' || type === 'tool_use').toBe(true);
      expect(whole.startsWith(text)).toBe(true);
    }
  });

  it('end with an error event when the other engine calls otherwise', async () => {
    const other: ScriptedChat = {
      deltas: [{ content: 'Looking twice.' }, piece(0, '{"town":"Paris"}', 'weather')],
    };
    const heard = await withFirst({ chat: CALLS, dieAfter: 6 }, { tools }, { chat: other });
    expect(heard.end).toBe('api_error');
    expect('{"place": "Paris"}'.startsWith(heard.blocks[1]!.text)).toBe(true);
  });
});

describe('structured output', () => {
  const json = ['{"na', 'me":', ' "An', 'na"', ', "ag', 'e":', ' 42', '}'];
  const chat: ScriptedChat = { deltas: json.map((content) => ({ content })) };
  const output_config = { format: { type: 'json_schema', schema: { type: 'object' } } };

  it.each(json.map((_, index) => index).slice(1))('is whole JSON after a cut at %i', async (cut) => {
    const heard = await withFirst({ chat, dieAfter: cut }, { output_config }, { chat });
    expect(heard.end).toBe('message_stop');
    expect(JSON.parse(heard.blocks[0]!.text)).toEqual({ name: 'Anna', age: 42 });
  });

  it('that is sampled ends with an error event', async () => {
    const heard = await withFirst({ chat, dieAfter: 3 }, { output_config, temperature: 1 }, { chat });
    expect(heard.end).toBe('api_error');
    expect(heard.blocks[0]!.text).toBe(json.slice(0, 3).join(''));
  });
});

describe('a simulator that dies by SIGKILL', () => {
  const model = 'sim';
  const args = ['--model-name', model, '--speed', '5'];

  /** The same request twice: while the engine that answers is killed at a token, and undisturbed on the one that is left. */
  async function bothWays(
    body: Record<string, unknown>,
    atToken: number,
  ): Promise<{ calm: Heard; hit: Heard }> {
    const [first, second] = await Promise.all([startSimulator(args), startSimulator(args)]);
    const pool = poolOf(model, [{ url: first.url }, { url: second.url }]);
    const running = await startGateway([pool], { ejectionMs: 10_000 });
    try {
      await first.arm({ action: 'exit', signal: 'SIGKILL', when: { atToken } });
      let hit: Heard;
      // Ties turn in rotation: ask until the armed engine was the one.
      do hit = await hear(running.url, { model, ...body });
      while (first.child.exitCode === null && first.child.signalCode === null);
      return { calm: await hear(running.url, { model, ...body }), hit };
    } finally {
      await running.stop();
      await stopSimulators();
    }
  }

  it('changes no text and no count', async () => {
    const { calm, hit } = await bothWays({ max_tokens: 120 }, 40);
    expect(hit.raw).toContain('x-autoglm-continuation');
    expect(comparable(hit)).toEqual(comparable(calm));
  });

  it('changes nothing of structured output', async () => {
    const schema = {
      type: 'object',
      properties: {
        name: { type: 'string' },
        tags: { type: 'array', items: { type: 'string' }, minItems: 3 },
      },
      required: ['name', 'tags'],
      additionalProperties: false,
    };
    const { calm, hit } = await bothWays({ output_config: { format: { type: 'json_schema', schema } } }, 8);
    expect(hit.raw).toContain('x-autoglm-continuation');
    expect(comparable(hit)).toEqual(comparable(calm));
    expect(JSON.parse(hit.blocks[0]!.text)).toHaveProperty('tags');
  });
});
