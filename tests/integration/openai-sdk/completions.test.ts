/** Text completions over the stock client. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type OpenAiFixture, startOpenAiFixture } from '../../support/openai-fixture.ts';

let fixture: OpenAiFixture;

beforeAll(async () => {
  fixture = await startOpenAiFixture();
});
afterAll(() => fixture.stop());

it('completes a text', async () => {
  const answer = await fixture.client.completions.create({
    model: 'sim',
    prompt: 'Once',
    max_tokens: 5,
    temperature: 0,
  });
  expect(answer).toMatchObject({ object: 'text_completion', usage: { completion_tokens: 5 } });
});

it('completes several prompts, in order', async () => {
  const prompt = ['One', 'Two', 'Three'];
  const answer = await fixture.client.completions.create({ model: 'sim', prompt, max_tokens: 3, n: 2 });
  expect(answer.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5]);
});

it('completes token ids as the text that they are', async () => {
  const { tokens } = await fixture.client.post<{ tokens: number[] }>('/tokenize', {
    body: { model: 'sim', prompt: 'Once upon' },
  });
  const ask = (prompt: string | number[]) =>
    fixture.client.completions.create({ model: 'sim', prompt, max_tokens: 8, temperature: 0 });
  expect((await ask(tokens)).choices[0]?.text).toBe((await ask('Once upon')).choices[0]?.text);
});

it('echoes the prompt', async () => {
  const answer = await fixture.client.completions.create({
    model: 'sim',
    prompt: 'Once',
    max_tokens: 2,
    echo: true,
  });
  expect(answer.choices[0]?.text.startsWith('Once')).toBe(true);
});

it('streams a text, with usage when asked for', async () => {
  const stream = await fixture.client.completions.create({
    model: 'sim',
    prompt: 'Once',
    max_tokens: 6,
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = '';
  let tokens: number | undefined;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.text ?? '';
    tokens = chunk.usage?.completion_tokens ?? tokens;
  }
  const whole = await fixture.client.completions.create({
    model: 'sim',
    prompt: 'Once',
    max_tokens: 6,
    temperature: 0,
  });
  expect([text, tokens]).toEqual([whole.choices[0]?.text, 6]);
});

it('gives logprobs as parallel lists', async () => {
  const answer = await fixture.client.completions.create({
    model: 'sim',
    prompt: 'Once',
    max_tokens: 3,
    temperature: 0,
    logprobs: 2,
  });
  const logprobs = answer.choices[0]?.logprobs;
  expect(logprobs?.tokens).toHaveLength(3);
  expect(logprobs?.token_logprobs).toHaveLength(3);
  expect(logprobs?.text_offset?.[0]).toBe(0);
});

it('stops at a stop string', async () => {
  const ask = (stop?: string) =>
    fixture.client.completions.create({
      model: 'sim',
      prompt: 'Once',
      max_tokens: 20,
      temperature: 0,
      ...(stop && { stop }),
    });
  const whole = (await ask()).choices[0]?.text ?? '';
  const stop = whole.slice(6, 9);
  expect((await ask(stop)).choices[0]?.text).toBe(whole.slice(0, whole.indexOf(stop)));
});
