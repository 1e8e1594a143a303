/**
 * What the `EngineDriver` port promises, asked of every driver against a server that answers as engines do, well and badly:
 * each call ends by its signal, none throws for an engine that is down, and each result says what was found.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EngineDriver, EngineTarget, ReadinessRung } from '../../src/contract/ports/engine-driver.ts';
import { READINESS_RUNGS } from '../../src/contract/ports/engine-driver.ts';
import { embedded } from '../../src/drivers/engines/embedded.ts';
import { llamaServer } from '../../src/drivers/engines/llama-server.ts';
import { ollama } from '../../src/drivers/engines/ollama.ts';
import { openai } from '../../src/drivers/engines/openai.ts';
import { sglang } from '../../src/drivers/engines/sglang.ts';
import { createSimulatorDriver } from '../../src/drivers/engines/simulator.ts';
import { tgi } from '../../src/drivers/engines/tgi.ts';
import { createTritonDriver } from '../../src/drivers/engines/triton.ts';
import { vllm } from '../../src/drivers/engines/vllm.ts';
import {
  SIMULATOR_DEFAULT_WINDOW,
  simulatorCapabilities,
  simulatorLaunch,
} from '../../src/simulator/launch.ts';

const simulator = createSimulatorDriver({
  capabilities: simulatorCapabilities,
  defaultWindow: SIMULATOR_DEFAULT_WINDOW,
  launch: simulatorLaunch,
});
/** Over its OpenAI front end; triton-driver.test.ts asks it over KServe. */
const triton = createTritonDriver({
  openTransport: () => expect.unreachable('the OpenAI front end is asked by HTTP'),
  askGrpc: () => expect.unreachable('the OpenAI front end is asked by HTTP'),
});
const DRIVERS: EngineDriver[] = [embedded, vllm, sglang, tgi, llamaServer, ollama, triton, openai, simulator];

/** Each driver asks one of them. */
const HEALTH_PATHS = ['/health', '/health/ready', '/api/version'];

type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

let server: Server;
let target: EngineTarget;
let answers: Record<string, Answer>;
let asked: { path: string; body: string; authorization: string | undefined }[];

const json =
  (status: number, value: unknown): Answer =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(typeof value === 'string' ? value : JSON.stringify(value));
  };

const never: Answer = () => {};

beforeEach(async () => {
  asked = [];
  answers = {
    '/health': json(200, ''),
    '/api/version': json(200, { version: '0.14.0' }),
    '/health/ready': json(200, ''),
    '/v1/models': json(200, { object: 'list', data: [{ id: 'other' }, { id: 'demo' }] }),
    '/v1/completions': json(200, { choices: [{ text: '.' }] }),
  };
  server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const path = request.url ?? '';
    asked.push({ path, body, authorization: request.headers.authorization });
    (answers[path] ?? json(404, { detail: 'Not Found' }))(request, response, body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  target = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, servedModel: 'demo' };
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const probe = (driver: EngineDriver, rung: ReadinessRung, ms = 2_000) =>
  driver.probe(target, rung, AbortSignal.timeout(ms));

describe.each(DRIVERS.map((driver) => [driver.kind, driver] as const))('%s', (kind, driver) => {
  it('climbs the whole ladder of an engine that is well, and leaves no connection behind', async () => {
    for (const rung of READINESS_RUNGS) expect(await probe(driver, rung), rung).toMatchObject({ ok: true });
    const connections = await new Promise((resolve) =>
      server.getConnections((_error, count) => resolve(count)),
    );
    expect(connections).toBe(0);
  });

  it('says so when nobody listens', async () => {
    await new Promise((resolve) => server.close(resolve));
    for (const rung of READINESS_RUNGS)
      expect(await probe(driver, rung), rung).toEqual({ ok: false, detail: 'connection refused' });
    expect(await driver.readMetrics(target, AbortSignal.timeout(1_000))).toBeUndefined();
  });

  it('ends by its signal when the engine does not answer', async () => {
    for (const path of [...HEALTH_PATHS, '/v1/models', '/v1/completions', '/metrics']) answers[path] = never;
    const startMs = performance.now();
    for (const rung of ['health', 'model', 'generation'] as const)
      expect(await probe(driver, rung, 50), rung).toEqual({ ok: false, detail: 'no answer in time' });
    expect(await driver.readMetrics(target, AbortSignal.timeout(50))).toBeUndefined();
    expect(performance.now() - startMs).toBeLessThan(1_500);
  });

  it('says what an engine says that is not well', async () => {
    const busy = json(503, { error: { message: 'Loading model', type: 'unavailable_error', code: 503 } });
    answers = { '/v1/models': busy, '/v1/completions': busy };
    for (const path of HEALTH_PATHS) answers[path] = busy;
    for (const rung of ['health', 'model', 'generation'] as const)
      expect(await probe(driver, rung), rung).toEqual({ ok: false, detail: 'HTTP 503 Loading model' });
  });

  it('names the models that are there instead of the expected one', async () => {
    answers['/v1/models'] = json(200, { data: [{ id: 'a' }, { id: 'b' }] });
    expect(await probe(driver, 'model')).toMatchObject({
      ok: false,
      detail: expect.stringMatching(/^model 'demo' not listed; found: a, b(; run `ollama pull demo`)?$/),
    });
    for (const body of ['', '[]', '{"data":{}}', 'null', '{"data":[null]}']) {
      answers['/v1/models'] = json(200, body);
      expect(await probe(driver, 'model'), body).toMatchObject({ ok: false });
    }
  });

  it('asks for one token, by the end point that the model has', async () => {
    answers = { '/v1/chat/completions': json(200, { choices: [{ message: { content: '.' } }] }) };
    expect(await probe(driver, 'generation')).toMatchObject({ ok: true });
    expect(JSON.parse(asked.at(-1)!.body)).toMatchObject({ model: 'demo', max_tokens: 1 });
    answers = { '/v1/embeddings': json(200, { data: [{ embedding: [0.1] }] }) };
    expect(await probe(driver, 'generation')).toMatchObject({ ok: true });
    answers = { '/v1/completions': json(200, { choices: [] }) };
    expect(await probe(driver, 'generation')).toMatchObject({ ok: false });
  });

  it('sends its key, and never says it', async () => {
    const key = 'sk-conformance';
    answers = { '/v1/models': json(401, { error: { message: 'invalid key' } }) };
    const result = await driver.probe({ ...target, engineKey: key }, 'model', AbortSignal.timeout(1_000));
    expect(asked.at(-1)?.authorization).toBe(`Bearer ${key}`);
    expect(result).toEqual({ ok: false, detail: 'HTTP 401 invalid key' });
  });

  it('has only calls that end by their signal, say what they found, and never throw', async () => {
    const ABORTED = 'all' as const;
    const calls = (signal: AbortSignal) =>
      [
        driver.clearCache?.(target, signal),
        driver.drain?.(target, signal),
        driver.resume?.(target, signal),
        driver.abort?.(target, ABORTED, signal),
        driver.abort?.(target, { requestId: 'a' }, signal),
      ].filter((call) => call !== undefined);
    answers = {};
    for (const call of calls(AbortSignal.timeout(1_000)))
      expect(await call).toMatchObject({ ok: false, detail: expect.stringMatching(/HTTP 404/) });
    const hanging = ['/reset_prefix_cache', '/pause?mode=wait', '/resume', '/abort_requests', '/flush_cache'];
    for (const path of [...hanging, '/abort_request', '/props', '/api/generate']) answers[path] = never;
    for (const call of calls(AbortSignal.timeout(50)))
      expect(await call).toMatchObject({ ok: false, detail: expect.stringMatching(/no answer in time$/) });
    await new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    for (const call of calls(AbortSignal.timeout(1_000)))
      expect(await call).toMatchObject({ ok: false, detail: expect.stringMatching(/connection refused$/) });
    expect(driver.resume === undefined).toBe(driver.drain === undefined);
  });

  it('knows what lines of its log mean, each rule once', () => {
    const ids = driver.logRules.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    // What an unknown one prints is not known to us.
    expect(ids.length > 0).toBe(kind !== 'openai');
  });

  it('does not believe an answer without end', async () => {
    answers['/v1/models'] = (_request, response) => {
      response.writeHead(200);
      const more = () => {
        while (response.write(Buffer.alloc(65_536, 32)) && !response.destroyed);
      };
      response.on('drain', more);
      more();
    };
    expect(await probe(driver, 'model', 5_000)).toMatchObject({
      ok: false,
      detail: expect.stringContaining('bytes'),
    });
  });

  it('fills in the command of the configuration, word by word', async () => {
    const plan = await driver.launch?.(
      {
        replicaId: 'demo/0',
        host: '127.0.0.1',
        port: 40_123,
        portFile: '/nowhere',
        modelName: 'demo',
        model: '/models/$(id) x.gguf',
        maxBatchSize: 4,
        maxSeqLength: undefined,
        threads: undefined,
        command: ['engine', '--port={port}', '--at', '{host}:{port}', '{model}', '{unknown}'],
        env: { A: 'b' },
      },
      new AbortController().signal,
    );
    expect(plan).toEqual({
      command: 'engine',
      args: ['--port=40123', '--at', '127.0.0.1:40123', '/models/$(id) x.gguf', '{unknown}'],
      env: { A: 'b' },
      portFrom: 'assigned',
    });
    expect(driver.kind).toBe(kind);
  });
});

describe('metrics', () => {
  it.each([
    [
      vllm,
      'vllm:num_requests_running{engine="0"} 3\nvllm:num_requests_waiting 1\nvllm:kv_cache_usage_perc 0.5\nvllm:iteration_tokens_total_count 40\nvllm:generation_tokens_total 90\nvllm:prompt_tokens_total 70\nvllm:num_preemptions_total 2\nvllm:prefix_cache_queries_total 60\nvllm:prefix_cache_hits_total 30\nvllm:time_to_first_token_seconds_sum 1.5\nvllm:time_to_first_token_seconds_count 4\n',
      { progressCount: 40, kvCacheUsageRatio: 0.5, prefixCacheHitsTotal: 30, timeToFirstTokenCount: 4 },
    ],
    [
      vllm,
      'vllm:gpu_cache_usage_perc 0.25\nvllm:generation_tokens_total 90\nvllm:gpu_prefix_cache_hits_total 7\n',
      { progressCount: 90, kvCacheUsageRatio: 0.25, prefixCacheHitsTotal: 7 },
    ],
    [
      sglang,
      'sglang:num_running_reqs{tp_rank="0"} 3\nsglang:num_queue_reqs 1\nsglang:token_usage 0.5\nsglang:realtime_tokens_total{mode="decode"} 90\nsglang:realtime_tokens_total{mode="prefill_compute"} 70\nsglang:num_retracted_requests_total 2\nsglang:cached_tokens_total 30\n',
      { running: 3, waiting: 1, progressCount: 160, preemptionsTotal: 2, prefixCacheHitsTotal: 30 },
    ],
    [
      tgi,
      'tgi_batch_current_size 3\ntgi_queue_size 1\ntgi_batch_current_max_tokens 500\ntgi_batch_max_total_tokens 2000\ntgi_batch_inference_count{method="prefill"} 4\ntgi_batch_inference_count{method="decode"} 90\ntgi_request_generated_tokens_sum 88\n',
      { running: 3, waiting: 1, kvCacheUsageRatio: 0.25, progressCount: 94, generationTokensTotal: 88 },
    ],
    [
      llamaServer,
      'llamacpp:requests_processing 3\nllamacpp:requests_deferred 1\nllamacpp:n_decode_total 90\nllamacpp:prompt_tokens_total 40\nllamacpp:prompt_tokens_cached_total 30\nllamacpp:tokens_predicted_total 88\n',
      { running: 3, progressCount: 90, prefixCacheQueriesTotal: 70, prefixCacheHitsTotal: 30 },
    ],
    [
      llamaServer,
      'llamacpp:kv_cache_usage_ratio 0.5\nllamacpp:prompt_tokens_total 40\nllamacpp:tokens_predicted_total 88\n',
      { kvCacheUsageRatio: 0.5, progressCount: 128, generationTokensTotal: 88 },
    ],
  ] as const)('of %o are read by their names', async (driver, text, expected) => {
    answers['/metrics'] = (_request, response) => response.end(text);
    expect(await driver.readMetrics(target, AbortSignal.timeout(1_000))).toMatchObject(expected);
  });

  it('are none where the engine has none', async () => {
    answers['/metrics'] = (_request, response) => response.end('vllm:num_requests_running 3\n');
    for (const driver of [ollama, openai])
      expect(await driver.readMetrics(target, AbortSignal.timeout(1_000))).toBeUndefined();
  });
});
