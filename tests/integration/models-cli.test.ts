/** `autoglm models ...` as a person types it, against a running system. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Installation } from '../support/serve-harness.ts';

const CONFIG = `gateway: { port: 0 }
admin: { port: 0, keys: [{ name: me, key: sk-admin-key }] }
models:
  - { model_name: base, engine: simulator, aliases: [b] }
`;

describe('autoglm models', () => {
  let installation: Installation;
  const models = (...args: string[]) => installation.cli(['models', ...args]);

  beforeAll(async () => {
    installation = new Installation(CONFIG);
    await installation.serve().waitFor(/^ready: 1 replica/m);
  });
  afterAll(() => installation[Symbol.asyncDispose]());

  it('loads a model and says what happens until it is ready', async () => {
    const { code, stdout, stderr } = await models(
      'load',
      'second',
      '--engine',
      'simulator',
      '--replicas',
      '2',
      '--alias',
      's',
    );
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ok: model "second" is loaded: its replicas start\n/);
    expect(stdout).toMatch(/replica second\/1 ready: all probes passed/);
    expect(stdout).toMatch(/ok: model "second" is ready: 2 of 2 replicas after \d+\.\d s\n$/);
    const list = await models();
    expect(list.stdout).toMatch(/^base +configuration +simulator +1\/1 +b /m);
    expect(list.stdout).toMatch(/^second +run time +simulator +2\/2 +s \(run time\) /m);
    expect((await models('list', '--json')).stdout).toContain('"source": "runtime"');
    expect((await installation.cli(['status'])).stdout).toMatch(
      /second \(also s\) +loaded at run time +2\/2 ready/,
    );
    expect((await installation.cli(['validate'])).stdout).toMatch(
      /^model +second, s: starts 2 x simulator with second \(loaded at run time\)$/m,
    );
  });

  it('says why a model does not become ready, with code 1', async () => {
    const command = '["/no/such/program", "{port}"]';
    const { code, stdout, stderr } = await models(
      'load',
      'broken',
      '--engine',
      'vllm',
      '--model',
      'x',
      '--set',
      `command=${command}`,
    );
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(
        /^failed: model "broken": 0 of 1 replicas are ready; broken\/0: .*\/no\/such\/program/,
      ),
    ]);
    expect(stderr).toContain('It stays loaded. With the cause mended: `autoglm restart broken`.');
    expect(stderr).not.toMatch(/after \d/);
    expect(stdout).toContain('replica broken/0 quarantined');
    const adapter = await models('adapter', 'broken', 'a', '--path', '/no/such');
    expect([adapter.code, adapter.stderr]).toEqual([1, expect.stringContaining('broken/0 is quarantined')]);
    expect((await models('unload', 'broken')).code).toBe(0);
  });

  it('changes replicas, aliases and adapters', async () => {
    expect((await models('scale', 'base', '2')).stdout).toMatch(/ok: model "base" is ready: 2 of 2 replicas/);
    expect((await models()).stdout).toContain('2/2 (configuration: 1)');
    expect((await models('alias', 'base', 's')).stderr).toContain('add --move to take it over');
    expect((await models('alias', 'base', 's', '--move')).stdout).toBe(
      'ok: "s" leads to model "base" instead of "second"\n',
    );
    expect((await models('alias', 'base', 's', '--remove')).code).toBe(0);
    const path = join(installation.dir, 'adapter');
    mkdirSync(path);
    // A path is where the person is, not where the system was started.
    const loaded = await models('adapter', 'second', 'sql', '--path', './adapter');
    expect([loaded.stderr, loaded.stdout]).toEqual([
      '',
      expect.stringMatching(/\nok: adapter "sql" is loaded by 2 of 2 replicas of model "second"\n$/),
    ]);
    // The simulator takes adapters at its start, so the replicas are restarted first.
    expect(loaded.stdout).toMatch(/^ {2}replica second\/0 draining: rolling restart/);
    const missing = await models('adapter', 'second', 'none', '--path', '/no/such');
    expect([missing.code, missing.stderr]).toEqual([
      1,
      expect.stringContaining('No adapter found for /no/such'),
    ]);
    expect((await models('list')).stdout).toContain(
      'adapter none of second: HTTP 404 No adapter found for /no/such',
    );
    expect((await models('adapter', 'second', 'none', '--remove')).code).toBe(0);
  });

  it.each([
    [['nope'], 2, "unknown command 'models nope'; known: list, load, unload, scale, alias, adapter"],
    [['laod', 'x'], 2, "unknown command 'models laod'; did you mean load?"],
    [['load'], 2, "missing required argument 'name'"],
    [['load', 'x', '--nope'], 2, "unknown option '--nope'"],
    [['load', 'x', '--set', 'a'], 2, '--set: found "a"; would be right: KEY=VALUE'],
    [['load', 'x', '--replicas', 'two'], 4, 'replicas: found "two"; would be right: an integer from 1 to 64'],
    [['load', 'inference-ops-dem'], 4, 'model: missing; "inference-ops-dem" is not "inference-ops-demo"'],
    [['load', 'base'], 1, 'model "base" is served already'],
    [['unload', 'nope'], 1, 'unknown model "nope"; known: base, second'],
    [['scale', 'b', '2'], 1, '"b" is an alias of model "base"; scale the model itself: "base"'],
    [['alias', 'base', 'x', '--move', '--remove'], 2, 'found --move and --remove'],
    [['adapter', 'base', 'x'], 2, 'would be right: one of --path PATH'],
  ])('%j ends with code %i and says why', async (args, code, message) => {
    const result = await models(...args);
    expect(result.stderr).toContain(message);
    expect(result.code).toBe(code);
  });

  it('unloads a model and waits until its engines have ended, or not', async () => {
    const { stdout, code } = await models('unload', 'second');
    expect(stdout).toMatch(/ok: model "second" is unloaded after \d/);
    expect(code).toBe(0);
    const json = await models('unload', 'base', '--no-wait', '--json');
    expect(JSON.parse(json.stdout)).toEqual({
      ok: true,
      message: expect.stringContaining('`autoglm models load base` brings it back'),
    });
    expect((await models('load', 'base', '--json')).code).toBe(0);
  });
});
