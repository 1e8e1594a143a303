/** Whole chat completions over the stock client. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type OpenAiFixture, startOpenAiFixture, USER } from '../../support/openai-fixture.ts';
import { ANSWER_TEXT } from '../../support/scripted-engine.ts';

let fixture: OpenAiFixture;

beforeAll(async () => {
  fixture = await startOpenAiFixture();
});
afterAll(() => fixture.stop());

it('answers with a message, usage and the request id', async () => {
  const answer = await fixture.client.chat.completions.create({ model: 'sim', messages: USER });
  expect(answer).toMatchObject({ object: 'chat.completion', model: 'sim' });
  expect(answer.choices[0]).toMatchObject({ index: 0, message: { role: 'assistant', refusal: null } });
  const usage = answer.usage as NonNullable<typeof answer.usage>;
  expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens);
  expect(answer._request_id).toMatch(/^req-/);
});

it('answers under an alias as under the name', async () => {
  const ask = (model: string) =>
    fixture.client.chat.completions.create({ model, messages: USER, temperature: 0 });
  const [named, aliased] = await Promise.all([ask('sim'), ask('gpt-sim')]);
  expect(aliased.choices[0]?.message.content).toBe(named.choices[0]?.message.content);
});

it('ends at max_completion_tokens with "length"', async () => {
  const answer = await fixture.client.chat.completions.create({
    model: 'sim',
    messages: USER,
    max_completion_tokens: 4,
    temperature: 0,
  });
  expect(answer.choices[0]?.finish_reason).toBe('length');
  expect(answer.usage?.completion_tokens).toBe(4);
});

it('stops before a stop string', async () => {
  const ask = (stop: string | null) =>
    fixture.client.chat.completions.create({ model: 'sim', messages: USER, temperature: 0, stop });
  const whole = (await ask(null)).choices[0]?.message.content ?? '';
  const stop = whole.slice(8, 12);
  const cut = await ask(stop);
  expect(cut.choices[0]).toMatchObject({
    finish_reason: 'stop',
    message: { content: whole.slice(0, whole.indexOf(stop)) },
  });
});

it('gives n answers, each with its index', async () => {
  const answer = await fixture.client.chat.completions.create({
    model: 'sim',
    messages: USER,
    n: 3,
    seed: 5,
  });
  expect(answer.choices.map(({ index }) => index)).toEqual([0, 1, 2]);
  expect(new Set(answer.choices.map(({ message }) => message.content)).size).toBe(3);
});

it('repeats a sampled answer for the same seed', async () => {
  const ask = () => fixture.client.chat.completions.create({ model: 'sim', messages: USER, seed: 7 });
  expect((await ask()).choices[0]?.message.content).toBe((await ask()).choices[0]?.message.content);
});

it('gives logprobs with alternatives', async () => {
  const answer = await fixture.client.chat.completions.create({
    model: 'sim',
    messages: USER,
    logprobs: true,
    top_logprobs: 3,
    max_tokens: 5,
    // A sampled answer may end sooner.
    ...{ min_tokens: 5 },
  });
  const tokens = answer.choices[0]?.logprobs?.content ?? [];
  expect(tokens).toHaveLength(5);
  expect(tokens[0]?.top_logprobs).toHaveLength(3);
  expect(tokens[0]?.logprob).toBeLessThanOrEqual(0);
});

it('hands metadata, user and fields that nobody knows to the engine, and brings unknown fields back', async () => {
  const answer = await fixture.client.chat.completions.create({
    model: 'script',
    messages: USER,
    metadata: { run: '1' },
    user: 'me',
    ...{ x_vendor: { deep: [1] } },
  });
  expect(fixture.engine.seen.at(-1)?.body).toMatchObject({
    metadata: { run: '1' },
    user: 'me',
    x_vendor: { deep: [1] },
  });
  expect((answer as unknown as { unknown_field: unknown }).unknown_field).toEqual({ kept: true });
});

it('hands images and audio to the engine as they are', async () => {
  const content = [
    { type: 'text' as const, text: 'What is it?' },
    { type: 'image_url' as const, image_url: { url: 'data:image/png;base64,AAAA', detail: 'low' as const } },
    { type: 'input_audio' as const, input_audio: { data: 'AAAA', format: 'wav' as const } },
  ];
  await fixture.client.chat.completions.create({ model: 'script', messages: [{ role: 'user', content }] });
  expect(fixture.engine.seen.at(-1)?.body.messages).toEqual([{ role: 'user', content }]);
});

it('takes a conversation of all roles', async () => {
  const answer = await fixture.client.chat.completions.create({
    model: 'sim',
    messages: [
      { role: 'developer', content: 'Be brief.' },
      { role: 'system', content: 'Be kind.' },
      ...USER,
      { role: 'assistant', content: 'Hello.' },
      { role: 'user', content: [{ type: 'text', text: 'Again' }] },
    ],
  });
  expect(answer.choices).toHaveLength(1);
});

it('gives the raw response to withResponse and asResponse', async () => {
  const pending = () => fixture.client.chat.completions.create({ model: 'script', messages: USER });
  const { data, response, request_id } = await pending().withResponse();
  expect(data.choices[0]?.message.content).toBe(ANSWER_TEXT);
  expect(response.headers.get('x-autoglm-replica')).toBe('script/0');
  expect(Number(response.headers.get('openai-processing-ms'))).toBeGreaterThanOrEqual(0);
  expect(request_id).toBe(response.headers.get('x-request-id'));
  expect(((await (await pending().asResponse()).json()) as typeof data).choices).toHaveLength(1);
});

it('takes a request id of the client over', async () => {
  const headers = { 'x-request-id': 'mine-7' };
  const answer = await fixture.client.chat.completions.create({ model: 'sim', messages: USER }, { headers });
  expect(answer._request_id).toBe('mine-7');
});

it('gives a thought apart from the text when asked to think', async () => {
  const answer = await fixture.client.chat.completions.create({
    model: 'sim',
    messages: USER,
    ...{ chat_template_kwargs: { enable_thinking: true } },
  });
  const message = answer.choices[0]?.message as unknown as { content: string; reasoning_content: string };
  expect(message.reasoning_content).not.toBe('');
  expect(message.content).not.toContain('think>');
});
