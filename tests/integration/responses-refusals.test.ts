/** A request to the Responses API that an engine refuses: the client is told of what it sent, whichever way it waits. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { startSimulator, stopSimulators } from '../support/simulator-under-test.ts';

let gateway: RunningGateway;

beforeAll(async () => {
  const simulator = await startSimulator(['--model-name', 'm']);
  gateway = await startGateway([poolOf('m', [{ url: simulator.url }])]);
});

afterAll(async () => {
  await gateway?.stop();
  await stopSimulators();
});

const create = async (fields: object) => {
  const body = JSON.stringify({ model: 'm', input: 'Hi', max_output_tokens: -1, ...fields });
  const response = await fetch(`${gateway.v1}/responses`, { method: 'POST', body });
  return { status: response.status, json: (await response.json()) as { id: string; error: object } };
};

it.each([{}, { stream: true }])('names max_output_tokens, with %j', async (fields) => {
  expect(await create(fields)).toMatchObject({
    status: 400,
    json: {
      error: { message: expect.stringMatching(/^max_output_tokens: found -1/), param: 'max_output_tokens' },
    },
  });
});

it('names max_output_tokens in a background response that failed', async () => {
  const { status, json } = await create({ background: true });
  expect(status).toBe(200);
  await expect
    .poll(async () => (await fetch(`${gateway.v1}/responses/${json.id}`)).json())
    .toMatchObject({
      status: 'failed',
      error: { message: expect.stringContaining('max_output_tokens: found -1') },
    });
});
