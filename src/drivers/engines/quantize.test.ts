/** `quantize:` and `tensor_parallel_size:`: what becomes of them, engine by engine, and what an engine says that it cannot do. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EngineDriver, LaunchContext } from '../../contract/ports/engine-driver.ts';
import { BUILTIN_MODEL } from './embedded/builtin-model.ts';
import { embedded } from './embedded.ts';
import { ggufTypeOf } from './gguf-quantize.ts';
import { llamaServer } from './llama-server.ts';
import { ollama } from './ollama.ts';
import { openai } from './openai.ts';
import { optionFault } from './option-faults.ts';
import { sglang } from './sglang.ts';
import { tgi } from './tgi.ts';
import { vllm } from './vllm.ts';

const CONTEXT: LaunchContext = {
  replicaId: 'demo/0',
  host: '127.0.0.1',
  port: 40_123,
  portFile: join('/nowhere', 'port'),
  modelName: 'demo',
  model: 'org/model',
  maxBatchSize: 8,
  maxSeqLength: undefined,
  threads: undefined,
  command: undefined,
  env: {},
};

async function optionAfter(driver: EngineDriver, flag: string, more: Partial<LaunchContext>) {
  const { args = [] } = (await driver.launch?.({ ...CONTEXT, ...more }, new AbortController().signal)) ?? {};
  const at = args.indexOf(flag);
  return at < 0 ? undefined : args[at + 1];
}

const fault = (driver: EngineDriver, quantize: string, model = 'org/model') =>
  optionFault(driver.kind, { model, quantize, tensorParallelSize: undefined })?.message;

describe('quantize', () => {
  it.each([
    [vllm, '--quantization', 'INT8', 'int8_per_channel_weight_only'],
    [vllm, '--quantization', 'fp8', 'fp8'],
    [vllm, '--quantization', 'AWQ', 'awq'],
    [sglang, '--quantization', 'int8', 'w8a8_int8'],
    [sglang, '--quantization', 'FP8', 'fp8'],
    [sglang, '--quantization', 'auto_round', 'auto-round'],
    [tgi, '--quantize', 'Int8', 'eetq'],
    [tgi, '--quantize', 'INT4', 'bitsandbytes-nf4'],
    [tgi, '--quantize', 'gptq', 'gptq'],
  ] as const)('%o: %s of %s is %s', async (driver, flag, quantize, expected) => {
    expect(fault(driver, quantize)).toBeUndefined();
    expect(await optionAfter(driver, flag, { quantize })).toBe(expected);
    expect(await optionAfter(driver, flag, {})).toBeUndefined();
  });

  it.each([
    [vllm, /INT8 \(--quantization int8_per_channel_weight_only\), FP8/],
    [sglang, /INT8 \(--quantization w8a8_int8\)/],
    [tgi, /INT8 \(--quantize eetq\)/],
    [openai, /leave it out/],
    [embedded, /INT8 \(Q8_0\)/],
    [llamaServer, /INT8 \(Q8_0\)/],
    [ollama, /names no q8_0/],
  ] as const)('%o says what it can do instead of INT3', (driver, expected) => {
    expect(fault(driver, 'INT3')).toMatch(/^found "INT3"/);
    expect(fault(driver, 'INT3')).toMatch(expected);
  });

  it('chooses the GGUF file where the model is an address, and contradicts none that names its own', async () => {
    const chosen = (model: string, quantize?: string) => optionAfter(llamaServer, '-hf', { model, quantize });
    expect(await chosen('hf:org/model', 'INT8')).toBe('org/model:Q8_0');
    expect(await chosen('hf:org/model:Q8_0', 'INT8')).toBe('org/model:Q8_0');
    expect(await chosen('hf:org/model')).toBe('org/model');
    expect(fault(llamaServer, 'INT8', 'hf:org/model:Q4_K_M')).toMatch(
      /which is Q8_0, but the address names Q4_K_M/,
    );
    expect(fault(embedded, 'INT8', 'hf:org/model/file.Q4_K_M.gguf')).toMatch(/names Q4_K_M/);
    expect(fault(embedded, 'q4_k_m', 'hf:org/model/file.Q4_K_M.gguf')).toBeUndefined();
  });

  it('wants a file of that type where the model is a path', async () => {
    const start = (driver: EngineDriver, quantize: string) =>
      driver.launch?.({ ...CONTEXT, model: BUILTIN_MODEL.path, quantize }, new AbortController().signal);
    for (const driver of [embedded, llamaServer]) {
      await expect(start(driver, 'INT8')).resolves.toMatchObject({});
      await expect(start(driver, 'INT4')).rejects.toMatchObject({
        code: 'model_file_invalid',
        message: expect.stringMatching(/found Q8_0; `quantize: INT4` wants Q4_K_M.*llama-quantize/),
      });
    }
  });

  it('leaves the choice of an Ollama model to its tag', () => {
    expect(fault(ollama, 'INT8', 'qwen3:8b-q8_0')).toBeUndefined();
    expect(fault(ollama, 'INT8', 'qwen3:8b')).toMatch(/ollama create NAME -f Modelfile --quantize q8_0/);
  });

  it('knows the types of llama.cpp', () => {
    expect(['int8', 'q8_0', 'Q5_K_M', 'iq4_xs', 'bf16', 'MXFP4'].map(ggufTypeOf)).toEqual([
      'Q8_0',
      'Q8_0',
      'Q5_K_M',
      'IQ4_XS',
      'BF16',
      'MXFP4',
    ]);
    expect(['INT3', 'awq', '', 'Q9_K'].map(ggufTypeOf)).toEqual([undefined, undefined, undefined, undefined]);
  });
});

describe('tensor_parallel_size', () => {
  it.each([
    [vllm, '--tensor-parallel-size'],
    [sglang, '--tp-size'],
    [tgi, '--num-shard'],
  ] as const)('%o takes it as %s', async (driver, flag) => {
    expect(await optionAfter(driver, flag, { tensorParallelSize: 2 })).toBe('2');
    expect(
      optionFault(driver.kind, { model: 'm', quantize: undefined, tensorParallelSize: 2 }),
    ).toBeUndefined();
  });

  it.each([[embedded], [llamaServer], [ollama], [openai]])('%o has none, and says what it does', (driver) => {
    const options = { model: 'hf:a/b', quantize: undefined };
    expect(optionFault(driver.kind, { ...options, tensorParallelSize: 1 })).toBeUndefined();
    expect(optionFault(driver.kind, { ...options, tensorParallelSize: 2 })).toMatchObject({
      option: 'tensor_parallel_size',
      message: expect.stringMatching(/^found 2; engine "[a-z-]+" has no such option: /),
    });
  });
});
