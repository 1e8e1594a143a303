import { expect, it } from 'vitest';
import type { EngineProtocol } from '../../contract/fleet.ts';
import type { LaunchContext } from '../../contract/ports/engine-driver.ts';
import { createTritonDriver } from './triton.ts';
import { metricsUrlOf, tritonMetricsFrom } from './triton-metrics.ts';

const driver = createTritonDriver({
  openTransport: () => expect.unreachable(),
  askGrpc: () => expect.unreachable(),
});

const CONTEXT: LaunchContext = {
  replicaId: 'demo/0',
  host: '127.0.0.1',
  port: 40_123,
  portFile: '/nowhere',
  modelName: 'demo',
  model: '/models',
  maxBatchSize: 8,
  maxSeqLength: undefined,
  threads: undefined,
  command: undefined,
  env: {},
};

async function commandOver(protocol: EngineProtocol | undefined): Promise<string> {
  const more = protocol === undefined ? {} : { protocol };
  const plan = await driver.launch?.({ ...CONTEXT, ...more }, new AbortController().signal);
  return [plan?.command, ...(plan?.args ?? [])].join(' ');
}

it('is started with one door open, and metrics on the next port', async () => {
  expect(await commandOver('kserve-http')).toBe(
    'tritonserver --model-repository /models --model-control-mode explicit --load-model demo --http-address 127.0.0.1 --http-port 40123 --allow-grpc false --metrics-address 127.0.0.1 --metrics-port 40124',
  );
  expect(await commandOver('kserve-grpc')).toContain(
    '--grpc-address 127.0.0.1 --grpc-port 40123 --allow-http false --metrics-address 127.0.0.1 --metrics-port 40124',
  );
  const frontEnd =
    'python3 /opt/tritonserver/python/openai/openai_frontend/main.py --model-repository /models --host 127.0.0.1 --openai-port 40123';
  expect(await commandOver('openai')).toBe(frontEnd);
  expect(await commandOver(undefined)).toBe(frontEnd);
  const more = { ...CONTEXT, args: ['--log-verbose', '1'] };
  for (const protocol of ['openai', 'kserve-grpc'] as const) {
    const plan = await driver.launch?.({ ...more, protocol }, new AbortController().signal);
    expect(plan?.args.slice(-2)).toEqual(more.args);
  }
});

it('goes on with chats as text over KServe, and not over the front end, which always opens a new turn', () => {
  expect(driver.capabilitiesOver?.('openai')).toMatchObject({ chatContinuation: false, tokenReplay: false });
  for (const protocol of ['kserve-http', 'kserve-grpc'] as const)
    expect(driver.capabilitiesOver?.(protocol)).toMatchObject({
      chatContinuation: true,
      determinism: 'greedy',
    });
});

it('knows where metrics are', () => {
  const at = (url: string, protocol: EngineProtocol, metricsUrl?: string) =>
    metricsUrlOf({ url, servedModel: 'm', protocol, ...(metricsUrl !== undefined && { metricsUrl }) });
  expect(at('http://gpu-1:8000', 'kserve-http')).toBe('http://gpu-1:8002/metrics');
  expect(at('http://gpu-1:8001', 'kserve-grpc')).toBe('http://gpu-1:8002/metrics');
  expect(at('http://127.0.0.1:40123', 'kserve-grpc')).toBe('http://127.0.0.1:40124/metrics');
  expect(at('http://gpu-1:9000', 'openai')).toBe('http://gpu-1:9000/metrics');
  expect(at('http://gpu-1:9000', 'openai', 'http://{host}:1/m')).toBe('http://gpu-1:1/m');
});

it('reads the numbers of TensorRT-LLM, old and new, before those of Triton', () => {
  const both = `nv_inference_pending_request_count{model="a",version="1"} 9
nv_inference_exec_count{model="preprocessing",version="1"} 5
nv_inference_exec_count{model="tensorrt_llm",version="1"} 7
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="scheduled",version="1"} 3
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="waiting",version="1"} 2
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="used",model="tensorrt_llm",version="1"} 50
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="tensorrt_llm",version="1"} 200
`;
  expect(tritonMetricsFrom(both)).toEqual({
    running: 3,
    waiting: 2,
    kvCacheUsageRatio: 0.25,
    progressCount: 12,
  });
  const fraction = 'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction"} 0.5\n';
  expect(tritonMetricsFrom(both + fraction).kvCacheUsageRatio).toBe(0.5);
  expect(tritonMetricsFrom('nv_inference_pending_request_count{model="a"} 4\n')).toEqual({ waiting: 4 });
  expect(tritonMetricsFrom('')).toEqual({});
});
