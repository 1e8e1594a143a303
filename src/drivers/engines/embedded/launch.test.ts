import { describe, expect, it } from 'vitest';
import type { LaunchContext } from '../../../contract/ports/engine-driver.ts';
import { BUILTIN_MODEL } from './builtin-model.ts';
import { embeddedLaunch } from './launch.ts';
import { isModelAddress, modelDirectory } from './model-address.ts';
import { parseEmbeddedArgs } from './options.ts';

const context: LaunchContext = {
  replicaId: 'demo/0',
  host: '127.0.0.1',
  port: 1,
  portFile: '/tmp/port',
  modelName: 'demo',
  model: BUILTIN_MODEL.path,
  maxBatchSize: 4,
  maxSeqLength: 1024,
  threads: 2,
  command: undefined,
  env: { A: 'b' },
};

describe('embedded launch', () => {
  it('plans a process that understands its own options', async () => {
    const plan = await embeddedLaunch(context);
    expect(plan).toMatchObject({
      command: process.execPath,
      env: { A: 'b', UV_THREADPOOL_SIZE: '1' },
      portFrom: 'file',
    });
    const entry = plan.args.findIndex((arg) => /embedded-engine-process\.ts$/.test(arg));
    expect(plan.args.slice(0, entry)).toEqual(['--max-semi-space-size=4']);
    expect(parseEmbeddedArgs(plan.args.slice(entry + 1))).toMatchObject({
      model: BUILTIN_MODEL.path,
      modelName: 'demo',
      port: 0,
      portFile: '/tmp/port',
      sequences: 4,
      contextLength: 1024,
      threads: 2,
    });
  });

  it('refuses a model file that is not there, before a process is started', async () => {
    await expect(embeddedLaunch({ ...context, model: '/nowhere/a.gguf' })).rejects.toMatchObject({
      code: 'model_file_invalid',
      message: 'model file /nowhere/a.gguf: found no such file; expected a GGUF file',
    });
  });

  it('leaves addresses to the process, which has the network', async () => {
    expect((await embeddedLaunch({ ...context, model: 'hf:user/repo/file.gguf' })).args).toContain(
      'hf:user/repo/file.gguf',
    );
    expect(['hf:a/b', 'https://x/y.gguf', './a.gguf', '/hf:a'].map(isModelAddress)).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(modelDirectory({ XDG_CACHE_HOME: '/c' })).toBe('/c/autoglm/models');
  });

  it('defaults to the built-in model', () => {
    expect(parseEmbeddedArgs([])).toMatchObject({
      model: BUILTIN_MODEL.path,
      modelName: 'inference-ops-demo',
      host: '127.0.0.1',
      sequences: 16,
      threads: 1,
      queueMax: 64,
      drainMs: 30_000,
    });
  });

  it.each([
    [['--port', '70000'], '--port: found "70000"; expected an integer from 0 to 65535'],
    [['--exact', 'maybe'], '--exact: found "maybe"; expected auto, on or off'],
    [['--temperature', 'hot'], '--temperature: found "hot"; expected a number from 0 to 100'],
    [['--what'], /Unknown option '--what'.*known: --model/],
  ])('refuses %j', (args, says) => {
    expect(() => parseEmbeddedArgs(args)).toThrow(says);
  });
});
