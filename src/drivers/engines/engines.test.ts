import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { EngineDriver, LaunchContext } from '../../contract/ports/engine-driver.ts';
import { type MetricNames, metricsFrom } from './engine-metrics.ts';
import { llamaServer } from './llama-server.ts';
import { ollama } from './ollama.ts';
import { openai } from './openai.ts';
import { sglang } from './sglang.ts';
import { tgi } from './tgi.ts';
import { VLLM_METRIC_NAMES } from './vllm/metric-names.ts';
import { vllm } from './vllm.ts';

const CONTEXT: LaunchContext = {
  replicaId: 'demo/0',
  host: '127.0.0.1',
  port: 40_123,
  portFile: '/nowhere',
  modelName: 'demo',
  model: 'org/model',
  maxBatchSize: 8,
  maxSeqLength: 4096,
  threads: undefined,
  command: undefined,
  env: {},
};

const commandOf = async (driver: EngineDriver, more: Partial<LaunchContext> = {}) => {
  const plan = await driver.launch?.({ ...CONTEXT, ...more }, new AbortController().signal);
  return [plan?.command, ...(plan?.args ?? [])].join(' ');
};

it('starts each engine with its own names for our settings', async () => {
  expect(await commandOf(vllm)).toBe(
    'vllm serve org/model --host 127.0.0.1 --port 40123 --served-model-name demo --max-num-seqs 8 --max-model-len 4096',
  );
  expect(await commandOf(sglang)).toBe(
    'python3 -m sglang.launch_server --enable-metrics --model-path org/model --host 127.0.0.1 --port 40123 --served-model-name demo --max-running-requests 8 --context-length 4096',
  );
  expect(await commandOf(llamaServer, { model: 'hf:org/model:Q8_0' })).toBe(
    'llama-server --metrics -hf org/model:Q8_0 --host 127.0.0.1 --port 40123 --alias demo --parallel 8 --ctx-size 32768',
  );
});

it('tells text-generation-inference its limits, and keeps two launchers of one machine apart', async () => {
  const line = await commandOf(tgi, { tensorParallelSize: 2 });
  expect(line).toMatch(
    /^text-generation-launcher --model-id org\/model --hostname 127\.0\.0\.1 --port 40123 --max-concurrent-requests 8 --max-batch-size 8 --max-total-tokens 4096 --max-input-tokens 4095 --num-shard 2 --shard-uds-path \S+-40123 --master-port 30123$/,
  );
});

it('tells Ollama everything by its environment, where the user has the last word', async () => {
  const plan = await ollama.launch?.(
    { ...CONTEXT, env: { OLLAMA_KEEP_ALIVE: '5m' } },
    new AbortController().signal,
  );
  expect(plan).toEqual({
    command: 'ollama',
    args: ['serve'],
    env: {
      OLLAMA_HOST: '127.0.0.1:40123',
      OLLAMA_NUM_PARALLEL: '8',
      OLLAMA_CONTEXT_LENGTH: '4096',
      OLLAMA_KEEP_ALIVE: '5m',
    },
    portFrom: 'assigned',
  });
});

it('puts further arguments after its own, and fills in the placeholders of a command', async () => {
  expect(await commandOf(vllm, { args: ['--enforce-eager'] })).toMatch(
    / --max-model-len 4096 --enforce-eager$/,
  );
  const command = ['start', '{model_name}', '{max_batch_size}', '{quantize}', '{max_seq_length}'];
  expect(await commandOf(vllm, { command, quantize: 'INT8' })).toBe('start demo 8 INT8 4096');
  await expect(commandOf(vllm, { command })).rejects.toThrow(
    /found \{quantize\} in it, but `quantize` is not set/,
  );
});

it('starts engines with the adapters of their model', async () => {
  const adapters = [
    { name: 'sql', path: '/a/sql' },
    { name: 'odd=name', path: 'org/lora' },
  ];
  expect(await commandOf(vllm, { adapters })).toMatch(
    / --enable-lora --lora-modules {"name":"sql","path":"\/a\/sql"} {"name":"odd=name","path":"org\/lora"}$/,
  );
  const plan = await vllm.launch?.({ ...CONTEXT, adapters }, new AbortController().signal);
  expect(plan?.env).toEqual({ VLLM_ALLOW_RUNTIME_LORA_UPDATING: 'True' });
  expect(await commandOf(sglang, { adapters })).toMatch(
    / --enable-lora --lora-paths {"lora_name":"sql","lora_path":"\/a\/sql"} {"lora_name":"odd=name","lora_path":"org\/lora"}$/,
  );
  await expect(commandOf(llamaServer, { model: 'hf:a/b', adapters })).rejects.toThrow('/a/sql');
});

it('leaves to the engine what nobody set', async () => {
  expect(await commandOf(vllm, { maxSeqLength: undefined })).not.toContain('--max-model-len');
  expect(await commandOf(llamaServer, { model: 'hf:a/b', maxSeqLength: undefined })).not.toContain(
    '--ctx-size',
  );
});

it('refuses a model file that is none, and an engine without a command', async () => {
  await expect(commandOf(llamaServer, { model: '/nowhere/model.gguf' })).rejects.toMatchObject({
    code: 'model_file_invalid',
  });
  const directory = mkdtempSync(join(tmpdir(), 'autoglm-model-'));
  try {
    const model = join(directory, 'model.gguf');
    writeFileSync(model, 'not a model');
    await expect(commandOf(llamaServer, { model })).rejects.toMatchObject({ code: 'model_file_invalid' });
  } finally {
    rmSync(directory, { recursive: true });
  }
  await expect(commandOf(openai)).rejects.toMatchObject({ code: 'config_invalid' });
});

it('reads metrics by old and new names, adds up engine cores, and takes the fullest cache', () => {
  const text = (cache: string) => `vllm:num_requests_running{engine="0"} 2
vllm:num_requests_running{engine="1"} 3
${cache}{engine="0"} 0.5
${cache}{engine="1"} 0.75
vllm:generation_tokens_total 100
`;
  for (const cache of ['vllm:kv_cache_usage_perc', 'vllm:gpu_cache_usage_perc']) {
    expect(metricsFrom(text(cache), VLLM_METRIC_NAMES)).toEqual({
      running: 5,
      kvCacheUsageRatio: 0.75,
      progressCount: 100,
      generationTokensTotal: 100,
    });
  }
  const ratios: MetricNames = {
    kvCacheUsageRatio: [{ ratio: ['part', 'whole'] }],
    promptTokensTotal: [{ sum: ['a', 'missing'] }, { sum: ['a', 'part'] }],
  };
  expect(metricsFrom('part 3\nwhole 4\na 5\n', ratios)).toEqual({
    kvCacheUsageRatio: 0.75,
    promptTokensTotal: 8,
  });
  expect(metricsFrom('part 3\nwhole 0\n', ratios)).toEqual({});
  const names: MetricNames = { running: ['a'], waiting: ['b'] };
  expect(metricsFrom('a NaN\nb +Inf\n', names)).toEqual({});
});
