/**
 * What must hold, 3: between a client and an engine of one dialect every byte arrives as it was sent, but for the fields that
 * docs/reference/http-api.md lists. A recording engine stands behind a real gateway; the client is a raw socket reader.
 */
import fc from 'fast-check';
import { Pool } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { jsonObject, jsonValue } from '../support/hostile-json.ts';
import { mustEqual } from '../support/must.ts';
import { type ScriptedEngine, startScriptedEngine } from '../support/scripted-engine.ts';

let engine: ScriptedEngine;
let gateway: RunningGateway;
let pool: Pool;

beforeAll(async () => {
  engine = await startScriptedEngine();
  gateway = await startGateway([
    poolOf('demo', [{ url: engine.url }]),
    poolOf('mine', [{ url: engine.url, servedModel: 'org/Théirs-7B' }]),
  ]);
  pool = new Pool(gateway.url, { connections: TOGETHER.maxLength });
});

afterAll(async () => {
  await pool.close();
  await gateway.stop();
  await engine.close();
});

afterEach(() => {
  engine.base = {};
  engine.next = [];
});

async function send(path: string, body: string | Buffer): Promise<{ status: number; bytes: Buffer }> {
  const answer = await fetch(gateway.url + path, { method: 'POST', body });
  return { status: answer.status, bytes: Buffer.from(await answer.arrayBuffer()) };
}

/** Cases of a property that are sent at once: one after the other, 10,000 take minutes. */
const TOGETHER = { minLength: 25, maxLength: 25 };

/** For many: over connections that are kept, at a third of the cost of `fetch`. */
async function sendPooled(body: string): Promise<string> {
  const { body: answer } = await pool.request({ method: 'POST', path: CHAT, body });
  return Buffer.from(await answer.arrayBuffer()).toString('utf8'); // text() would drop a byte order mark
}

/** The body as the engine received it. */
async function received(path: string, body: string): Promise<string> {
  const before = engine.seen.length;
  expect((await send(path, body)).status).toBe(200);
  return (engine.seen[before]?.bytes ?? Buffer.from('nothing')).toString('utf8');
}

const CHAT = '/v1/chat/completions';
const MESSAGES = '"messages":[{"role":"user","content":"hi"}]';

/** Bodies with MODEL in the place of the model's name. */
const BODIES: [name: string, body: string][] = [
  ['odd spacing', `\n{ "model" :\tMODEL ,\r\n  ${MESSAGES}  }\n`],
  ['another order of keys', `{"z":1,${MESSAGES},"a":2,"model":MODEL,"m":3}`],
  ['a key twice', `{"temperature":1,${MESSAGES},"temperature":0,"model":MODEL}`],
  ['the model twice', `{"model":MODEL,${MESSAGES},"model":MODEL}`],
  ['an escaped key', `{"\\u006dodel":MODEL,${MESSAGES}}`],
  ['unicode escapes and raw characters', `{"model":MODEL,"messages":[{"role":"user","content":"\\u00e9 é \\ud83d\\ude42 🙂 \\/"}]}`],
  ['a lone surrogate, escaped', `{"model":MODEL,"messages":[{"role":"user","content":"\\ud800"}]}`],
  ['numbers that no double holds', `{"model":MODEL,${MESSAGES},"a":1e999,"b":12345678901234567890,"c":0.1000,"d":-0,"e":1E+2}`],
  ['unknown fields, nested', `{"model":MODEL,${MESSAGES},"x":{"model":"demo","y":[{"model":[]}]},"__proto__":{"a":1},"":null}`],
  ['the model inside of text', `{"model":MODEL,"messages":[{"role":"user","content":"\\"model\\":\\"demo\\""}]}`],
  ['tools, parallel calls and a result', `{"model":MODEL,"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\\"x\\": 1 }"}},{"id":"b","type":"function","function":{"name":"g","arguments":""}}]},{"role":"tool","tool_call_id":"a","content":"ok"}],"tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object"}}}],"parallel_tool_calls":true,"tool_choice":{"type":"function","function":{"name":"f"}}}`],
  ['a response format', `{"model":MODEL,${MESSAGES},"response_format":{"type":"json_schema","json_schema":{"name":"x","strict":true,"schema":{"b":1,"a":2}}}}`],
  ['guided decoding, old and new', `{"model":MODEL,${MESSAGES},"guided_json":{"type":"object"},"guided_regex":"a+","guided_choice":["a"],"guided_grammar":"root ::= \\"a\\"","structured_outputs":{"regex":"a"}}`],
  ['reasoning fields', `{"model":MODEL,"messages":[{"role":"assistant","content":"x","reasoning_content":"y","reasoning":"z"}],"reasoning":{"effort":"low"},"reasoning_effort":"low","include_reasoning":false,"thinking":{"type":"enabled"}}`],
  ['parts of many media', `{"model":MODEL,"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}},{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}},{"type":"video_url","video_url":{"url":"http://x/y"}}]}]}`],
  ['arguments of the chat template', `{"model":MODEL,${MESSAGES},"chat_template_kwargs":{"enable_thinking":false,"x":[1]},"add_generation_prompt":true}`],
  ['logprobs and sampling of engines', `{"model":MODEL,${MESSAGES},"logprobs":true,"top_logprobs":5,"min_p":0.05,"top_k":-1,"repetition_penalty":1.10,"logit_bias":{"50256":-100}}`],
]; // biome-ignore format: a table

describe('a request body', () => {
  it.each(BODIES)('reaches the engine as it is: %s', async (_name, body) => {
    const sent = body.replaceAll('MODEL', '"demo"');
    expect(await received(CHAT, sent)).toBe(sent);
  });

  it.each(
    BODIES,
  )('reaches an engine with another name changed in nothing but that: %s', async (_name, body) => {
    expect(await received(CHAT, body.replaceAll('MODEL', '"mine"'))).toBe(
      body.replaceAll('MODEL', '"org/Théirs-7B"'),
    );
  });

  it.each([
    ['/v1/completions', '{"model":MODEL, "prompt":[1,2,  3]}'],
    ['/v1/embeddings', '{"input":["a","b"],"model":MODEL,"encoding_format":"base64","dimensions":8}'],
    ['/v1/rerank', '{"model":MODEL,"query":"q","documents":[{"text":"a"},"b"],"top_n":1}'],
    ['/v1/score', '{"text_1":"a","text_2":["b"],"model":MODEL}'],
    ['/tokenize', '{"prompt":"x","model":MODEL,"add_special_tokens":false}'],
    ['/v1/detokenize', '{"tokens":[1,2],"model":MODEL}'],
  ])('is not touched on %s either', async (path, body) => {
    engine.base = { status: 200, body: '{"ok":true}' };
    const sent = body.replace('MODEL', '"demo"');
    expect(await received(path, sent)).toBe(sent);
    expect(await received(path, body.replace('MODEL', '"mine"'))).toBe(
      body.replace('MODEL', '"org/Théirs-7B"'),
    );
  });

  it('is not touched whatever it holds (10,000 cases over HTTP)', async () => {
    // What the recording engine or the gateway itself reads.
    const read = ['model', 'stream', 'stream_options', 'messages', 'max_tokens', 'continue_final_message'];
    const body = fc
      .tuple(jsonObject(jsonValue(2), { maxKeys: 4 }), fc.constantFrom(undefined, 1, '\t', '\r\n '))
      .map(([fields, space]) => {
        for (const name of read) delete fields[name];
        return JSON.stringify({ ...fields, model: 'demo', messages: [] }, null, space);
      });
    engine.base = { status: 200, body: '{}' };
    await fc.assert(
      fc.asyncProperty(fc.array(body, TOGETHER), async (bodies) => {
        engine.seen.length = 0;
        await Promise.all(bodies.map((text) => sendPooled(text)));
        mustEqual(engine.seen.map(({ raw }) => raw).sort(), bodies.toSorted());
      }),
      { numRuns: 10_000 / TOGETHER.maxLength },
    );
  });
});

const event = (delta: string, finish = 'null', eol = '\n') =>
  `data: {"id":"c","choices":[{"index":0,"delta":${delta},"finish_reason":${finish}}]}${eol}${eol}`;

/** Valid streams, as bytes. */
const STREAMS: [name: string, text: string][] = [
  ['LF', `${event('{"role":"assistant"}') + event('{"content":"é🙂"}') + event('{}', '"stop"')}data: [DONE]\n\n`],
  ['CRLF', `${event('{"content":"a"}', 'null', '\r\n') + event('{}', '"stop"', '\r\n')}data: [DONE]\r\n\r\n`],
  ['CR', `${event('{"content":"a"}', 'null', '\r') + event('{}', '"stop"', '\r')}data: [DONE]\r\r`],
  ['comments before, between and after', `: ping\n\n${event('{"content":"a"}')}: pong\n\n${event('{}', '"stop"')}:\n\ndata: [DONE]\n\n`],
  ['event, id and retry', `retry: 5\n\nid: 1\nevent: message\n${event('{"content":"a"}')}id: 2\n${event('{}', '"stop"')}data: [DONE]\n\n`],
  ['data in several lines', `data: {"choices":[{"index":0,\ndata: "delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`],
  ['no space after the colon', `data:{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata:[DONE]\n\n`],
  ['a byte order mark', `\ufeff${event('{"content":"a"}', '"stop"')}data: [DONE]\n\n`],
  ['unknown fields, big numbers, odd spacing', `data: { "x" : 1e999, "big": 12345678901234567890, "choices": [ { "index":0, "delta": {"content":"\\u00e9","reasoning_content":null}, "finish_reason" : "stop", "y":{} } ] }\n\ndata: [DONE]\n\n`],
  ['parallel calls in fragments', `${event('{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}},{"index":1,"id":"b","function":{"name":"g","arguments":"{"}}]}')}${event('{"tool_calls":[{"index":1,"function":{"arguments":"}"}}]}')}${event('{}', '"tool_calls"')}data: [DONE]\n\n`],
  ['reasoning and logprobs', `${event('{"reasoning":"hm","reasoning_content":"hm"}')}data: {"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"token":"a","logprob":-0.10,"bytes":[97],"top_logprobs":[]}]},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`],
  ['a usage event', `${event('{"content":"a"}', '"stop"')}data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"x":{"y":1}}}\n\ndata: [DONE]\n\n`],
  ['text that looks like the end', `${event('{"content":"data: [DONE]\\n\\n"}')}${event('{"content":"[DONE]"}', '"stop"')}data: [DONE]\n\n`],
  ['no empty line at the end', `${event('{"content":"a"}', '"stop"')}data: [DONE]`],
  ['a comment after the end', `${event('{"content":"a"}', '"stop"')}data: [DONE]\n\n: bye\n\n`],
]; // biome-ignore format: a table

async function streamed(chunks: readonly Buffer[]): Promise<string> {
  engine.next.push({ chunks });
  const { bytes } = await send(CHAT, `{"model":"demo","stream":true,${MESSAGES}}`);
  return bytes.toString('utf8');
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const borders = [...new Set(places.map((place) => place % bytes.length))].sort((a, b) => a - b);
  return [0, ...borders].map((from, at) => bytes.subarray(from, borders[at] ?? bytes.length));
}

describe('a stream', () => {
  it.each(STREAMS)('reaches the client as it is, in one piece and byte by byte: %s', async (_name, text) => {
    const bytes = Buffer.from(text);
    expect(await streamed([bytes])).toBe(text);
    expect(await streamed(cut(bytes, [...bytes.keys()]))).toBe(text);
  });

  it('reaches the client as it is for any cutting (10,000 cases over HTTP)', async () => {
    const stream = fc.record({
      text: fc.constantFrom(...STREAMS.map(([, text]) => text)),
      places: fc.array(fc.nat(1000), { maxLength: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(stream, TOGETHER), async (streams) => {
        engine.next = streams.map(({ text, places }) => ({ chunks: cut(Buffer.from(text), places) }));
        const answers = await Promise.all(
          streams.map(() => sendPooled(`{"model":"demo","stream":true,${MESSAGES}}`)),
        );
        mustEqual(answers.sort(), streams.map(({ text }) => text).sort());
      }),
      { numRuns: 10_000 / TOGETHER.maxLength },
    );
  });

  it('carries an event of a megabyte', async () => {
    const text = `${event(`{"content":"${'é'.repeat(500_000)}"}`, '"stop"')}data: [DONE]\n\n`;
    expect((await streamed([Buffer.from(text)])) === text).toBe(true);
  });

  it('never ends cleanly without [DONE]: a finished answer gets it, an unfinished one an error', async () => {
    const finished = event('{"content":"a"}', '"stop"');
    expect(await streamed([Buffer.from(finished)])).toBe(`${finished}data: [DONE]\n\n`);
    engine.base = { status: 500 };
    const open = await streamed([Buffer.from(event('{"content":"a"}'))]);
    expect(open).toContain('"code":"stream_interrupted"');
    expect(open).not.toContain('[DONE]');
  });
});

describe('a whole answer', () => {
  it('reaches the client byte for byte, errors of the engine too', async () => {
    for (const [status, body] of [
      [200, '{ "choices" : [ ], "x": 1e999, "é": "\\u00e9" }\n'],
      [400, '{"object":"error", "message": "no"  ,"code":400}'],
      [422, '{"detail":[{"loc":["body"],"msg":"no"}]}'],
    ] as const) {
      engine.next.push({ status, body });
      const answer = await send(CHAT, `{"model":"demo",${MESSAGES}}`);
      expect([answer.status, answer.bytes.toString()]).toEqual([status, body]);
    }
  });
});
