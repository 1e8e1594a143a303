/**
 * Models, aliases and adapters changed while everything runs: whole systems with simulated engines, real processes and traffic
 * that must not notice. What was asked for is there after any death, or was never accepted.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import type { ModelList, SystemStatus } from '../../src/contract/admin-api.ts';
import { eventually } from '../support/gateway-under-test.ts';
import { startTraffic } from '../support/steady-traffic.ts';
import {
  isAlive,
  killQuietly,
  type SystemUnderTest,
  simulatorPool,
  startSystem,
} from '../support/system-under-test.ts';

let system: SystemUnderTest;

afterEach(async () => {
  await system.stop();
});

async function call(method: string, path: string, body: unknown = {}) {
  const response = await fetch(`${system.adminUrl()}/api/v1/models${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(method === 'GET' ? {} : { body: JSON.stringify(body) }),
  });
  const answer = (await response.json()) as { message?: string; error?: { code: string; message: string } };
  return { status: response.status, answer };
}

async function done(method: string, path: string, body?: unknown): Promise<void> {
  const { status, answer } = await call(method, path, body);
  expect(status, JSON.stringify(answer)).toBe(200);
}

async function models(): Promise<ModelList> {
  return (await fetch(`${system.adminUrl()}/api/v1/models`)).json() as Promise<ModelList>;
}

const poolOf = ({ pools }: SystemStatus, name: string) => pools.find(({ model }) => model === name);
const isReady = (name: string, replicas: number) => (status: SystemStatus) =>
  poolOf(status, name)?.ready === replicas && poolOf(status, name)?.total === replicas;
const pidsOf = (status: SystemStatus, name: string) =>
  (poolOf(status, name)?.replicas ?? []).flatMap(({ pid }) => pid ?? []);

async function chat(model: string, body: object = {}) {
  const response = await fetch(`${system.v1()}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model,
      temperature: 0,
      max_tokens: 40,
      messages: [{ role: 'user', content: 'hi' }],
      ...body,
    }),
  });
  const answer = (await response.json()) as {
    choices?: { message: { content: string } }[];
    error?: { code: string; message: string };
  };
  return { status: response.status, text: answer.choices?.[0]?.message.content, error: answer.error };
}

/** A stream that is read to its end; `begun` resolves with its first text. */
function openStream(model: string, maxTokens: number) {
  const { promise: begun, resolve } = Promise.withResolvers<void>();
  const whole = (async () => {
    const response = await fetch(`${system.v1()}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model,
        temperature: 0,
        max_tokens: maxTokens,
        ignore_eos: true,
        stream: true,
        messages: [{ role: 'user', content: 'a long story' }],
      }),
    });
    let text = '';
    const decoder = new TextDecoder();
    for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += decoder.decode(bytes, { stream: true });
      if (text.includes('"content":"')) resolve();
    }
    return { status: response.status, replica: response.headers.get('x-autoglm-replica'), text };
  })();
  whole.catch(() => {});
  return { begun, whole };
}

function contentOf(events: string): string {
  return events
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice(6)) as { choices?: { delta?: { content?: string } }[] })
    .map(({ choices }) => choices?.[0]?.delta?.content ?? '')
    .join('');
}

describe('models that come and go', () => {
  it('are loaded, scaled, aliased and unloaded without a failed request to the others', async () => {
    system = await startSystem({ models: [simulatorPool('steady', 2)] });
    const steadyPids = pidsOf(await system.status(), 'steady');
    const traffic = startTraffic({ v1: system.v1(), model: 'steady' });

    await done('POST', '', { model_name: 'second', engine: 'simulator', replicas: 2, aliases: ['deux'] });
    await system.until(isReady('second', 2));
    expect((await chat('deux')).status).toBe(200);
    await done('PATCH', '/second', { replicas: 3 });
    await system.until(isReady('second', 3));
    await done('PATCH', '/second', { replicas: 1 });
    const pids = pidsOf(await system.until(isReady('second', 1)), 'second');
    await done('PUT', '/steady/aliases/also');
    expect((await chat('also')).status).toBe(200);
    await traffic.progress(20);

    const stream = openStream('second', 200);
    await stream.begun;
    await done('DELETE', '/second');
    expect(await chat('second')).toMatchObject({
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
    await done('PUT', '/v1/aliases/prod');
    await system.until(() => true);
    // More lines than places: some requests always wait in the queue of the version that goes.
    const traffic = startTraffic({ v1: system.v1(), model: 'prod', lines: 8 });
    for (const [from, to] of [
      ['v1', 'v2'],
      ['v2', 'v3'],
      ['v3', 'v4'],
    ] as const) {
      await done('POST', '', { model_name: to, engine: 'simulator', max_batch_size: 2 });
      await system.until(isReady(to, 1));
      await traffic.progress(10);
      expect((await call('PUT', `/${to}/aliases/prod`)).status).toBe(409);
      await done('PUT', `/${to}/aliases/prod`, { move: true });
      await done('DELETE', `/${from}`);
      await system.until((status) => poolOf(status, from) === undefined);
    }
    await traffic.progress(20);
    await traffic.stop();
    expect(traffic.failures).toEqual([]);
    expect((await models()).models.map(({ model, state }) => [model, state])).toEqual([
      ['v4', 'served'],
      ['v1', 'unloaded'],
    ]);
  });

  it('end an answer with the model that began it, also when its alias has moved and its engine dies', async () => {
    system = await startSystem({ models: [simulatorPool('v1', 2)] });
    await done('POST', '', { model_name: 'v2', engine: 'simulator' });
    await system.until(isReady('v2', 1));
    await done('PUT', '/v1/aliases/prod');
    const undisturbed = await openStream('v1', 200).whole;
    expect(contentOf((await openStream('v2', 200).whole).text)).toBe(contentOf(undisturbed.text));
    const stream = openStream('prod', 200);
    await stream.begun;
    await done('PUT', '/v2/aliases/prod', { move: true });
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
    expect((await chat('prod')).status).toBe(200);
  });

  it('are refused with the words of the configuration file, and nothing has changed then', async () => {
    system = await startSystem({ models: [{ ...simulatorPool('base', 1), aliases: ['b'] }] });
    const before = await models();
    const refused = async (method: string, path: string, body: unknown, code: string, message: string) => {
      const { status, answer } = await call(method, path, body);
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
    expect(await models()).toEqual(before);
    await done('POST', '', { ...x, aliases: ['y'] });
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

describe('what was loaded at run time', () => {
  it('is there again when the node process or the whole system was restarted, until the file takes the name', async () => {
    system = await startSystem({ models: [simulatorPool('base', 1)] });
    await done('POST', '', { model_name: 'extra', engine: 'simulator', aliases: ['e'] });
    await done('PATCH', '/base', { replicas: 2 });
    await system.until((status) => isReady('extra', 1)(status) && isReady('base', 2)(status));
    const before = await system.status();

    killQuietly(before.node.pid);
    const after = await system.until(
      (status) => status.node.pid !== before.node.pid && isReady('extra', 1)(status),
    );
    expect(pidsOf(after, 'extra')).toEqual(pidsOf(before, 'extra'));
    expect(poolOf(after, 'extra')).toMatchObject({ source: 'runtime', aliases: ['e'] });

    const ended = new Promise((resolve) => system.launcher.once('exit', resolve));
    system.launcher.kill('SIGTERM');
    await ended;
    // The kernel may take a moment to put an ended process away.
    await eventually(() => system.processes().length === 0);
    await system.serve();
    await system.until((status) => isReady('extra', 1)(status) && isReady('base', 2)(status));

    const config = parse(readFileSync(system.configFile, 'utf8')) as { models: object[] };
    config.models = [{ ...simulatorPool('base', 1), max_batch_size: 9 }, simulatorPool('extra', 2)];
    writeFileSync(system.configFile, stringify(config));
    await system.post('/api/v1/node/restart');
    await system.until((status) => isReady('extra', 2)(status) && isReady('base', 1)(status), 30_000);
    const { notes } = await models();
    expect(notes).toEqual([
      expect.stringContaining(
        'has changed model "base" since it was scaled to 2 replicas at run time: the file counts',
      ),
      expect.stringContaining('model "extra" was loaded at run time, and'),
    ]);
    // The alias was given to the name, which the file has now.
    expect(poolOf(await system.status(), 'extra')).toMatchObject({ source: 'file', aliases: ['e'] });
  });

  it('is finished or was never accepted when the node process dies in the middle, and no engine is left over', async () => {
    system = await startSystem({ models: [simulatorPool('base', 1)] });
    for (const delayMs of [0, 2, 10, 40, 150]) {
      const name = `late-${delayMs}`;
      const { node } = await system.status();
      const answer = call('POST', '', { model_name: name, engine: 'simulator', replicas: 2 }).catch(
        () => null,
      );
      await new Promise((wake) => setTimeout(wake, delayMs));
      killQuietly(node.pid);
      const accepted = await answer;
      const status = await system.until((found) => found.node.pid !== node.pid && everyReady(found), 30_000);
      if (accepted?.status === 200) expect(poolOf(status, name)?.total).toBe(2);
      expect([undefined, 2]).toContain(poolOf(status, name)?.total);
      await expectNoStrays();
      if (poolOf(status, name) === undefined) continue;

      const second = await system.status();
      const unload = call('DELETE', `/${name}`).catch(() => null);
      await new Promise((wake) => setTimeout(wake, delayMs));
      killQuietly(second.node.pid);
      const unloaded = await unload;
      const settled = await system.until(
        (found) =>
          found.node.pid !== second.node.pid &&
          everyReady(found) &&
          found.pools.every(({ leaving }) => !leaving),
        30_000,
      );
      if (unloaded?.status === 200) expect(poolOf(settled, name)).toBeUndefined();
      expect([undefined, 2]).toContain(poolOf(settled, name)?.total);
      await expectNoStrays();
    }
  });
});

const everyReady = ({ pools }: SystemStatus) =>
  pools.every(({ ready, total, leaving }) => leaving || (ready === total && total > 0));

/** Each engine process belongs to a replica that `status` shows. */
async function expectNoStrays(): Promise<void> {
  const isSettled = async () => {
    const status = await system.status();
    const known = status.pools.flatMap(({ replicas }) => replicas.flatMap(({ pid }) => pid ?? []));
    const engines = system.processes().filter((pid) => commandOf(pid).includes('simulator-process'));
    return engines.every((pid) => known.includes(pid)) && engines.length === known.length;
  };
  const endMs = performance.now() + 45_000;
  while (!(await isSettled())) {
    if (performance.now() > endMs) throw new Error('engines that nobody knows are left');
    await new Promise((wake) => setTimeout(wake, 50));
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

describe('LoRA adapters', () => {
  /** Where adapters lie; the simulator looks only whether they are there. */
  let adapters: string;
  beforeAll(() => {
    adapters = mkdtempSync(join(tmpdir(), 'autoglm-adapters-'));
  });
  afterAll(() => rmSync(adapters, { recursive: true, force: true }));

  function adapterPath(name: string): string {
    const path = join(adapters, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  it('are models of their own, with a parent, another text, and the same one on every replica', async () => {
    const lora_adapters = [{ name: 'sql', path: adapterPath('sql') }];
    system = await startSystem({ models: [{ ...simulatorPool('base', 2), lora_adapters }] });
    await adaptersReady('base', { sql: 2 });
    const { data } = (await (await fetch(`${system.v1()}/models`)).json()) as { data: object[] };
    expect(data).toMatchObject([{ id: 'base' }, { id: 'sql', parent: 'base' }]);
    const own = await chat('base');
    const texts = await Promise.all(Array.from({ length: 6 }, () => chat('sql')));
    expect(new Set(texts.map(({ text }) => text)).size).toBe(1);
    expect(texts[0]?.text).not.toBe(own.text);
    expect(await chat('sqll')).toMatchObject({ status: 404, error: { code: 'model_not_found' } });
  });

  it('survive the death of an engine in the middle of a stream, and are loaded again before it is asked for them', async () => {
    const lora_adapters = [{ name: 'sql', path: adapterPath('sql') }];
    system = await startSystem({ models: [{ ...simulatorPool('base', 2), lora_adapters }] });
    await done('PUT', '/base/adapters/late', { path: adapterPath('late') });
    await adaptersReady('base', { sql: 2, late: 2 });
    const undisturbed = await openStream('late', 150).whole;
    const traffic = startTraffic({ v1: system.v1(), model: 'late' });
    for (let turn = 0; turn < 3; turn++) {
      const stream = openStream('late', 150);
      await stream.begun;
      const status = await system.until((found) =>
        (poolOf(found, 'base')?.replicas ?? []).some(({ inFlight }) => inFlight > 0),
      );
      const victims = poolOf(status, 'base')?.replicas ?? [];
      const [busiest] = victims.toSorted((a, b) => b.inFlight - a.inFlight);
      killQuietly(busiest?.pid ?? 0);
      expect(contentOf((await stream.whole).text)).toBe(contentOf(undisturbed.text));
      await system.until(isReady('base', 2));
      await adaptersReady('base', { sql: 2, late: 2 });
    }
    await traffic.progress(10);
    await traffic.stop();
    expect(traffic.failures).toEqual([]);
  });

  it('come and go while everything runs, and say why they do not come', async () => {
    system = await startSystem({
      models: [{ ...simulatorPool('base', 2), lora_adapters: [{ name: 'sql', path: adapterPath('sql') }] }],
    });
    await adaptersReady('base', { sql: 2 });
    const before = pidsOf(await system.status(), 'base');
    const traffic = startTraffic({ v1: system.v1(), model: 'base' });
    await done('PUT', '/base/adapters/extra', { path: adapterPath('extra') });
    await adaptersReady('base', { sql: 2, extra: 2 });
    expect((await chat('extra')).status).toBe(200);
    await done('PUT', '/base/adapters/gone', { path: '/no/such/adapter' });
    await eventuallyAsync(async () => {
      const [base] = (await models()).models;
      return base?.adapters
        .find(({ name }) => name === 'gone')
        ?.problem?.includes('No adapter found for /no/such/adapter');
    });
    const refused = await chat('gone');
    expect(refused.status).toBe(503);
    expect(refused.error?.message).toContain('could not load it');
    expect((await call('DELETE', '/base/adapters/sql')).answer.error?.message).toContain('remove it there');
    await done('DELETE', '/base/adapters/gone');
    await done('DELETE', '/base/adapters/extra');
    expect((await chat('extra')).status).toBe(404);
    await eventuallyAsync(async () => {
      const lists = await Promise.all(
        (await engineUrls()).map(async (url) => (await fetch(`${url}/v1/models`)).text()),
      );
      return lists.every((list) => !list.includes('extra'));
    });
    await traffic.stop();
    expect(traffic.failures).toEqual([]);
    expect(pidsOf(await system.status(), 'base')).toEqual(before);
  });

  async function engineUrls(): Promise<string[]> {
    return (poolOf(await system.status(), 'base')?.replicas ?? []).flatMap(({ url }) => url ?? []);
  }

  async function adaptersReady(model: string, wanted: Record<string, number>): Promise<void> {
    await eventuallyAsync(async () => {
      const found = (await models()).models.find((one) => one.model === model);
      const ready = Object.fromEntries((found?.adapters ?? []).map((one) => [one.name, one.ready]));
      return JSON.stringify(ready) === JSON.stringify(wanted);
    });
  }
});

async function eventuallyAsync(holds: () => Promise<boolean | undefined>): Promise<void> {
  const endMs = performance.now() + 20_000;
  while ((await holds()) !== true) {
    if (performance.now() > endMs)
      throw new Error(`not so within 20 s: ${holds}; ${JSON.stringify(await models())}`);
    await new Promise((wake) => setTimeout(wake, 25));
  }
}
