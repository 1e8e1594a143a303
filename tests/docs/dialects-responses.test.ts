/** Every row of docs/reference/dialects-responses.md, tried: the page says what the translation does, and nothing else. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PlatformError } from '../../src/contract/errors.ts';
import { eventText, ResponsesTranslator } from '../../src/wire/responses/answer-translator.ts';
import { chatMessages } from '../../src/wire/responses/chat-messages.ts';
import { responseIdOf } from '../../src/wire/responses/item-ids.ts';
import { chatRequestOf, parseResponsesRequest } from '../../src/wire/responses/request.ts';

const PAGE = readFileSync(resolve(import.meta.dirname, '../../docs/reference/dialects-responses.md'), 'utf8');
const ID = responseIdOf('0123456789abcdef0123456789abcdef');

interface Row {
  name: string;
  example: Record<string, unknown>;
  /** An object, "400" or "nothing". */
  expected: unknown;
}

function rowsOf(section: string): Row[] {
  const text = PAGE.split(`\n## ${section}\n`)[1]?.split('\n## ')[0] ?? '';
  const lines = text.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| ---'));
  return lines.slice(1).map((line) => {
    const [name = '', , example = '', expected = ''] = line.slice(2, -2).split(' | ');
    return { name, example: JSON.parse(bare(example)), expected: expectedOf(expected) };
  });
}

const bare = (cell: string) => cell.trim().replace(/^`|`$/g, '');
const expectedOf = (cell: string) => (cell.trim().startsWith('`') ? JSON.parse(bare(cell)) : cell.trim());

function chatOf(example: Record<string, unknown>): Record<string, unknown> {
  const body = { model: 'm', input: 'Hi', ...example };
  const request = parseResponsesRequest(Buffer.from(JSON.stringify(body)), ID);
  const items = request.input.map((entry) => {
    if (entry.kind === 'reference') throw new Error('no references in this table');
    return entry.item;
  });
  return chatRequestOf(request, chatMessages(request.instructions, items));
}

describe('the request', () => {
  const rows = rowsOf('The request');
  it('has rows', () => expect(rows.length).toBeGreaterThan(40));
  it.each(rows)('$name: $example', ({ example, expected }) => {
    if (expected === '400') {
      expect(() => chatOf(example)).toThrow(PlatformError);
    } else if (expected === 'nothing') {
      expect(chatOf(example)).toEqual(chatOf({}));
    } else {
      expect(chatOf(example)).toMatchObject(expected as object);
    }
  });
});

describe('the answer', () => {
  const rows = rowsOf('The answer');
  const translator = () => new ResponsesTranslator({ id: ID, createdAtS: 1, echo: {} }, () => 1);
  it('has rows', () => expect(rows.length).toBeGreaterThan(6));
  it.each(rows)('$name, whole: $example', ({ example, expected }) => {
    const answer = translator().answer(Buffer.from(JSON.stringify({ choices: [{ index: 0, ...example }] })));
    expect(answer).toMatchObject(expected as object);
  });

  it.each(rows)('$name, streamed: $example', ({ example, expected }) => {
    const { message, finish_reason, logprobs } = example;
    const chunks = [
      { choices: [{ index: 0, delta: message, logprobs }] },
      { choices: [{ index: 0, delta: {}, finish_reason }] },
    ];
    const answer = translator();
    answer.events(Buffer.from(chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join('')));
    expect(answer.end().response).toMatchObject(expected as object);
  });
});

it('names every event that a stream can have', () => {
  const answer = new ResponsesTranslator({ id: ID, createdAtS: 1, echo: {} }, () => 1);
  const deltas = [
    { reasoning: 'a' },
    { content: 'b' },
    { refusal: 'c' },
    { tool_calls: [{ index: 0, id: 'd', function: { name: 'e', arguments: '{}' } }] },
  ];
  const chunks = deltas.map((delta) => `data: ${JSON.stringify({ choices: [{ index: 0, delta }] })}\n\n`);
  const events = [...answer.begin(), ...answer.events(Buffer.from(`${chunks.join('')}data: [DONE]\n\n`))];
  const end = answer.end();
  events.push(...end.events, answer.last(end.response));
  expect(eventText(events[0]!)).toContain('event: response.created\n');
  const table = PAGE.split('\n## The stream\n')[1] ?? '';
  for (const { type } of events) {
    const known =
      table.includes(`\`${type}\``) || table.includes(`\`${type.replace(/\.done$/, '.delta')}\`, \`.done\``);
    expect([type, known]).toEqual([type, true]);
  }
});
