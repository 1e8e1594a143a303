import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonObject, jsonValue } from '../../../tests/support/hostile-json.ts';
import { mustEqual } from '../../../tests/support/must.ts';
import { parseSseEvents } from '../sse/parse-event.ts';
import { AnthropicTranslator } from './translator.ts';

type Json = Record<string, unknown>;
const CONTEXT = { model: 'm', requestId: 'r', stopSequences: [], thinking: 'full' } as const;

const frame = (chunk: unknown) => `data: ${typeof chunk === 'string' ? chunk : JSON.stringify(chunk)}\n\n`;
const chunk = (delta: Json, finish: string | null = null) => ({
  id: 'chatcmpl-1',
  choices: [{ index: 0, delta, finish_reason: finish }],
});

interface Tool {
  id: string;
  name: string;
  json: string;
}

interface Reassembled {
  /** In the order of their blocks; text and thinking of one kind are joined. */
  text: string;
  thinking: string;
  tools: Tool[];
  ended: 'stop' | 'error';
}

/** Reads events as a strict client does: throws for any that the vendor would not send there. */
function reassemble(stream: string): Reassembled {
  const found: Reassembled = { text: '', thinking: '', tools: [], ended: 'stop' };
  let state: 'before' | 'between' | 'open' | 'delta' | 'over' = 'before';
  let index = 0;
  let kind = '';
  // Plain checks: the assertion library is too slow for a million of them.
  const must = (holds: boolean, event: unknown) => {
    if (!holds) throw new Error(`in state ${state}: ${JSON.stringify(event)}`);
  };
  for (const event of parseSseEvents(stream)) {
    const data = JSON.parse(event.data) as Json;
    must(data.type === event.event, event);
    const block = (data.content_block ?? {}) as Json;
    const delta = (data.delta ?? {}) as Json;
    switch (data.type) {
      case 'ping':
        must(state !== 'over', data);
        break;
      case 'message_start':
        must(state === 'before', data);
        state = 'between';
        break;
      case 'content_block_start':
        must(state === 'between', data);
        must(data.index === index, data);
        kind = String(block.type);
        if (kind === 'tool_use')
          found.tools.push({ id: String(block.id), name: String(block.name), json: '' });
        state = 'open';
        break;
      case 'content_block_delta':
        must(state === 'open', data);
        must(data.index === index, data);
        if (delta.type === 'text_delta' && kind === 'text') found.text += delta.text;
        else if (delta.type === 'thinking_delta' && kind === 'thinking') found.thinking += delta.thinking;
        else if (delta.type === 'signature_delta' && kind === 'thinking') must(delta.signature === '', data);
        else if (delta.type === 'input_json_delta' && kind === 'tool_use')
          found.tools.at(-1)!.json += delta.partial_json;
        else throw new Error(`${delta.type} in a block of ${kind}`);
        break;
      case 'content_block_stop':
        must(state === 'open', data);
        must(data.index === index++, data);
        state = 'between';
        break;
      case 'message_delta':
        must(state === 'between', data);
        must(typeof (data.usage as Json).output_tokens === 'number', data);
        state = 'delta';
        break;
      case 'message_stop':
        must(state === 'delta', data);
        state = 'over';
        break;
      case 'error':
        must(state !== 'over', data);
        found.ended = 'error';
        state = 'over';
        break;
      default:
        throw new Error(`unknown event ${data.type}`);
    }
  }
  must(state === 'over', 'the end');
  return found;
}

/** The same, of the OpenAI chunks, as an OpenAI client does. */
function openAiReassemble(chunks: Json[]): Omit<Reassembled, 'ended'> {
  const found = { text: '', thinking: '', tools: [] as Tool[] };
  const byIndex = new Map<number, Tool>();
  for (const { choices } of chunks as { choices: { delta: Json }[] }[]) {
    const delta = choices[0]?.delta ?? {};
    found.text += delta.content ?? '';
    found.thinking += delta.reasoning_content ?? '';
    for (const call of (delta.tool_calls ?? []) as { index: number; id?: string; function: Json }[]) {
      let tool = byIndex.get(call.index);
      if (tool === undefined) {
        tool = { id: String(call.id), name: String(call.function.name), json: '' };
        byIndex.set(call.index, tool);
        found.tools.push(tool);
      }
      tool.json += call.function.arguments ?? '';
    }
  }
  return found;
}

const prose = fc.record({
  kind: fc.constantFrom('content', 'reasoning_content'),
  text: fc.string({ minLength: 1, maxLength: 5 }),
});
const toolCall = fc.record({
  args: jsonObject(jsonValue(1), { maxKeys: 2 }),
  space: fc.constantFrom(undefined, 1),
  cuts: fc.array(fc.nat(30), { maxLength: 3 }),
  bare: fc.boolean(),
});

/** Chunks of a stream whose pieces of text, reasoning and tool calls come in any mix. */
const chunksOf = fc
  .record({
    prose: fc.array(prose, { maxLength: 4 }),
    calls: fc.array(toolCall, { maxLength: 3 }),
    order: fc.array(fc.nat(), { minLength: 24, maxLength: 24 }),
  })
  .map(({ prose, calls, order }) => {
    const lanes: Json[][] = [prose.map(({ kind, text }) => ({ [kind]: text }))];
    for (const [index, { args, space, cuts, bare }] of calls.entries()) {
      const text = bare ? '' : JSON.stringify(args, null, space);
      const at = [...new Set([...cuts.map((cut) => cut % (text.length + 1)), text.length])].sort(
        (a, b) => a - b,
      );
      let from = 0;
      const pieces = at.map((to) => {
        const piece = text.slice(from, to);
        from = to;
        return piece;
      });
      lanes.push(
        pieces.map((piece, turn) => ({
          tool_calls: [
            turn === 0
              ? { index, id: `t${index}`, function: { name: `f${index}`, arguments: piece } }
              : { index, function: { arguments: piece } },
          ],
        })),
      );
    }
    const deltas: Json[] = [];
    for (const choice of order) {
      const full = lanes.filter((lane) => lane.length > 0);
      if (full.length === 0) break;
      deltas.push(full[choice % full.length]!.shift()!);
    }
    deltas.push(...lanes.flat());
    return deltas.map((delta) => chunk(delta));
  });

describe('a translated stream', () => {
  it('says what the OpenAI stream says, in well-formed blocks, in any mix of pieces (10,000 cases)', () => {
    fc.assert(
      fc.property(chunksOf, fc.integer({ min: 1, max: 6 }), (chunks, perRead) => {
        const under = new AnthropicTranslator(CONTEXT);
        const frames = [...chunks, chunk({}, 'stop'), '[DONE]'].map(frame);
        let out = '';
        for (let at = 0; at < frames.length; at += perRead)
          out += under.events(Buffer.from(frames.slice(at, at + perRead).join('')));
        out += under.end();
        const found = reassemble(out);
        const expected = openAiReassemble(chunks);
        mustEqual(found, { ...expected, ended: 'stop' });
        for (const { json } of found.tools) if (json !== '') JSON.parse(json);
      }),
      { numRuns: 10_000 },
    );
  });

  it('cut anywhere, says all that came and then an error, and no message_stop (10,000 cases)', () => {
    fc.assert(
      fc.property(chunksOf, fc.nat(), fc.boolean(), (chunks, at, told) => {
        const kept = chunks.slice(0, at % (chunks.length + 1));
        const under = new AnthropicTranslator(CONTEXT);
        let out = kept.map((item) => under.events(Buffer.from(frame(item)))).join('');
        if (told)
          out += under.events(Buffer.from(frame({ error: { message: 'x', code: 'stream_interrupted' } })));
        out += under.end();
        mustEqual(out.includes('message_stop'), false);
        const { ended, text, thinking, tools } = reassemble(out);
        const expected = openAiReassemble(kept);
        mustEqual(ended, 'error');
        // Blocks that wait for their turn when the stream breaks are not said; what is said is a beginning of it.
        mustEqual(expected.text.startsWith(text), true);
        mustEqual(expected.thinking.startsWith(thinking), true);
        for (const [index, tool] of tools.entries()) {
          const { id, name, json } = expected.tools[index]!;
          mustEqual({ id, name }, { id: tool.id, name: tool.name });
          mustEqual(json.startsWith(tool.json), true);
        }
      }),
      { numRuns: 10_000 },
    );
  });

  it('ends in a stop or in an error, whatever the engine sends (10,000 cases)', () => {
    const noise = fc.oneof(
      jsonValue(3).map((value) => JSON.stringify(value)),
      fc.constantFrom('[DONE]', '{', '{"error":"x"}', '{"object":"error","message":"m"}'),
      fc
        .record({
          content: jsonValue(1),
          tool_calls: fc.array(
            fc.record({
              index: fc.constantFrom<unknown>(0, 1, 'a'),
              id: fc.constantFrom<unknown>('t', null, 3),
              function: fc.record({
                name: fc.constantFrom<unknown>('f', '', null),
                arguments: fc.constantFrom<unknown>('{', '}', '{}', 'x', '"', 1),
              }),
            }),
            { maxLength: 2 },
          ),
        })
        .map((delta) => JSON.stringify(chunk(delta))),
      fc
        .constantFrom('stop', 'length', 'tool_calls', 'abort', 'x')
        .map((end) => JSON.stringify(chunk({}, end))),
    );
    fc.assert(
      fc.property(fc.array(noise, { maxLength: 6 }), (items) => {
        const under = new AnthropicTranslator(CONTEXT);
        let out = items.map((item) => under.events(Buffer.from(frame(item)))).join('');
        out += under.end();
        reassemble(out);
      }),
      { numRuns: 10_000 },
    );
  });

  it('passes a tool call on while it is being written, and keeps back only what must wait', () => {
    const under = new AnthropicTranslator(CONTEXT);
    const say = (delta: Json) => under.events(Buffer.from(frame(chunk(delta))));
    const piece = (index: number, text: string, name?: string) =>
      say({ tool_calls: [{ index, ...(name && { id: name }), function: { name, arguments: text } }] });
    expect(piece(0, '{"a"', 'f')).toContain('{\\"a\\"');
    expect(piece(1, '{"b":', 'g')).toBe('');
    expect(piece(0, ':1}')).toMatch(/:1}[\s\S]*content_block_stop[\s\S]*"name":"g"[\s\S]*{\\"b\\":/);
    expect(piece(1, '2}')).toContain('2}');
  });

  it('stops when more waits than it may keep', () => {
    const under = new AnthropicTranslator(CONTEXT);
    const say = (delta: Json) => under.events(Buffer.from(frame(chunk(delta))));
    say({ tool_calls: [{ index: 0, id: 't', function: { name: 'f', arguments: '{' } }] });
    let out = '';
    for (let turn = 0; turn < 5; turn++) out += say({ content: 'x'.repeat(1_000_000) });
    expect(out).toMatch(/event: error[\s\S]*more than 4194304 characters/);
    expect(under.failure?.code).toBe('engine_failed');
    expect(say({ content: 'more' })).toBe('');
  });
});
