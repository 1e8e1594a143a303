/**
 * `InferenceEngine` as a Node program uses it: real processes, real deaths. Goal: an engine that dies costs a pause, and when the
 * program ends, in whatever way, nothing of it is left.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as library from '../../src/index.ts';
import { InferenceEngine, type PlatformError } from '../../src/index.ts';
import { listeningHosts, processesAt } from '../support/owned-processes.ts';
import { ROOT, until } from '../support/serve-harness.ts';
import { killQuietly } from '../support/system-under-test.ts';

const LONG = 'Write a long guide to operating an inference service.';

async function errorOf(work: Promise<unknown>): Promise<PlatformError> {
  try {
    await work;
  } catch (error) {
    return error as PlatformError;
  }
  throw new Error('nothing was thrown');
}

async function nothingLeft(directory: string): Promise<void> {
  await until(`nothing of ${directory} is left`, () => processesAt(directory).length === 0, 20_000);
}

describe('an engine', () => {
  let engine: InferenceEngine;
  let stateDir: string;

  beforeAll(async () => {
    engine = new InferenceEngine({ maxSeqLength: 2048, quantize: 'INT8' });
    await engine.ready;
    stateDir = (await engine.status()).node.stateDir;
  });

  afterAll(async () => {
    await engine.close();
    await nothingLeft(stateDir);
    expect(existsSync(stateDir)).toBe(false);
  });

  it('generates, with usage and the reason of the end', async () => {
    const answer = await engine.generate('What does HTTP 429 mean?', { maxTokens: 60 });
    expect(answer.text).toContain('rate limit');
    expect(answer).toMatchObject({ finishReason: 'stop', model: 'inference-ops-demo' });
    expect(answer.usage.totalTokens).toBe(answer.usage.promptTokens + answer.usage.completionTokens);
    const again = await engine.generate([{ role: 'user', content: 'What does HTTP 429 mean?' }], {
      maxTokens: 3,
    });
    expect(again).toMatchObject({ finishReason: 'length', usage: { completionTokens: 3 } });
  });

  it('streams the same text, once', async () => {
    const whole = await engine.generate('How does prefix caching work?');
    const stream = engine.stream('How does prefix caching work?');
    let text = '';
    for await (const part of stream) text += part;
    expect(text).toBe(whole.text);
    expect(await stream.result).toEqual({ ...(({ raw: _, ...rest }) => rest)(whole), continuations: 0 });
    const again = async () => {
      for await (const _ of stream) break;
    };
    expect((await errorOf(again())).code).toBe('conflict');
  });

  it('obeys a JSON schema', async () => {
    const schema = {
      type: 'object',
      properties: { ok: { type: 'boolean' } },
      required: ['ok'],
      additionalProperties: false,
    };
    const { text } = await engine.generate('Is it ready?', { jsonSchema: schema, maxTokens: 30 });
    expect(typeof (JSON.parse(text) as { ok: unknown }).ok).toBe('boolean');
  });

  it('embeds one text and many', async () => {
    const [a, b] = await engine.embed(['one', 'two']);
    expect(a).toHaveLength(b?.length ?? 0);
    expect(await engine.embed('one')).toEqual(a);
  });

  it('gives up a request when its signal fires, and the engine stops computing', async () => {
    const stop = new AbortController();
    const stream = engine.stream(LONG, { signal: stop.signal, maxTokens: 1000 });
    const error = await errorOf(
      (async () => {
        for await (const _ of stream) stop.abort(new Error('enough'));
      })(),
    );
    expect([error.code, (error.cause as Error).message]).toEqual(['client_closed', 'enough']);
    expect((await errorOf(stream.result)).code).toBe('client_closed');
    expect((await errorOf(engine.generate('x', { signal: AbortSignal.abort() }))).code).toBe('client_closed');
    for await (const _ of engine.stream(LONG, { maxTokens: 1000 })) break;
    await until('nothing is in flight', async () =>
      (await engine.status()).gateways.every(({ inFlight }) => inFlight === 0),
    );
  });

  it('passes refusals on as typed errors', async () => {
    expect(await errorOf(engine.generate('x', { model: 'nope' }))).toMatchObject({ code: 'model_not_found' });
    expect(await errorOf(engine.generate('x', { temperature: -1 }))).toMatchObject({
      code: 'invalid_request',
    });
  });

  it('listens on loopback only, and lets nobody in without its key', async () => {
    const { url, apiKey } = await engine.endpoint();
    const found = processesAt(stateDir);
    expect(found.length).toBeGreaterThanOrEqual(5);
    expect(new Set(found.flatMap(({ pid }) => listeningHosts(pid)))).toEqual(new Set(['0100007F']));
    expect((await fetch(`${url}/v1/models`)).status).toBe(401);
    expect((await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${apiKey}` } })).status).toBe(
      200,
    );
    const { adminAddress } = await engine.status();
    expect((await fetch(`${adminAddress}/api/v1/status`)).status).toBe(401);
    for (const { command } of found) expect(command).not.toContain(apiKey);
  });

  it('goes on with a stream whose engine is killed in the middle', async () => {
    const undisturbed = await engine.generate(LONG, { maxTokens: 1_500 });
    const stream = engine.stream(LONG, { maxTokens: 1_500 });
    let text = '';
    let parts = 0;
    for await (const part of stream) {
      text += part;
      if (++parts === 5) {
        const busy = await until('the replica that answers is known', async () =>
          (await engine.status()).pools[0]?.replicas.find(({ inFlight }) => inFlight > 0),
        );
        killQuietly(busy.pid ?? 0);
      }
    }
    expect(text).toBe(undisturbed.text);
    expect((await stream.result).continuations).toBe(1);
  });

  it.each([
    'owned-serve-process',
    'node-process',
    'gateway-process',
  ])('works on when its %s is killed', async (name) => {
    await until(
      'all are ready',
      async () => (await engine.status().catch(() => null))?.pools[0]?.ready === 2,
    );
    const victims = processesAt(stateDir).filter(({ command }) => command.includes(name));
    expect(victims).toHaveLength(1);
    killQuietly(victims[0]?.pid ?? 0);
    expect((await engine.generate('What does HTTP 429 mean?')).text).toContain('rate limit');
    await until(`a new ${name} runs`, () =>
      processesAt(stateDir).some(({ pid, command }) => command.includes(name) && pid !== victims[0]?.pid),
    );
    await until(
      'all are ready',
      async () => (await engine.status().catch(() => null))?.pools[0]?.ready === 2,
    );
    expect(processesAt(stateDir).filter(({ command }) => command.includes('embedded-engine'))).toHaveLength(
      2,
    );
  });
});

describe('options', () => {
  it.each([
    [{ modelNam: 'x' }, 'modelNam: this option is not known; did you mean modelName?'],
    [{ modelName: 'x' }, 'model: missing; "x" is not "inference-ops-demo", the model that is built in'],
    [{ maxSeqLength: 1 }, 'maxSeqLength: found 1; would be right: an integer from 64 to 10000000'],
    [{ replicas: 1.5 }, 'replicas: found 1.5; would be right: an integer from 1 to 64'],
    [{ quantize: 'INT4' }, '`quantize: INT4` wants Q4_K_M'],
    [{ modelName: 'x', model: './no.gguf' }, 'no.gguf: found no such file'],
    [{ engine: 'nope' }, 'engine: found "nope"; would be right: one of embedded'],
    [{ settings: { nope: 1 } }, 'nope: this key is not known'],
  ])('%j are refused before anything is started', (options, message) => {
    expect(() => new InferenceEngine(options as object)).toThrow(message);
  });

  it('that cannot work end with the reason, and leave nothing behind', async () => {
    const stateDir = mkdtempSync(join(tmpdir(), 'autoglm-refused-'));
    const engine = new InferenceEngine({
      modelName: 'x',
      engine: 'openai',
      command: ['/no/such/program', '--port', '{port}'],
      stateDir,
    });
    expect(await errorOf(engine.ready)).toMatchObject({
      code: 'no_replica',
      message: expect.stringContaining('/no/such/program'),
    });
    expect((await errorOf(engine.generate('x'))).message).toContain('/no/such/program');
    await engine.close();
    await nothingLeft(stateDir);
    rmSync(stateDir, { recursive: true, force: true });
  });

  it('take a signal that closes the engine at its start', async () => {
    const stop = new AbortController();
    const engine = new InferenceEngine({ signal: stop.signal });
    stop.abort();
    expect((await errorOf(engine.ready)).code).toBe('client_closed');
    await engine.close();
    expect((await errorOf(engine.generate('x'))).code).toBe('client_closed');
  });
});

describe('when the program ends', () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'autoglm-owner-'));
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  /** A program that has an engine with a long stream; resolves with where it lives, once text has come. */
  async function startProgram(rest: string): Promise<{ child: ChildProcess; stateDir: string }> {
    const file = join(dir, 'program.mjs');
    writeFileSync(
      file,
      `import { InferenceEngine } from ${JSON.stringify(join(ROOT, 'src/index.ts'))};
       const engine = new InferenceEngine({ replicas: 1 });
       const { node } = await engine.status();
       console.log(node.stateDir);
       ${rest}`,
    );
    // A program's own PORT is no business of the engine's gateway.
    const child = spawn(process.execPath, [file], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, PORT: '1' },
    });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += String(chunk);
    });
    const stateDir = await until('the program has its engine', () => /^\/.*$/m.exec(output)?.[0], 60_000);
    return { child, stateDir };
  }

  const FOREVER = 'setInterval(() => {}, 1000);';

  it.each([
    ['SIGKILL', [], FOREVER],
    ['SIGKILL, together with the launcher', ['owned-serve-process'], FOREVER],
    ['SIGKILL, together with the node process', ['node-process'], FOREVER],
  ])('by %s, nothing is left', async (_how, also, rest) => {
    const { child, stateDir } = await startProgram(rest);
    const others = processesAt(stateDir).filter(({ command }) => also.some((name) => command.includes(name)));
    expect(others).toHaveLength(also.length);
    for (const pid of [child.pid ?? 0, ...others.map(({ pid: other }) => other)]) killQuietly(pid);
    await nothingLeft(stateDir);
    await until('the state directory is removed', () => !existsSync(stateDir));
  });

  it.each([
    ['process.exit', 'process.exit(3);', 3],
    ['an exception', "setTimeout(() => { throw new Error('a bug of the program'); }, 10);", 1],
    ['having nothing left to do', '', 0],
    ['close()', 'await engine.close();', 0],
    [
      'an await using block',
      '{ await using other = engine; await other.generate("hi", { maxTokens: 2 }); }',
      0,
    ],
  ])('by %s, nothing is left', async (_how, rest, code) => {
    const { child, stateDir } = await startProgram(rest);
    const ended = child.exitCode ?? (await new Promise((done) => child.once('exit', done)));
    expect(ended).toBe(code);
    await nothingLeft(stateDir);
    await until('the state directory is removed', () => !existsSync(stateDir));
  });
});

describe('the package', () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'autoglm-package-'));
    const npm = (args: string[]) => {
      const { status, stderr } = spawnSync('npm', args, { cwd: ROOT, encoding: 'utf8' });
      if (status !== 0) throw new Error(`npm ${args.join(' ')}: ${stderr}`);
    };
    // `prepack` builds it.
    npm(['pack', '--pack-destination', dir, '--silent']);
    const home = join(dir, 'node_modules', 'open-autoglm');
    mkdirSync(home, { recursive: true });
    const tarball = readdirSync(dir).find((name) => name.endsWith('.tgz')) ?? '';
    spawnSync('tar', ['-xzf', join(dir, tarball), '-C', home, '--strip-components=1']);
    // What npm would install beside it is what this repository has.
    symlinkSync(join(ROOT, 'node_modules'), join(home, 'node_modules'));
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it('runs the example of its documentation', () => {
    const page = readFileSync(join(ROOT, 'docs', 'inference-engine.md'), 'utf8');
    const example = /```js\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
    expect(example).toContain("from 'open-autoglm'");
    writeFileSync(join(dir, 'example.mjs'), example);
    const { status, stdout, stderr } = spawnSync(process.execPath, ['example.mjs'], {
      cwd: dir,
      encoding: 'utf8',
    });
    expect(status, stderr).toBe(0);
    expect(stdout).toContain('rate limit');
  });

  it('is there for a project that has installed the checkout, by import and by require', () => {
    const project = mkdtempSync(join(tmpdir(), 'autoglm-project-'));
    mkdirSync(join(project, 'node_modules'));
    // What `npm install DIRECTORY` does.
    symlinkSync(ROOT, join(project, 'node_modules', 'open-autoglm'));
    for (const [file, load] of [
      ['a.mjs', "import * as all from 'open-autoglm'; const names = Object.keys(all);"],
      ['a.cjs', "const names = Object.keys(require('open-autoglm'));"],
    ] as const) {
      writeFileSync(join(project, file), `${load} console.log(names.sort().join());`);
      const { stdout, stderr } = spawnSync(process.execPath, [file], { cwd: project, encoding: 'utf8' });
      expect([stdout.trim(), stderr]).toEqual([Object.keys(library).sort().join(), '']);
    }
    rmSync(project, { recursive: true, force: true });
  });

  it('tells an old Node what it needs', () => {
    // The version is all that is changed.
    writeFileSync(
      join(dir, 'old.mjs'),
      readFileSync(join(ROOT, 'index.js'), 'utf8').replace('= 24;', '= 99;'),
    );
    const { stderr } = spawnSync(process.execPath, [join(dir, 'old.mjs')], { encoding: 'utf8' });
    expect(stderr).toContain('open-autoglm needs Node 99 or later; this is Node 24.');
  });

  it('has types that a strict program compiles with', () => {
    writeFileSync(
      join(dir, 'typed.ts'),
      `import { type Generation, InferenceEngine, PlatformError } from 'open-autoglm';
       export async function ask(text: string): Promise<Generation> {
         await using engine = new InferenceEngine({ modelName: 'm', model: './m.gguf', maxSeqLength: 4096, quantize: 'INT8' });
         const [vector]: (number[] | undefined)[] = await engine.embed([text]);
         const one: number[] = await engine.embed(text, { signal: AbortSignal.timeout(1) });
         const stream = engine.stream([{ role: 'user', content: text }], { maxTokens: vector?.length ?? one.length });
         for await (const part of stream) part.toUpperCase();
         try { return await stream.result; } catch (error) {
           if (error instanceof PlatformError && error.code === 'client_closed') return engine.generate(text);
           throw error;
         }
       }
       // @ts-expect-error: this option does not exist
       new InferenceEngine({ modelNam: 'x' });
      `,
    );
    const options = [
      '--noEmit',
      '--strict',
      '--target',
      'es2024',
      '--lib',
      'es2024,esnext.disposable',
      '--module',
      'nodenext',
    ];
    const types = ['--types', 'node', '--typeRoots', join(ROOT, 'node_modules/@types')];
    const tsc = join(ROOT, 'node_modules', '.bin', 'tsc');
    const { status, stdout } = spawnSync(tsc, [...options, ...types, 'typed.ts'], {
      cwd: dir,
      encoding: 'utf8',
    });
    expect(stdout).toBe('');
    expect(status).toBe(0);
  });
});
