/**
 * docs/reference/dialects.md, executed: each row of its tables is an example, and the translator must do what the row says,
 * no more and no less. The page can so neither promise too much nor be silent about what is lost.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PlatformError } from '../../contract/errors.ts';
import { parseSseItems } from '../sse/parse-event.ts';
import { translateRequest } from './request.ts';
import { AnthropicTranslator } from './translator.ts';

const PAGE = resolve(import.meta.dirname, '../../../docs/reference/dialects.md');
const TRAITS = { prefill: true, lenientFields: true };
const BASE = { model: 'm', max_tokens: 16, messages: [{ role: 'user', content: 'Hi' }] };
const CONTEXT = { model: 'm', requestId: 'r', stopSequences: ['END'], thinking: 'full' } as const;

type Json = Record<string, unknown>;

interface Row {
  direction: string;
  what: string;
  anthropic: unknown;
  openai: unknown;
}

function rows(): Row[] {
  const section = readFileSync(PAGE, 'utf8').split('\n## ')[1] ?? '';
  return section
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\| (direction|---)/.test(line))
    .map((line) => {
      const [, direction, what, anthropic, openai] = line.split('|').map((cell) => cell.trim());
      return { direction: direction!, what: what!, anthropic: cell(anthropic!), openai: cell(openai!) };
    });
}

function cell(text: string): unknown {
  return JSON.parse(/^`(.*)`$/.exec(text)?.[1] ?? 'null');
}

function checkRequest({ anthropic, openai }: Row): void {
  const translate = () => translateRequest({ ...BASE, ...(anthropic as Json) }, TRAITS).body;
  if (openai === 400) {
    expect(translate).toThrowError(PlatformError);
    return;
  }
  const base = translateRequest(BASE, TRAITS).body;
  expect(translate()).toEqual({ ...base, ...(openai as Json) });
}

const translator = () => new AnthropicTranslator(CONTEXT);

function checkAnswer({ anthropic, openai }: Row): void {
  const { message, finish_reason, stop_reason, matched_stop, ...rest } = openai as Json;
  const choice = { index: 0, message: message ?? { content: '' }, finish_reason, stop_reason, matched_stop };
  const answer = translator().answer(200, Buffer.from(JSON.stringify({ choices: [choice], ...rest })));
  const body = JSON.parse(answer.body) as Json;
  const expected = anthropic as Json;
  if (typeof expected.status === 'number') {
    expect(answer.status).toBe(expected.status);
    expect(body).toMatchObject({ type: 'error', error: { type: expected.error }, request_id: 'r' });
    return;
  }
  expect(answer.status).toBe(200);
  for (const [name, value] of Object.entries(expected)) expect(body[name], name).toEqual(value);
}

function checkStream({ anthropic, openai }: Row): void {
  const under = translator();
  let text = '';
  let failed = false;
  for (const item of openai as (Json | string)[]) {
    if (typeof item === 'string') {
      text += under.events(Buffer.from(`${item}\n\n`));
      continue;
    }
    const { delta, finish_reason, ...rest } = item;
    failed ||= rest.error !== undefined;
    const choices = delta === undefined ? [] : [{ index: 0, delta, finish_reason: finish_reason ?? null }];
    text += under.events(Buffer.from(`data: ${JSON.stringify({ id: 'x', choices, ...rest })}\n\n`));
  }
  if (!failed) text += under.events(Buffer.from('data: [DONE]\n\n'));
  text += under.end();
  const expected = anthropic as string[];
  const counts = expected.some((line) => /^message_start \d/.test(line));
  const found = parseSseItems(text).map((event) =>
    'comment' in event ? `: ${event.comment}` : show(JSON.parse(event.data) as Json, counts),
  );
  expect(found).toEqual(expected);
  for (const event of parseSseItems(text)) {
    if (!('comment' in event)) expect((JSON.parse(event.data) as Json).type).toBe(event.event);
  }
}

/** An event as the page writes it. */
function show(event: Json, counts: boolean): string {
  const block = (event.content_block ?? {}) as Json;
  const delta = (event.delta ?? {}) as Json;
  const usage = (event.usage ?? (event.message as Json | undefined)?.usage ?? {}) as Json;
  switch (event.type) {
    case 'message_start':
      return counts ? `message_start ${usage.input_tokens}` : 'message_start';
    case 'content_block_start':
      return ['content_block_start', event.index, block.type, block.id, block.name]
        .filter((part) => part !== undefined)
        .join(' ');
    case 'content_block_delta': {
      const said = delta.text ?? delta.thinking ?? delta.partial_json ?? delta.signature;
      return `content_block_delta ${event.index} ${delta.type} ${said}`;
    }
    case 'content_block_stop':
      return `content_block_stop ${event.index}`;
    case 'message_delta':
      return `message_delta ${delta.stop_reason}${counts ? ` ${usage.input_tokens} ${usage.output_tokens}` : ''}`;
    case 'error':
      return `error ${(event.error as Json).type}`;
    default:
      return String(event.type);
  }
}

function checkError({ anthropic, openai }: Row): void {
  const { status, code } = openai as { status: number; code?: string };
  const error = { message: 'what happened', type: 'x', param: null, code: code ?? status };
  const answer = translator().answer(status, Buffer.from(JSON.stringify({ error })));
  const expected = anthropic as { status: number; type: string };
  expect(answer.status).toBe(expected.status);
  expect(JSON.parse(answer.body)).toEqual({
    type: 'error',
    error: { type: expected.type, message: 'what happened' },
    request_id: 'r',
  });
}

const CHECKS: Record<string, (row: Row) => void> = {
  request: checkRequest,
  answer: checkAnswer,
  stream: checkStream,
  error: checkError,
};

describe('the table of the Anthropic dialect', () => {
  const all = rows();

  it('has rows of every direction, each of a kind that is checked', () => {
    expect(new Set(all.map(({ direction }) => direction))).toEqual(new Set(Object.keys(CHECKS)));
    expect(all.length).toBeGreaterThan(100);
    expect(new Set(all.map(({ direction, what }) => `${direction} ${what}`)).size).toBe(all.length);
  });

  it.each(
    all.map((row) => [`${row.direction}: ${row.what}`, row] as const),
  )('is right about %s', (_name, row) => {
    CHECKS[row.direction]!(row);
  });
});
