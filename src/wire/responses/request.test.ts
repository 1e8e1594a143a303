import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonValue } from '../../../tests/support/hostile-json.ts';
import { PlatformError } from '../../contract/errors.ts';
import { parseEnvelope } from '../openai/envelope.ts';
import { chatMessages } from './chat-messages.ts';
import type { Item } from './input-items.ts';
import { responseIdOf, responseOfItem } from './item-ids.ts';
import { parseResponsesRequest } from './request.ts';

const ID = responseIdOf('0123456789abcdef0123456789abcdef');

const parse = (body: unknown) => parseResponsesRequest(Buffer.from(JSON.stringify(body)), ID);

function messagesOf(input: unknown, instructions: string | null = null) {
  const request = parse({ model: 'm', input, instructions });
  return chatMessages(
    request.instructions,
    request.input.map((entry) => {
      if (entry.kind === 'reference') throw new Error('no references in this test');
      return entry.item;
    }),
  );
}

function refusal(body: unknown): PlatformError {
  try {
    parse(body);
  } catch (error) {
    return error as PlatformError;
  }
  throw new Error('expected a refusal');
}

describe('conversations as chat messages', () => {
  it('makes one assistant message of the items of one turn', () => {
    expect(
      messagesOf([
        { role: 'user', content: 'Weather in Paris and Rome?' },
        { type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text: 'two calls' }] },
        { role: 'assistant', content: [{ type: 'output_text', text: 'I look.', annotations: [] }] },
        { type: 'function_call', call_id: 'a', name: 'weather', arguments: '{"city":"Paris"}' },
        { type: 'function_call', call_id: 'b', name: 'weather', arguments: '{"city":"Rome"}' },
        { type: 'function_call_output', call_id: 'a', output: 'sun' },
        { type: 'function_call_output', call_id: 'b', output: [{ type: 'input_text', text: 'rain' }] },
        { role: 'assistant', content: 'Sun and rain.' },
      ]),
    ).toEqual([
      { role: 'user', content: 'Weather in Paris and Rome?' },
      {
        role: 'assistant',
        reasoning: 'two calls',
        reasoning_content: 'two calls',
        content: 'I look.',
        tool_calls: [
          { id: 'a', type: 'function', function: { name: 'weather', arguments: '{"city":"Paris"}' } },
          { id: 'b', type: 'function', function: { name: 'weather', arguments: '{"city":"Rome"}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'a', content: 'sun' },
      { role: 'tool', tool_call_id: 'b', content: 'rain' },
      { role: 'assistant', content: 'Sun and rain.' },
    ]);
  });

  it('joins instructions and leading system texts, since many templates take one system message', () => {
    expect(
      messagesOf(
        [
          { role: 'developer', content: 'Be kind.' },
          { role: 'user', content: 'Hi' },
        ],
        'Be brief.',
      ),
    ).toEqual([
      { role: 'system', content: 'Be brief.\n\nBe kind.' },
      { role: 'user', content: 'Hi' },
    ]);
  });

  it('drops a turn that was nothing but reasoning without text', () => {
    expect(
      messagesOf([
        { role: 'user', content: 'Hi' },
        { type: 'reasoning', summary: [] },
      ]),
    ).toEqual([{ role: 'user', content: 'Hi' }]);
  });

  it('keeps images, files and sound as parts', () => {
    expect(
      messagesOf([
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'What is it?' },
            { type: 'input_image', image_url: 'data:image/png;base64,AA==', detail: 'low' },
            { type: 'input_image', image_url: 'https://example.com/a.png' },
            { type: 'input_file', filename: 'a.pdf', file_data: 'data:application/pdf;base64,AA==' },
            { type: 'input_audio', input_audio: { data: 'AA==', format: 'wav' } },
          ],
        },
      ]),
    ).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: 'What is it?' },
          { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==', detail: 'low' } },
          { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
          { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,AA==' } },
          { type: 'input_audio', input_audio: { data: 'AA==', format: 'wav' } },
        ],
      },
    ]);
  });
});

describe('refusals', () => {
  it.each([
    [{}, 'model'],
    [{ model: 'm' }, 'input'],
    [{ model: 'm', input: 7 }, 'input'],
    [{ model: 'm', input: ['x'] }, 'input[0]'],
    [{ model: 'm', input: [{ type: 'computer_call' }] }, 'input[0].type'],
    [{ model: 'm', input: [{ role: 'robot', content: '' }] }, 'input[0].role'],
    [
      { model: 'm', input: [{ role: 'user', content: [{ type: 'input_image', file_id: 'f' }] }] },
      'input[0].content[0].image_url',
    ],
    [
      { model: 'm', input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'f' }] }] },
      'input[0].content[0].file_data',
    ],
    [{ model: 'm', input: 'x', tools: [{ type: 'web_search' }] }, 'tools[0].type'],
    [{ model: 'm', input: 'x', tool_choice: { type: 'file_search' } }, 'tool_choice'],
    [{ model: 'm', input: 'x', text: { format: { type: 'grammar' } } }, 'text.format.type'],
    [{ model: 'm', input: 'x', conversation: 'conv_1' }, 'conversation'],
    [{ model: 'm', input: 'x', prompt: { id: 'pmpt_1' } }, 'prompt'],
    [{ model: 'm', input: 'x', messages: [] }, 'messages'],
    [{ model: 'm', input: 'x', max_tokens: 5 }, 'max_tokens'],
    [{ model: 'm', input: 'x', background: true, store: false }, 'store'],
    [{ model: 'm', input: 'x', metadata: { a: 1 } }, 'metadata.a'],
    [{ model: 'm', input: 'x', truncation: 'middle' }, 'truncation'],
    [{ model: 'm', input: 'x', stream: 'yes' }, 'stream'],
  ])('names the field at fault in %j: %s', (body, param) => {
    expect(refusal(body)).toMatchObject({ code: 'invalid_request', param });
  });

  // JSON.parse takes any depth and JSON.stringify does not: what is repeated in the response must be writable.
  it('refuses tools that are nested too deeply to be written', () => {
    const deep = `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`;
    const body = `{"model":"m","input":"x","tools":[{"type":"function","name":"f","parameters":${deep}}]}`;
    expect(() => parseResponsesRequest(Buffer.from(body), ID)).toThrow(/nested too deeply/);
  });

  const anything = jsonValue(2);
  const part = fc.record(
    {
      type: fc.constantFrom('input_text', 'output_text', 'refusal', 'input_image', 'input_file', 'x'),
      text: anything,
      refusal: anything,
      image_url: anything,
      file_data: anything,
    },
    { requiredKeys: [] },
  );
  const item = fc.oneof(
    anything,
    fc.record(
      {
        type: fc.constantFrom(
          'message',
          'function_call',
          'function_call_output',
          'reasoning',
          'item_reference',
          'computer_call',
        ),
        role: fc.constantFrom('user', 'assistant', 'system', 'developer', 'x', 1),
        content: fc.oneof(anything, fc.string(), fc.array(part, { maxLength: 3 })),
        call_id: fc.oneof(fc.string(), anything),
        name: fc.oneof(fc.string(), anything),
        arguments: fc.oneof(fc.string(), anything),
        output: fc.oneof(fc.string(), fc.array(part, { maxLength: 2 })),
        summary: fc.oneof(fc.constant([]), anything),
        id: fc.oneof(fc.string(), anything),
      },
      { requiredKeys: [] },
    ),
  );
  const body = fc.record(
    {
      model: fc.oneof({ weight: 9, arbitrary: fc.constant('m') }, anything),
      input: fc.oneof(fc.string(), fc.array(item, { maxLength: 4 }), anything),
      instructions: fc.oneof(fc.string(), anything),
      tools: fc.oneof(
        fc.array(fc.record({ type: fc.constantFrom('function', 'x'), name: fc.string() }), { maxLength: 2 }),
        anything,
      ),
      tool_choice: fc.oneof(fc.constantFrom('auto', 'required'), anything),
      text: fc.oneof(
        fc.record({ format: fc.record({ type: fc.constantFrom('text', 'json_schema') }) }),
        anything,
      ),
      reasoning: anything,
      metadata: anything,
      temperature: anything,
      include: anything,
      previous_response_id: anything,
      store: anything,
      stream: anything,
      background: anything,
      truncation: anything,
      seed: anything,
    },
    { requiredKeys: [] },
  );

  it('takes any body or refuses it with a 400, and what it takes is a chat request (10,000 cases)', () => {
    fc.assert(
      fc.property(fc.oneof({ weight: 9, arbitrary: body }, anything), (value) => {
        try {
          const request = parse(value);
          const items = request.input.flatMap((entry): Item[] => (entry.kind === 'item' ? [entry.item] : []));
          const messages = chatMessages(request.instructions, items);
          const chat = { ...request.chat, model: request.model, messages };
          parseEnvelope('chat', Buffer.from(JSON.stringify(chat)));
        } catch (error) {
          if (!(error instanceof PlatformError) || error.spec.status !== 400) throw error;
        }
      }),
      { numRuns: 10_000 },
    );
  });

  it('refuses any bytes that are no JSON object with a 400 (10,000 cases)', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        expect(() => parseResponsesRequest(Buffer.from(bytes), ID)).toThrow(PlatformError);
      }),
      { numRuns: 10_000 },
    );
  });
});

it('finds the response of an item by its id, and nothing by ids of others', () => {
  const [entry] = parse({ model: 'm', input: 'x' }).input;
  expect(entry?.kind === 'item' && responseOfItem(entry.item.id)).toBe(ID);
  for (const id of ['msg_1', 'rs_0123', '', `msg_${'g'.repeat(32)}i0`, `${ID}i0`])
    expect(responseOfItem(id)).toBeNull();
});
