import { expect, it } from 'vitest';
import { addEvents, allFinished, carriesContent, choiceOf, emptyDelivered } from './delivered-stream.ts';

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
  expect(allFinished(delivered)).toBe(false);
  expect(carriesContent(JSON.stringify({ choices: [{ index: 0, text: '', finish_reason: '' }] }))).toBe(
    false,
  );
  const ended = { choices: [{ index: 0, text: '.', finish_reason: 'length' }] };
  expect(allFinished(readDelivered(event(running) + event(ended)))).toBe(true);
});

it('counts the events of the answer apart from those that carry text', () => {
  const role = { choices: [{ index: 0, delta: { role: 'assistant' }, finish_reason: null }] };
  const part = (content: string) => ({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
  const end = { choices: [{ index: 0, delta: { content: '' }, finish_reason: 'stop' }] };
  const delivered = readDelivered([role, part(''), part('é'), part('.'), end].map(event).join(''));
  expect(choiceOf(delivered, 0)).toMatchObject({ text: 'é.', textEvents: 2, events: 3 });
});
