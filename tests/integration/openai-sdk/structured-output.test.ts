/** Structured output over the stock client. */
import type OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { failureOf, type OpenAiFixture, startOpenAiFixture, USER } from '../../support/openai-fixture.ts';

let fixture: OpenAiFixture;
const schema = {
  type: 'object',
  properties: { name: { type: 'string' }, tags: { type: 'array', items: { enum: ['a', 'b'] }, minItems: 1 } },
  required: ['name', 'tags'],
  additionalProperties: false,
};

beforeAll(async () => {
  fixture = await startOpenAiFixture();
});
afterAll(() => fixture.stop());

async function contentOf(
  params: Partial<OpenAI.ChatCompletionCreateParamsNonStreaming> | object,
): Promise<unknown> {
  const answer = await fixture.client.chat.completions.create({ model: 'sim', messages: USER, ...params });
  return JSON.parse(answer.choices[0]?.message.content ?? '');
}
const shape = { name: expect.any(String), tags: expect.any(Array) };

it('obeys a JSON Schema', async () => {
  const json_schema = { name: 'thing', strict: true, schema };
  expect(await contentOf({ response_format: { type: 'json_schema', json_schema } })).toEqual(shape);
});

it('gives some JSON object for json_object', async () => {
  expect(await contentOf({ response_format: { type: 'json_object' } })).toBeTypeOf('object');
});

it('obeys the spellings of vLLM', async () => {
  expect(await contentOf({ guided_json: schema })).toEqual(shape);
  expect(await contentOf({ structured_outputs: { json: schema } })).toEqual(shape);
});

it('streams a document in pieces that add up to it', async () => {
  const stream = await fixture.client.chat.completions.create({
    model: 'sim',
    messages: USER,
    response_format: { type: 'json_schema', json_schema: { name: 'thing', schema } },
    stream: true,
  });
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  expect(JSON.parse(text)).toEqual(shape);
});

it('thinks first and obeys then', async () => {
  const format = { response_format: { type: 'json_schema', json_schema: { name: 'thing', schema } } };
  expect(await contentOf({ ...format, chat_template_kwargs: { enable_thinking: true } })).toEqual(shape);
});

it('refuses a format that nobody knows, with the field at fault', async () => {
  const error = await failureOf(contentOf({ response_format: { type: 'xml' } }));
  expect(error).toMatchObject({ status: 400, param: 'response_format.type' });
});
