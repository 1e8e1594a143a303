import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyText, jsonValue } from '../../../tests/support/hostile-json.ts';
import { mustEqual } from '../../../tests/support/must.ts';
import { appendParts, ChatOutput, type ChatParts } from './chat-output.ts';

/** Pieces pushed one after the other, added up. */
function read(pieces: readonly string[], options = { reasoning: true, tools: true }): ChatParts {
  const output = new ChatOutput(options);
  const sum: ChatParts = { reasoning: '', content: '', calls: [] };
  for (const piece of pieces) appendParts(sum, output.push(piece));
  appendParts(sum, output.finish());
  return sum;
}

function cut(text: string, cuts: readonly number[]): string[] {
  const places = [...new Set(cuts.map((at) => at % (text.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, index) => text.slice(from, places[index] ?? text.length));
}

const json = (depth: number) => jsonValue(depth).map((value) => JSON.stringify(value));

const call = (name: string, args: string) =>
  `<tool_call>\n{"name": "${name}", "arguments": ${args}}\n</tool_call>`;

describe('ChatOutput', () => {
  it('takes thought, text and calls apart', () => {
    const text = `<think>\nhm </b> 1 < 2\n</think>\n\nOne moment.${call('a', '{"x": "}</tool_call>\\""}')}\n${call('b', '{}')}`;
    expect(read([text])).toEqual({
      reasoning: 'hm </b> 1 < 2\n',
      content: 'One moment.',
      calls: [
        { index: 0, name: 'a', arguments: '{"x": "}</tool_call>\\""}' },
        { index: 1, name: 'b', arguments: '{}' },
      ],
    });
  });

  it('passes arguments on as they come', () => {
    const output = new ChatOutput({ reasoning: false, tools: true });
    const seen = ['<tool_call>{"name":"f","arguments":{"a"', ':[1,', '2]}', '}</tool_call>'].map(
      (piece) => output.push(piece).calls,
    );
    expect(seen).toEqual([
      [{ index: 0, name: 'f', arguments: '{"a"' }],
      [{ index: 0, arguments: ':[1,' }],
      [{ index: 0, arguments: '2]}' }],
      [],
    ]);
  });

  it('keeps back only what may be a mark', () => {
    const output = new ChatOutput({ reasoning: false, tools: true });
    expect(output.push('a <tool').content).toBe('a ');
    expect(output.push('s> <').content).toBe('<tools> ');
    expect(output.finish().content).toBe('<');
  });

  it('takes a mark without a call as text, and no mark at all without tools', () => {
    const text = `<tool_call>${'x'.repeat(2000)}`;
    expect(read([text])).toEqual({ reasoning: '', content: text, calls: [] });
    expect(read([call('f', '{}')], { reasoning: false, tools: false }).content).toBe(call('f', '{}'));
  });

  it('leaves a call as far as it came when the text ends inside it', () => {
    expect(read([call('f', '{"a": [1, 2')])).toMatchObject({
      calls: [{ arguments: '{"a": [1, 2}\n</tool_call>' }],
    });
    expect(read(['<tool_call>{"name": "f"']).content).toBe('<tool_call>{"name": "f"');
  });

  it('reads the same however the text is cut (10,000 cases)', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        '<think>',
        '</think>',
        '<tool_call>',
        '</tool_call>',
        '\n',
        '<',
        '{"name": "f", "arguments": ',
        '{"a":"}"}',
        '}',
      ),
      anyText(6),
      fc.tuple(fc.constantFrom('f', 'g'), json(2)).map(([name, json]) => call(name, `{"v":${json}}`)),
    );
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 8 }),
        fc.array(fc.nat(500), { maxLength: 8 }),
        (pieces, cuts) => {
          const text = pieces.join('');
          mustEqual(read(cut(text, cuts)), read([text]));
        },
      ),
      { numRuns: 10_000 },
    );
  });

  it('gives back the very arguments of whole calls (10,000 cases)', () => {
    fc.assert(
      fc.property(fc.array(json(3), { minLength: 1, maxLength: 3 }), (values) => {
        const args = values.map((value) => `{"v": ${value}}`);
        const parts = read([args.map((text) => call('f', text)).join('\n')]);
        mustEqual(
          parts.calls.map((one) => one.arguments),
          args,
        );
        mustEqual(parts.content, '');
      }),
      { numRuns: 10_000 },
    );
  });
});
