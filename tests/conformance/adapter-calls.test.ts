/**
 * The adapter calls of each driver against an engine that speaks its dialect: vLLM and SGLang on the simulator, llama-server
 * on a server that answers as its own does. What must hold for all: a list says what is there and how to ask for it, loading twice is no
 * failure, and nothing throws, whatever the engine says.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { EngineTarget } from '../../src/contract/ports/engine-driver.ts';
import {
  llamaServerAdapters,
  sglangAdapters,
  vllmAdapters,
} from '../../src/drivers/engines/adapter-calls.ts';
import { startSimulator, stopSimulators } from '../support/simulator-under-test.ts';

const signal = AbortSignal.timeout(60_000);
const servers: Server[] = [];

afterEach(async () => {
  await stopSimulators();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
});

type Answer = [status: number, body: unknown];

async function serve(answer: (path: string, body: Record<string, string>) => Answer): Promise<EngineTarget> {
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const [status, body] = answer(
      request.url ?? '',
      text === '' ? {} : (JSON.parse(text) as Record<string, string>),
    );
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, servedModel: 'base' };
}

async function simulator(dialect: string): Promise<EngineTarget> {
  const args = ['--dialect', dialect, '--model-name', 'base', '--enable-lora', 'true'];
  return { url: (await startSimulator(args)).url, servedModel: 'base' };
}

async function textFrom({ url }: EngineTarget, model: string): Promise<unknown> {
  const body = JSON.stringify({ model, prompt: 'a', max_tokens: 20, temperature: 0 });
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(`${url}/v1/completions`, { method: 'POST', headers, body });
  expect(answer.status).toBe(200);
  return ((await answer.json()) as { choices: { text: string }[] }).choices[0]?.text;
}

describe.each([
  ['vLLM', vllmAdapters, () => simulator('vllm'), 'sql'],
  ['SGLang', sglangAdapters, () => simulator('sglang'), 'base:sql'],
] as const)('adapter calls of %s', (_name, calls, start, servedModel) => {
  it('list, load and unload, and take what is the case already for done', async () => {
    const target: EngineTarget = await start();
    const sql = { name: 'sql', path: '/tmp' };
    expect(await calls.list(target, [sql], signal)).toEqual({ ok: true, adapters: [] });
    expect(await calls.load(target, sql, signal)).toMatchObject({ ok: true });
    expect(await calls.load(target, sql, signal)).toMatchObject({ ok: true });
    expect(await calls.list(target, [sql], signal)).toEqual({
      ok: true,
      adapters: [{ name: 'sql', path: '/tmp', servedModel }],
    });
    expect(await textFrom(target, servedModel)).not.toBe(await textFrom(target, 'base'));
    expect(await calls.unload(target, 'sql', signal)).toMatchObject({ ok: true });
    expect(await calls.unload(target, 'sql', signal)).toMatchObject({ ok: true });
    expect(await calls.list(target, [sql], signal)).toEqual({ ok: true, adapters: [] });
  });

  it('say why an adapter cannot be loaded', async () => {
    const target: EngineTarget = await start();
    const result = await calls.load(target, { name: 'x', path: '/no/such/adapter' }, signal);
    expect(result).toMatchObject({ ok: false, detail: expect.stringContaining('/no/such/adapter') });
  });
});

describe('adapter calls', () => {
  it('name the remedy where vLLM was started without adapters', async () => {
    const target = await serve(() => [404, { detail: 'Not Found' }]);
    const { ok, detail } = await vllmAdapters.load(target, { name: 'x', path: '/x' }, signal);
    expect([ok, detail]).toEqual([false, expect.stringContaining('VLLM_ALLOW_RUNTIME_LORA_UPDATING=True')]);
  });

  it('find the numbers of llama-server by the paths', async () => {
    const target = await serve((path) =>
      path === '/lora-adapters'
        ? [
            200,
            [
              { id: 0, path: '/b', scale: 0 },
              { id: 1, path: '/a', scale: 0 },
            ],
          ]
        : [404, {}],
    );
    const wanted = [
      { name: 'a', path: '/a' },
      { name: 'c', path: '/c' },
    ];
    expect(await llamaServerAdapters.list(target, wanted, signal)).toEqual({
      ok: true,
      adapters: [{ name: 'a', path: '/a', servedModel: 'base', fields: { lora: [{ id: 1, scale: 1 }] } }],
    });
    expect(llamaServerAdapters.load).toBeUndefined();
  });

  it.each([
    ['nothing', [200, '']],
    ['no JSON', [200, '<html>']],
    ['a list of nonsense', [200, { data: [null, 1, { id: 3, parent: {} }] }]],
    ['null', [200, 'null']],
    ['a failure', [500, { error: 'x' }]],
  ] as const)('take %s for an answer without throwing', async (_what, answer) => {
    const target = await serve(() => [...answer] as Answer);
    for (const calls of [vllmAdapters, sglangAdapters, llamaServerAdapters]) {
      const found = await calls.list(target, [{ name: 'a', path: '/a' }], signal);
      expect(found.ok ? found.adapters : found.detail).toBeDefined();
    }
    const gone = { ...target, url: 'http://127.0.0.1:1' };
    expect(await vllmAdapters.list(gone, [], signal)).toEqual({ ok: false, detail: 'connection refused' });
    expect(await vllmAdapters.load(gone, { name: 'a', path: '/a' }, signal)).toMatchObject({ ok: false });
  });
});
