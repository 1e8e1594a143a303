import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { validJson } from '../../../tests/support/hostile-json.ts';
import { mustEqual } from '../../../tests/support/must.ts';
import { ContinuedStream } from './continued-stream.ts';
import {
  addEvents,
  allFinished,
  carriesContent,
  choiceOf,
  emptyDelivered,
  parseChunk,
} from './delivered-stream.ts';
import { errorEventOf } from './error-object.ts';
import { usageInTail } from './usage-tail.ts';

const choice = fc
  .tuple(validJson, validJson, fc.nat(2))
  .map(
    ([delta, reason, index]) =>
      `{"index":${index},"delta":${delta},"text":${delta},"finish_reason":${reason}}`,
  );
const data = fc.oneof(
  validJson,
  fc.array(choice, { maxLength: 2 }).map((choices) => `{"id":"a","created":1,"choices":[${choices}]}`),
  fc.constantFrom('[DONE]', '{"choices":', ''),
);
const events = fc
  .array(data, { maxLength: 6 })
  .map((list) => list.map((text) => `data: ${text.replaceAll(/[\r\n]/g, ' ')}\n\n`));

describe('the account of what was delivered', () => {
  it('is the same whether events come together or one by one, whatever they hold (10,000 cases)', () => {
    fc.assert(
      fc.property(events, (list) => {
        const together = emptyDelivered();
        addEvents(together, list.join(''));
        const apart = emptyDelivered();
        for (const event of list) addEvents(apart, event);
        mustEqual(apart, together);
        mustEqual(typeof allFinished(together, 2), 'boolean');
      }),
      { numRuns: 10_000 },
    );
  });

  it('knows for any event whether it carries content (10,000 cases)', () => {
    fc.assert(
      fc.property(data, (text) => {
        const chunk = parseChunk(text);
        if (chunk !== null) mustEqual(typeof carriesContent(chunk), 'boolean');
      }),
      { numRuns: 10_000 },
    );
  });

  it('can be continued by any events of another engine without an exception (10,000 cases)', () => {
    fc.assert(
      fc.property(
        events,
        events,
        fc.constantFrom('A' as const, 'B' as const, 'C' as const),
        (had, next, tier) => {
          const delivered = emptyDelivered();
          addEvents(delivered, had.join(''));
          const stream = new ContinuedStream({
            tier,
            endpoint: 'chat',
            delivered,
            deliveredTokens: 1,
            choices: 1,
            includeUsage: true,
            stopStrings: ['ab'],
            mayEchoPrefill: true,
          });
          for (const event of next) {
            if (stream.push(Buffer.from(event)).kind !== 'events') return;
          }
        },
      ),
      { numRuns: 10_000 },
    );
  });
});

describe('usageInTail', () => {
  it('finds the usage at the end of any answer (10,000 cases)', () => {
    fc.assert(
      fc.property(
        validJson,
        fc.nat(1e6),
        fc.nat(1e6),
        fc.constantFrom('', '\n', ' '),
        (body, prompt, completion, gap) => {
          const usage = `"usage"${gap}:${gap}{"prompt_tokens":${gap}${prompt},"completion_tokens":${completion}}`;
          mustEqual(usageInTail(Buffer.from(`{"choices":[${body}],${usage}}`)), {
            promptTokens: prompt,
            completionTokens: completion,
          });
        },
      ),
      { numRuns: 10_000 },
    );
  });
});

describe('errorEventOf', () => {
  it('makes an event with an error object of whatever an engine answered (10,000 cases)', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 400, max: 599 }),
        fc.oneof(
          validJson.map((text) => Buffer.from(text)),
          fc.uint8Array({ maxLength: 40 }),
        ),
        (status, body) => {
          const event = errorEventOf(status, Buffer.from(body)) as { error: unknown };
          mustEqual(typeof event.error === 'object' && event.error !== null, true);
          mustEqual(JSON.stringify(event).includes('\n'), false);
        },
      ),
      { numRuns: 10_000 },
    );
  });
});

const readDelivered = (text: string) => {
  const delivered = emptyDelivered();
  addEvents(delivered, text);
  return delivered;
};
const event = (chunk: object) => `data:${JSON.stringify(chunk)}\n\n`;

// text-generation-inference writes `"finish_reason":""` into every event of a completion that goes on.
it('takes an empty finish reason for none', () => {
  const running = { choices: [{ index: 0, text: ' a', finish_reason: '', logprobs: null }] };
  const delivered = readDelivered(event(running));
  expect(choiceOf(delivered, 0)).toMatchObject({ text: ' a', finishReason: null });
  expect(allFinished(delivered, 1)).toBe(false);
  expect(carriesContent({ choices: [{ index: 0, text: '', finish_reason: '' }] })).toBe(false);
  const ended = { choices: [{ index: 0, text: '.', finish_reason: 'length' }] };
  expect(allFinished(readDelivered(event(running) + event(ended)), 1)).toBe(true);
});

it('counts the events of the answer apart from those that carry text', () => {
  const role = { choices: [{ index: 0, delta: { role: 'assistant' }, finish_reason: null }] };
  const part = (content: string) => ({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
  const end = { choices: [{ index: 0, delta: { content: '' }, finish_reason: 'stop' }] };
  const delivered = readDelivered([role, part(''), part('é'), part('.'), end].map(event).join(''));
  expect(choiceOf(delivered, 0)).toMatchObject({ text: 'é.', textEvents: 2, events: 3 });
});
