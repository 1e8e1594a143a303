/** The list of models over the stock client. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { poolOf, startGateway } from '../../support/gateway-under-test.ts';
import { failureOf, type OpenAiFixture, startOpenAiFixture } from '../../support/openai-fixture.ts';

let fixture: OpenAiFixture;

beforeAll(async () => {
  fixture = await startOpenAiFixture();
});
afterAll(() => fixture.stop());

it('lists models and aliases, by page and by iteration', async () => {
  const page = await fixture.client.models.list();
  const ids: string[] = [];
  for await (const model of fixture.client.models.list()) ids.push(model.id);
  expect(ids).toEqual(['sim', 'gpt-sim', 'script', 'narrow']);
  expect(page.data.map(({ id }) => id)).toEqual(ids);
});

it('has one page only', async () => {
  const page = await fixture.client.models.list();
  expect(page.hasNextPage()).toBe(false);
});

it('retrieves a model by name and by alias', async () => {
  expect(await fixture.client.models.retrieve('sim')).toMatchObject({ id: 'sim', object: 'model' });
  expect((await fixture.client.models.retrieve('gpt-sim')).id).toBe('gpt-sim');
});

it('finds a model whose name has slashes', async () => {
  const named = await startGateway([poolOf('org/model-7B', [{ url: fixture.engine.url }])]);
  try {
    const client = fixture.newClient({ baseURL: named.v1 });
    expect((await client.models.retrieve('org/model-7B')).id).toBe('org/model-7B');
  } finally {
    await named.stop();
  }
});

it('says 404 for a model that is not there', async () => {
  expect(await failureOf(fixture.client.models.retrieve('org/none'))).toMatchObject({
    status: 404,
    code: 'model_not_found',
    param: 'model',
  });
});
