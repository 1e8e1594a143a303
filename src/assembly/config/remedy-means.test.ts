import { describe, expect, it } from 'vitest';
import { saferLaunch } from '../../contract/safer-launch.ts';
import { parseConfig } from './load-config.ts';
import { resolveConfig } from './resolve-config.ts';

const environment = { variables: {}, homeDir: '/home/x', workDir: '/' };

function model(text: string) {
  const config = parseConfig('a.yaml', `models:\n  - { model_name: a, ${text} }`, environment);
  const [resolved] = resolveConfig({ file: null, config, environment, notHonoured: [] }).models;
  if (resolved === undefined) throw new Error('no model');
  return resolved;
}

function complaint(text: string): string {
  try {
    model(text);
  } catch (error) {
    return (error as Error).message;
  }
  return '';
}

describe('standby replicas and spare devices', () => {
  it('are none unless asked for', () => {
    expect(model('engine: vllm, model: m')).toMatchObject({ replicas: 1, standby: 0, spareDevices: [] });
  });

  it('come beside the replicas', () => {
    const text = 'engine: vllm, model: m, replicas: 2, standby: 1, spare_devices: ["4", "GPU-5d2c"]';
    expect(model(text)).toMatchObject({ replicas: 2, standby: 1, spareDevices: ['4', 'GPU-5d2c'] });
  });

  it.each([
    ['standby: 1', /models\[0\]\.standby: found together with `urls`; engines that run already are watched/],
    ['spare_devices: ["1"]', /models\[0\]\.spare_devices: found together with `urls`/],
    ['safer_steps: [{ max_batch_size: 1 }]', /models\[0\]\.safer_steps: found together with `urls`/],
  ])('are refused for engines that run already: %s', (text, message) => {
    expect(complaint(`engine: vllm, urls: ["http://127.0.0.1:1"], ${text}`)).toMatch(message);
  });

  it.each([
    [
      'tensor_parallel_size: 2, spare_devices: ["1"]',
      'found "1", one device; would be right: 2, the value of `tensor_parallel_size`, with commas between them',
    ],
    [
      'spare_devices: ["1", "1"]',
      'spare_devices[1]: found device "1" in spare_devices[0], too; each device can be a spare one of one replica only',
    ],
    ['spare_devices: ["1,1"]', 'spare_devices[0]: found device "1" twice'],
    [
      'env: { CUDA_VISIBLE_DEVICES: "0,1" }, spare_devices: ["1"]',
      'found device "1", which `env` gives to the engine already; name one that nobody uses',
    ],
    ['spare_devices: ["1, 2"]', 'spare_devices[0]: found "1, 2"; would be right: a text'],
    ['standby: -1', 'standby: found -1; would be right: an integer from 0 to 64'],
  ])('must fit the model: %s', (text, message) => {
    expect(complaint(`engine: vllm, model: m, ${text}`)).toContain(message);
  });

  it('count as replicas where there is a limit', () => {
    const models = Array.from(
      { length: 5 },
      (_, index) => `{ model_name: m${index}, engine: vllm, model: m, replicas: 64, standby: 64 }`,
    );
    expect(() => parseConfig('a.yaml', `models: [${models.join(', ')}]`, environment)).toThrow(
      'found 640 replicas in all (`replicas`, `standby` and `urls` of all models together); would be right: at most 512',
    );
  });
});

describe('safer steps', () => {
  const stepsOf = (text: string) => model(text).saferSteps;

  it.each([
    ['vllm', ['--gpu-memory-utilization', '0.8']],
    ['sglang', ['--mem-fraction-static', '0.75']],
    ['tgi', ['--cuda-memory-fraction', '0.9']],
  ])('of %s are fewer requests, less memory, a smaller context', (engine, args) => {
    expect(stepsOf(`engine: ${engine}, model: m, max_seq_length: 8192`)).toEqual([
      { batchShare: 0.5 },
      { args },
      { maxSeqLength: 4096 },
    ]);
  });

  it('begin at the memory that the engine is told to take', () => {
    const steps = stepsOf('engine: vllm, model: m, args: ["--gpu-memory-utilization=0.6"]');
    expect(steps).toEqual([{ batchShare: 0.5 }, { args: ['--gpu-memory-utilization', '0.5'] }]);
    const launch = saferLaunch(
      { maxBatchSize: 256, maxSeqLength: undefined, args: ['--gpu-memory-utilization=0.6'], env: {} },
      steps,
      2,
    );
    expect(launch).toMatchObject({ maxBatchSize: 128, args: ['--gpu-memory-utilization', '0.5'] });
  });

  it('leave out what can not be made less', () => {
    expect(
      stepsOf('engine: vllm, model: m, max_batch_size: 1, args: ["--gpu-memory-utilization", "0.3"]'),
    ).toEqual([]);
    expect(stepsOf('engine: llama-server, model: m.gguf, max_seq_length: 1000')).toEqual([
      { batchShare: 0.5 },
    ]);
  });

  it('of a command are those that it is told', () => {
    const command = (words: string) => `engine: vllm, max_seq_length: 4096, command: [x, "{port}"${words}]`;
    expect(stepsOf(command(''))).toEqual([{ batchShare: 0.5 }]);
    expect(stepsOf(command(', "{max_seq_length}"'))).toEqual([{ batchShare: 0.5 }, { maxSeqLength: 2048 }]);
  });

  it('are those of the file where it has some, and none of an engine that runs already', () => {
    const text =
      'safer_steps: [{ max_batch_size: 8 }, { max_seq_length: 2048, args: ["--x"], env: { A: "1" } }]';
    expect(stepsOf(`engine: vllm, model: m, ${text}`)).toEqual([
      { maxBatchSize: 8 },
      { maxSeqLength: 2048, args: ['--x'], env: { A: '1' } },
    ]);
    expect(stepsOf('engine: vllm, model: m, safer_steps: []')).toEqual([]);
    expect(stepsOf('engine: vllm, urls: ["http://127.0.0.1:1"]')).toEqual([]);
  });

  it.each([
    [
      'safer_steps: [{}]',
      'safer_steps[0]: found nothing in it; would be right: one or more of max_batch_size, max_seq_length, args, env',
    ],
    [
      'max_batch_size: 8, safer_steps: [{ max_batch_size: 8 }]',
      'safer_steps[0].max_batch_size: found 8, which is not safer than the 8 before it; would be right: a smaller number',
    ],
    [
      'safer_steps: [{ max_seq_length: 1024 }, { max_seq_length: 2048 }]',
      'safer_steps[1].max_seq_length: found 2048, which is not safer than the 1024 before it',
    ],
    [
      'safer_steps: [{ max_batch_sise: 8 }]',
      'safer_steps[0].max_batch_sise: this key is not known; did you mean "max_batch_size"?',
    ],
  ])('must be safer: %s', (text, message) => {
    expect(complaint(`engine: vllm, model: m, ${text}`)).toContain(message);
  });
});
