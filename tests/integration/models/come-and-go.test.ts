/**
 * Models and aliases changed while everything runs: whole systems with simulated engines, real processes and traffic that must not
 * notice.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  change,
  chat,
  contentOf,
  isReady,
  models,
  mustChange,
  openStream,
  pidsOf,
  poolOf,
} from '../../support/changing-models.ts';
import { eventually } from '../../support/gateway-under-test.ts';
import { startTraffic } from '../../support/steady-traffic.ts';
import {
  isAlive,
  killQuietly,
  type SystemUnderTest,
  simulatorPool,
  startSystem,
} from '../../support/system-under-test.ts';

let system: SystemUnderTest;

afterEach(async () => {
  await system.stop();
});

describe('models that come and go', () => {
  it('are loaded, scaled, aliased and unloaded without a failed request to the others', async () => {
    system = await startSystem({ models: [simulatorPool('steady', 2)] });
    const steadyPids = pidsOf(await system.status(), 'steady');
    const traffic = startTraffic({ v1: system.v1(), model: 'steady' });

    await mustChange(system, 'POST', '', {
      model_name: 'second',
      engine: 'simulator',
      replicas: 2,
      aliases: ['deux'],
    });
    await system.until(isReady('second', 2));
    expect((await chat(system, 'deux')).status).toBe(200);
    await mustChange(system, 'PATCH', '/second', { replicas: 3 });
    await system.until(isReady('second', 3));
    await mustChange(system, 'PATCH', '/second', { replicas: 1 });
    const pids = pidsOf(await system.until(isReady('second', 1)), 'second');
    await mustChange(system, 'PUT', '/steady/aliases/also');
    expect((await chat(system, 'also')).status).toBe(200);
    await traffic.progress(20);

    const stream = openStream(system, 'second', 200);
    await stream.begun;
    await mustChange(system, 'DELETE', '/second');
    expect(await chat(system, 'second')).toMatchObject({
      status: 404,
      error: {
        code: 'model_not_found',
        message: expect.stringContaining('"second" does not exist; known: steady, also'),
      },
    });
    const { text } = await stream.whole;
    expect(text).toContain('data: [DONE]');
    await system.until((status) => poolOf(status, 'second') === undefined);
    await eventually(() => pids.every((pid) => !isAlive(pid)));

    await traffic.progress(20);
    await traffic.stop();
    expect(traffic.failures).toEqual([]);
    expect(pidsOf(await system.status(), 'steady')).toEqual(steadyPids);
  });

  it('hand an alias on, from one version to the next, without a failed request', async () => {
    system = await startSystem({ models: [{ ...simulatorPool('v1', 1), max_batch_size: 2 }] });
    await mustChange(system, 'PUT', '/v1/aliases/prod');
    await system.until(() => true);
    // More lines than places: some requests always wait in the queue of the version that goes.
    const traffic = startTraffic({ v1: system.v1(), model: 'prod', lines: 8 });
    for (const [from, to] of [
      ['v1', 'v2'],
      ['v2', 'v3'],
      ['v3', 'v4'],
    ] as const) {
      await mustChange(system, 'POST', '', { model_name: to, engine: 'simulator', max_batch_size: 2 });
      await system.until(isReady(to, 1));
      await traffic.progress(10);
      expect((await change(system, 'PUT', `/${to}/aliases/prod`)).status).toBe(409);
      await mustChange(system, 'PUT', `/${to}/aliases/prod`, { move: true });
      await mustChange(system, 'DELETE', `/${from}`);
      await system.until((status) => poolOf(status, from) === undefined);
    }
    await traffic.progress(20);
    await traffic.stop();
    expect(traffic.failures).toEqual([]);
    expect((await models(system)).models.map(({ model, state }) => [model, state])).toEqual([
      ['v4', 'served'],
      ['v1', 'unloaded'],
    ]);
  });

  it('end an answer with the model that began it, also when its alias has moved and its engine dies', async () => {
    system = await startSystem({ models: [simulatorPool('v1', 2)] });
    await mustChange(system, 'POST', '', { model_name: 'v2', engine: 'simulator' });
    await system.until(isReady('v2', 1));
    await mustChange(system, 'PUT', '/v1/aliases/prod');
    const undisturbed = await openStream(system, 'v1', 200).whole;
    expect(contentOf((await openStream(system, 'v2', 200).whole).text)).toBe(contentOf(undisturbed.text));
    const stream = openStream(system, 'prod', 200);
    await stream.begun;
    await mustChange(system, 'PUT', '/v2/aliases/prod', { move: true });
    const status = await system.until((found) =>
      (poolOf(found, 'v1')?.replicas ?? []).some(({ inFlight }) => inFlight > 0),
    );
    killQuietly(poolOf(status, 'v1')?.replicas.find(({ inFlight }) => inFlight > 0)?.pid ?? 0);
    const { text } = await stream.whole;
    expect(contentOf(text)).toBe(contentOf(undisturbed.text));
    expect(text).toContain('x-autoglm-continuation');
    const line = await eventually(() =>
      readFileSync(join(system.stateDir, 'logs', 'gateway.log'), 'utf8')
        .split('\n')
        .find((candidate) => candidate.includes('"continuations":1')),
    );
    expect(JSON.parse(line)).toMatchObject({ model: 'v1', replica: expect.stringMatching(/^v1\//) });
    expect((await chat(system, 'prod')).status).toBe(200);
  });

  it('are refused with the words of the configuration file, and nothing has changed then', async () => {
    system = await startSystem({ models: [{ ...simulatorPool('base', 1), aliases: ['b'] }] });
    const before = await models(system);
    const refused = async (method: string, path: string, body: unknown, code: string, message: string) => {
      const { status, answer } = await change(system, method, path, body);
      expect(answer.error, JSON.stringify(answer)).toMatchObject({
        code,
        message: expect.stringContaining(message),
      });
      expect(status).toBeGreaterThanOrEqual(400);
    };
    const x = { model_name: 'x', engine: 'simulator' };
    await refused(
      'POST',
      '',
      {},
      'config_invalid',
      'model_name: missing; would be right: a text that is not empty',
    );
    await refused(
      'POST',
      '',
      { ...x, replicas: 0 },
      'config_invalid',
      'replicas: found 0; would be right: an integer from 1 to 64',
    );
    await refused(
      'POST',
      '',
      { ...x, replica: 2 },
      'config_invalid',
      'replica: this key is not known; did you mean "replicas"?',
    );
    await refused(
      'POST',
      '',
      { ...x, engine: 'vllm' },
      'config_invalid',
      'model: missing; engine "vllm" needs to be told what to load',
    );
    await refused(
      'POST',
      '',
      { model_name: 'x', model: '/no/such.gguf' },
      'config_invalid',
      'found no such file',
    );
    await refused(
      'POST',
      '',
      { ...x, command: ['sh', '-c', 'id', '{port}'] },
      'forbidden',
      'set `admin.keys`',
    );
    await refused('POST', '', { ...x, env: { LD_PRELOAD: '/x' } }, 'forbidden', 'set `admin.keys`');
    await refused('POST', '', [1], 'invalid_request', 'the body is not a JSON object');
    await refused(
      'POST',
      '',
      { ...x, model_name: 'b' },
      'conflict',
      'model_name: found "b", which is taken by an alias of model "base"',
    );
    await refused(
      'POST',
      '',
      { ...x, aliases: ['base'] },
      'conflict',
      'aliases[0]: found "base", which is taken by model "base"',
    );
    await refused(
      'POST',
      '',
      { ...x, aliases: ['x'] },
      'conflict',
      'aliases[0]: found "x", which is taken by this same model',
    );
    await refused('POST', '', { model_name: 'base' }, 'conflict', 'is served already');
    await refused('PUT', '/base/aliases/base', {}, 'conflict', 'found the model itself');
    await refused(
      'PUT',
      '/b/aliases/c',
      {},
      'conflict',
      '"b" is an alias of model "base"; give the alias to the model itself: "base"',
    );
    await refused('PUT', '/base/aliases/c', { mov: true }, 'invalid_request', 'mov: this key is not known');
    await refused('PUT', '/nope/aliases/c', {}, 'not_found', 'unknown model "nope"; known: base');
    await refused('DELETE', '/base/aliases/b', {}, 'conflict', 'remove it there');
    await refused(
      'PATCH',
      '/base',
      { replicas: 65 },
      'config_invalid',
      'replicas: found 65; would be right: an integer from 1 to 64',
    );
    await refused('DELETE', '/nope', {}, 'not_found', 'unknown model "nope"');
    const embedded = { model_name: 'e', lora_adapters: [{ name: 'l', path: '/x' }] };
    await refused(
      'POST',
      '',
      embedded,
      'config_invalid',
      'engine "embedded", which serves no adapters beside its model',
    );
    expect(await models(system)).toEqual(before);
    await mustChange(system, 'POST', '', { ...x, aliases: ['y'] });
    await refused('PUT', '/base/aliases/y', {}, 'conflict', 'is taken by an alias of model "x"; add --move');
    await refused(
      'PUT',
      '/base/aliases/x',
      { move: true },
      'conflict',
      'is taken by model "x"; choose another',
    );
    await refused('PUT', '/x/aliases/b', { move: true }, 'conflict', 'change it there');
  });
});
