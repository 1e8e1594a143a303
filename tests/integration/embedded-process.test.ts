/** The life of the embedded engine's process: start, bad models, signals, the loss of its starter. */
import { execFileSync, spawn } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { BUILTIN_MODEL } from '../../src/drivers/engines/embedded/builtin-model.ts';
import { resolveModelAddress } from '../../src/drivers/engines/embedded/model-address.ts';
import { EmbeddedUnderTest, textOf, until } from '../support/embedded-under-test.ts';

const CHAT = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'Tell me a story.' }];
const directory = mkdtempSync(join(tmpdir(), 'autoglm-models-'));
const entry = resolve(import.meta.dirname, '../../src/assembly/embedded-engine-process.ts');

describe('embedded engine process', () => {
  const started: EmbeddedUnderTest[] = [];
  const start = (args: readonly string[] = [], env: Record<string, string> = {}) => {
    const engine = new EmbeddedUnderTest(args, env);
    started.push(engine);
    return engine;
  };
  afterEach(() => Promise.all(started.splice(0).map((engine) => engine.stop())));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it('listens before it is ready, and then says so in one line of JSON', async () => {
    const engine = start();
    await engine.listening();
    const early = await fetch(`${engine.url}/health`);
    const body = (await early.json()) as { error?: { message: string } };
    if (early.status !== 200) {
      expect([early.status, body.error?.message]).toEqual([503, 'loading model']);
      expect(await (await fetch(`${engine.url}/v1/models`)).json()).toMatchObject({ object: 'list' });
    }
    await engine.ready();
    const lines = engine.output.trim().split('\n');
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      event: 'ready',
      url: engine.url,
      model: 'inference-ops-demo',
      readyMs: expect.any(Number),
    });
  });

  const broken: [name: string, make: (path: string) => void, says: RegExp][] = [
    ['is missing', () => {}, /no such file; expected a GGUF file/],
    ['is a directory', (path) => mkdirSync(path), /found a directory; expected a GGUF file/],
    ['is empty', (path) => writeFileSync(path, ''), /ends after 0 bytes, within its head/],
    ['is something else', (path) => writeFileSync(path, 'hello world, no model'), /begins with "hell"/],
    [
      'is cut within its head',
      (path) => {
        copyFileSync(BUILTIN_MODEL.path, path);
        truncateSync(path, 20_000);
      },
      /ends after 20000 bytes, within its head: the file is truncated/,
    ],
    [
      'is cut within its tensors',
      (path) => {
        copyFileSync(BUILTIN_MODEL.path, path);
        truncateSync(path, 2_900_000);
      },
      /found 2900000 bytes; its head says \d+: the file is truncated/,
    ],
  ];
  it.each(broken)('ends with one readable line when the model file %s', async (name, make, says) => {
    const path = join(directory, `${name.replaceAll(' ', '-')}.gguf`);
    make(path);
    const engine = start(['--model', path]);
    expect(await engine.ended()).toBe(1);
    expect(engine.output.trim().split('\n')).toHaveLength(1);
    expect(engine.output).toMatch(says);
    expect(engine.output).toContain(path);
    expect(engine.output).toContain('model_file_invalid');
  });

  it('ends with one readable line for options that it does not know', async () => {
    const engine = start(['--sequences', 'many']);
    expect(await engine.ended()).toBe(1);
    expect(engine.output.trim()).toBe(
      'embedded engine: config_invalid: --sequences: found "many"; expected an integer from 1 to 256',
    );
  });

  it('serves any other GGUF file under the name it was told', async () => {
    const path = join(directory, 'random.gguf');
    const script = resolve(import.meta.dirname, '../../models/train/export.mjs');
    execFileSync(process.execPath, [script, '--random', path, 'Q8_0', '1', '64', '2']);
    const engine = await start([
      '--model',
      path,
      '--model-name',
      'random',
      '--sequences',
      '2',
      '--context',
      '256',
    ]).ready();
    const models = await (await fetch(`${engine.url}/v1/models`)).json();
    expect(models).toMatchObject({ data: [{ id: 'random', max_model_len: 256 }] });
    const answer = await engine.json('/v1/completions', { prompt: 'abc', max_tokens: 20, ignore_eos: true });
    expect(answer.usage.completion_tokens).toBe(20);
  });

  it('says in one line how to go on where node-llama-cpp is not installed', async () => {
    const hook = `import { registerHooks } from 'node:module';
      registerHooks({ resolve(specifier, context, next) {
        if (specifier === 'node-llama-cpp') throw new Error("Cannot find package 'node-llama-cpp'");
        return next(specifier, context);
      } });`;
    const engine = start([], { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}` });
    expect(await engine.ended()).toBe(1);
    expect(engine.output.trim().split('\n')).toHaveLength(1);
    expect(engine.output).toMatch(/engine_binary_missing: .*Cannot find package.*npm install.*urls:/);
  });

  it('gives up an address when nothing answers there', async () => {
    const address = 'http://127.0.0.1:9/model.gguf';
    await expect(
      resolveModelAddress(address, { directory, clock: systemClock, noProgressMs: 300 }),
    ).rejects.toMatchObject({
      code: 'model_file_invalid',
      message: expect.stringMatching(
        /^model http:\/\/127\.0\.0\.1:9\/model\.gguf: it is not in .* and can not be downloaded/,
      ),
    });
  });

  it('wants the key that the environment holds', async () => {
    const engine = await start(['--api-key-env', 'ENGINE_KEY'], { ENGINE_KEY: 'k1' }).ready();
    expect((await engine.post(CHAT, { messages, max_tokens: 1 })).status).toBe(401);
    const allowed = await fetch(engine.url + CHAT, {
      method: 'POST',
      headers: { authorization: 'Bearer k1' },
      body: JSON.stringify({ messages, max_tokens: 1 }),
    });
    expect(allowed.status).toBe(200);
  });

  it('finishes what runs after SIGTERM, refuses new work, and ends with 0', async () => {
    const engine = await start().ready();
    const running = engine.chunks(CHAT, { messages, max_tokens: 400, ignore_eos: true });
    await until(async () => (await engine.metric('vllm:num_requests_running')) === 1);
    engine.child.kill('SIGTERM');
    expect(textOf(await running).length).toBeGreaterThan(400);
    expect(await engine.ended()).toBe(0);
  });

  it('ends when the deadline for running requests has passed', async () => {
    const engine = await start(['--drain-ms', '100']).ready();
    const running = engine.events(CHAT, { messages, ignore_eos: true }).catch(() => []);
    await until(async () => (await engine.metric('vllm:num_requests_running')) === 1);
    engine.child.kill('SIGINT');
    expect(await engine.ended()).toBe(0);
    expect((await running).at(-1)?.data).not.toBe('[DONE]');
  });

  it('ends at once at the second signal', async () => {
    const engine = await start().ready();
    const running = engine.events(CHAT, { messages, ignore_eos: true }).catch(() => []);
    await until(async () => (await engine.metric('vllm:num_requests_running')) === 1);
    engine.child.kill('SIGTERM');
    await until(() => engine.output.includes('"draining"'));
    engine.child.kill('SIGTERM');
    expect(await engine.ended()).toBe(143);
    await running;
  });

  it('ignores a hang-up', async () => {
    const engine = await start().ready();
    engine.child.kill('SIGHUP');
    await engine.json(CHAT, { messages, max_tokens: 2 });
    expect(engine.alive).toBe(true);
  });

  it('lives on when its starter is killed and its output has no reader', async () => {
    const portFile = join(directory, 'orphan.port');
    const starter = spawn(
      process.execPath,
      [
        '-e',
        `const { spawn } = require('node:child_process');
         const child = spawn(process.execPath, ${JSON.stringify([entry, '--port-file', portFile])}, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
         console.log(child.pid);
         setInterval(() => {}, 1000);`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const pid = await new Promise<number>((done) =>
      starter.stdout.once('data', (data: Buffer) => done(Number(data))),
    );
    try {
      await until(() => {
        try {
          return Number(readFileSync(portFile, 'utf8')) > 0;
        } catch {
          return false;
        }
      });
      starter.kill('SIGKILL');
      await new Promise((done) => starter.once('close', done));
      const url = `http://127.0.0.1:${Number(readFileSync(portFile, 'utf8'))}`;
      // The line about readiness goes into a pipe that nobody reads any more.
      await until(async () => (await fetch(`${url}/health`)).status === 200);
      const answer = await fetch(url + CHAT, {
        method: 'POST',
        body: JSON.stringify({ messages, max_tokens: 2 }),
      });
      expect(answer.status).toBe(200);
    } finally {
      process.kill(pid, 'SIGKILL');
    }
  });
});
