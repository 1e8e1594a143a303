/**
 * Logs of engines that are well, made from a seed: a start, traffic, now and then a client that errs or leaves, mostly an end in
 * order. The simulator's log writers make the frame; the rest follows what engines print beside their work, with the words of
 * faults in it wherever engines that are well use them.
 */
import { createRandom, type Random } from '../../src/base/random.ts';
import type { EngineCoreMetrics } from '../../src/contract/ports/engine-core.ts';
import type { DialectLog } from '../../src/simulator/engine-log.ts';
import { llamaServerLog } from '../../src/simulator/logs/llama-server.ts';
import { ollamaLog } from '../../src/simulator/logs/ollama.ts';
import { sglangLog } from '../../src/simulator/logs/sglang.ts';
import { tgiLog } from '../../src/simulator/logs/tgi.ts';
import { tritonLog } from '../../src/simulator/logs/triton.ts';
import { vllmLog } from '../../src/simulator/logs/vllm.ts';

const ENGINES = ['vllm', 'sglang', 'tgi', 'llama-server', 'ollama', 'triton', 'trtllm', 'embedded'] as const;
export type HealthyEngine = (typeof ENGINES)[number];

export interface HealthyLog {
  name: string;
  engine: HealthyEngine;
  lines: string[];
}

export function healthyLogs(count: number): HealthyLog[] {
  return Array.from({ length: count }, (_, seed) => healthyLog(seed));
}

const DIALECTS: Partial<Record<HealthyEngine, DialectLog>> = {
  vllm: vllmLog,
  sglang: sglangLog,
  tgi: tgiLog,
  'llama-server': llamaServerLog,
  ollama: ollamaLog,
  triton: tritonLog,
};

/** What they print while they serve and all is well; `{n}` is a number, `{t}` the time of day, `{d}` the day. */
const SERVING: Record<HealthyEngine, readonly string[]> = {
  vllm: [
    'INFO:     10.0.0.{n}:4{n}1 - "POST /v1/chat/completions HTTP/1.1" 200 OK',
    'INFO:     10.0.0.{n}:4{n}1 - "POST /v1/chat/completions HTTP/1.1" 400 Bad Request',
    'INFO:     10.0.0.{n}:4{n}1 - "GET /health HTTP/1.1" 200 OK',
    'INFO {d} {t} [async_llm.py:441] Aborted request chatcmpl-{n}.',
    "INFO {d} {t} [logger.py:43] Received request chatcmpl-{n}: prompt: 'Why does it say CUDA out of memory. Tried to allocate 2 GiB?', params: SamplingParams(n=1)",
    "INFO {d} {t} [logger.py:43] Received request cmpl-{n}: prompt: 'EngineDeadError and CUDA error: device-side assert triggered, Killed', params: None",
    'ERROR {d} {t} [serving_chat.py:257] Error in preprocessing prompt inputs',
    'ERROR {d} {t} [serving_chat.py:257] Traceback (most recent call last):',
    "ERROR {d} {t} [serving_chat.py:257] ValueError: This model's maximum context length is 32768 tokens. However, you requested {n}000 tokens.",
    'INFO {d} {t} [shm_broadcast.py:466] No available shared memory broadcast block found in 60 seconds. This typically happens when some processes are hanging or doing some time-consuming work (e.g. compilation).',
    'WARNING {d} {t} [nixl_connector.py:1048] Releasing expired KV blocks for request cmpl-{n} which were retrieved by 0 decode worker(s) within 480 seconds.',
    "WARNING {d} {t} [protocol.py:71] The following fields were present in the request but ignored: {'foo'}",
    'WARNING {d} {t} [sampler.py:103] seed is not supported with this backend, ignored',
    '(EngineCore_DP0 pid=77) INFO {d} {t} [core.py:360] Batch queue is enabled with size 2',
    'gpu-0:77:77 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[1] via P2P/CUMEM',
  ],
  sglang: [
    '[2026-{d} {t}] INFO:     10.0.0.{n}:4{n}1 - "POST /v1/chat/completions HTTP/1.1" 200 OK',
    '[2026-{d} {t} TP0] Prefill batch, #new-seq: 1, #new-token: {n}, #cached-token: 4, token usage: 0.11, #running-req: 2, #queue-req: 0, ',
    '[2026-{d} {t} TP0] Decode batch, #running-req: 3, #token: {n}, token usage: 0.12, cuda graph: True, gen throughput (token/s): {n}.31, #queue-req: 0, ',
    "[2026-{d} {t}] Receive: obj=GenerateReqInput(text='What is CUDA error: an illegal memory access was encountered?', rid='{n}')",
    '[2026-{d} {t} TP0] Abort queued request. rid={n}',
    "[2026-{d} {t} TP0] Decode transfer failed for request rank=0 decode_req.req.rid='{n}' with exception KVTransferError(bootstrap_room={n}): Aborted by AbortReq.",
    '[2026-{d} {t} TP0] Cache flushed successfully!',
    '[2026-{d} {t}] INFO:     10.0.0.{n}:4{n}1 - "POST /v1/completions HTTP/1.1" 400 Bad Request',
    "[2026-{d} {t}] Error: The input ({n}000 tokens) is longer than the model's context length (32768 tokens).",
  ],
  tgi: [
    '2026-{d}T{t}.000000Z  INFO chat_completions{total_time="1.{n}s"}: text_generation_router::server: router/src/server.rs:432: Success',
    '2026-{d}T{t}.000000Z ERROR chat_completions: text_generation_router::infer: router/src/infer/mod.rs:105: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: {n}000 `inputs` tokens and 500 `max_new_tokens`',
    '2026-{d}T{t}.000000Z  WARN text_generation_router: router/src/main.rs:372: `--revision` is not set',
    '2026-{d}T{t}.000000Z  INFO text_generation_router_v3::radix: backends/v3/src/radix.rs:108: Prefix {n} - Suffix 12',
  ],
  'llama-server': [
    '0.{s}.500.100 I slot print_timing: id  1 | task {n} | prompt eval time =      11.00 ms /    16 tokens (    0.19 ms per token,  5338.67 tokens per second)',
    '0.{s}.600.960 I slot      release: id  1 | task {n} | stop processing: n_tokens = {n}, truncated = 0',
    '0.{s}.610.960 W srv          stop: cancel task, id_task = {n}',
    '0.{s}.700.100 I srv  log_server_r: request: POST /v1/chat/completions 127.0.0.1 200',
    '0.{s}.700.100 E srv    send_error: task id = {n}, error: the request exceeds the available context size (2048 tokens), try increasing it',
    '0.{s}.800.360 W srv  update_slots: failed to find free space in the KV cache, retrying with smaller batch size, i = 0, n_batch = 1024, ret = 1',
    '0.{s}.810.000 I slot update_slots: id  0 | task {n} | slot context shift, n_keep = 0, n_left = 2047, n_discard = 1023',
  ],
  ollama: [
    '[GIN] 2026/{D} - {t} | 200 |  1.{n}s |       127.0.0.1 | POST     "/api/chat"',
    '[GIN] 2026/{D} - {t} | 404 |  0.{n}ms |       127.0.0.1 | POST     "/api/show"',
    'time=2026-{d}T{t}.000Z level=WARN source=sched.go:687 msg="gpu VRAM usage didn\'t recover within timeout" seconds=5.1{n} model=/root/.ollama/models/blobs/sha256-1',
    'time=2026-{d}T{t}.000Z level=INFO source=server.go:630 msg="aborting completion request due to client closing the connection"',
    'llama_context: n_ctx_per_seq (4096) < n_ctx_train (131072) -- the full capacity of the model will not be utilized',
  ],
  triton: [
    'I1121 {t}.000000 1 model.py:499] "[vllm] Cancelling the request"',
    'I1121 {t}.000000 1 http_server.cc:4971] "HTTP request: 2 /v2/models/demo/generate"',
    'W1121 {t}.000000 1 metrics.cc:643] "Unable to get power limit for GPU 0. Status:Success, value:0.000000"',
    'I1121 {t}.000000 1 infer_handler.cc:702] "New request handler for ModelInferHandler, {n}"',
  ],
  trtllm: [
    "[{M}-{t}] [TRT-LLM] [I] iter = {n}, global_rank = 0, rank = 0, currank_total_requests = 1/1, host_step_time = 11.2ms, prev_device_step_time = 10.9ms, num_scheduled_requests: 1, states = {'num_ctx_requests': 0}",
    '[{M}-{t}] [TRT-LLM] [W] Logger level already set from environment. Discard new verbosity: info',
    '[TensorRT-LLM][INFO] Number of blocks released: {n}',
    'INFO:     10.0.0.{n}:4{n}1 - "POST /v1/completions HTTP/1.1" 200 OK',
  ],
  embedded: [
    'cmpl-{n}: POST /v1/chat/completions: client_closed: the client closed the connection',
    'cmpl-{n}: POST /v1/chat/completions: invalid_request: max_tokens: found -{n}, wanted at least 1',
    'chatcmpl-{n}: POST /v1/chat/completions: context_too_long: the prompt has {n}000 tokens, and the model takes 2048',
    'load: control-looking token: {n} was not control-type; this is probably a bug in the model. its type will be overridden',
  ],
};

const STARTS: Record<HealthyEngine, readonly string[]> = {
  vllm: [
    'INFO {d} {t} [__init__.py:239] Automatically detected platform cuda.',
    'INFO {d} {t} [api_server.py:1896] vLLM API server version 0.{n}.0',
    'WARNING {d} {t} [config.py:1201] To prevent OOM, max_num_batched_tokens was set to 8192',
  ],
  sglang: [
    "[2026-{d} {t}] server_args=ServerArgs(model_path='org/model', watchdog_timeout=300, dist_timeout=None)",
  ],
  tgi: ['2026-{d}T{t}.000000Z  INFO text_generation_launcher: Args {', '    max_waiting_tokens: 20,', '}'],
  'llama-server': [
    'ggml_cuda_init: found 1 CUDA devices:',
    '0.00.000.320 I srv  llama_server: build_info: b1{n}00-1a2b3c4',
  ],
  ollama: [
    'time=2026-{d}T{t}.000Z level=INFO source=routes.go:1951 msg="server config" env="map[OLLAMA_DEBUG:INFO]"',
  ],
  triton: [
    'I1121 {t}.000000 1 pinned_memory_manager.cc:277] "Pinned memory pool is created at \'0x7f0\' with size 268435456"',
  ],
  trtllm: [
    '[TensorRT-LLM] TensorRT-LLM version: 1.{n}.0',
    '[{M}-{t}] [TRT-LLM] [I] Using LLM with PyTorch backend',
    '[{M}-{t}] [TRT-LLM] [I] Prefetching 14.96GB checkpoint files.',
    'INFO:     Application startup complete.',
  ],
  embedded: [
    '{"at":"2026-{d}T{t}.000Z","event":"resolving","model":"hf:org/name","directory":"/var/models"}',
    '{"at":"2026-{d}T{t}.000Z","event":"ready","url":"http://127.0.0.1:40{n}","model":"demo"}',
  ],
};

const WRAPS: readonly ((line: string, at: number) => string)[] = [
  (line) => line,
  (line) => line,
  (line) => JSON.stringify({ log: `${line}\n`, stream: 'stderr', time: '2026-11-21T10:00:00.1Z' }),
  (line, at) => `2026-11-21T10:00:00.${String(at).padStart(9, '0')}Z stdout F ${line}`,
  (line) => `engine-1  | ${line}`,
  (line) => `\u001b[32m${line}\u001b[0m`,
];

/** One minute apart at most, so that nothing in it lasts. */
export function healthyLog(seed: number): HealthyLog {
  const random = createRandom(seed + 1);
  const engine = ENGINES[seed % ENGINES.length] as HealthyEngine;
  const writer = new Writer(random);
  if (random.next() < 0.8) {
    for (const line of STARTS[engine]) writer.add(line);
    frame(engine, writer, 'start');
  }
  const rounds = 5 + Math.floor(random.next() * 60);
  // What comes often would mean something: of the lines about trouble, one of each at most.
  const rare = new Set<string>();
  for (let round = 0; round < rounds; round++) {
    const choices = SERVING[engine];
    const line = choices[Math.floor(random.next() * choices.length)] as string;
    const troubled = /Releasing|failed to find|Traceback|Error/.test(line);
    if (troubled && rare.has(line)) continue;
    rare.add(line);
    writer.add(line);
    if (random.next() < 0.3) stats(engine, writer, random);
  }
  if (random.next() < 0.5) frame(engine, writer, 'stop');
  const wrap = WRAPS[Math.floor(random.next() * WRAPS.length)] as (line: string, at: number) => string;
  return { name: `${engine} of seed ${seed}`, engine, lines: writer.lines.map(wrap) };
}

class Writer {
  readonly lines: string[] = [];
  readonly #random: Random;
  #seconds: number;

  constructor(random: Random) {
    this.#random = random;
    this.#seconds = Math.floor(random.next() * 60_000);
  }

  at(): Date {
    this.#seconds += 1 + Math.floor(this.#random.next() * 9);
    return new Date(Date.UTC(2026, 10, 21) + this.#seconds * 1000);
  }

  add(template: string): void {
    const iso = this.at().toISOString();
    const day = iso.slice(5, 10);
    this.lines.push(
      template
        .replaceAll('{n}', () => String(1 + Math.floor(this.#random.next() * 98)))
        .replaceAll('{t}', iso.slice(11, 19))
        .replaceAll('{s}', iso.slice(17, 19))
        .replaceAll('{d}', day)
        .replaceAll('{D}', day.replace('-', '/'))
        .replaceAll('{M}', `${day.replace('-', '/')}/2026`),
    );
  }
}

function frame(engine: HealthyEngine, writer: Writer, part: 'start' | 'stop'): void {
  const dialect = DIALECTS[engine];
  if (dialect === undefined) return;
  const texts =
    part === 'stop'
      ? [dialect.stopping]
      : [
          ...Object.values(dialect.phases).flatMap(({ begin, end }) => [...begin('org/model'), end('3.1')]),
          dialect.listening('http://127.0.0.1:8000'),
        ];
  for (const [place, text] of texts) writer.lines.push(dialect.line(writer.at(), 'INFO', place, text));
}

const METRICS_AT_REST = {
  running: 0,
  waiting: 0,
  kvCacheUsageRatio: 0,
  generationTokensTotal: 0,
  promptTokensTotal: 0,
  prefixCacheQueriesTotal: 0,
  prefixCacheHitsTotal: 0,
} as EngineCoreMetrics;

function stats(engine: HealthyEngine, writer: Writer, random: Random): void {
  const dialect = DIALECTS[engine];
  if (dialect?.stats === undefined) return;
  const after = {
    ...METRICS_AT_REST,
    running: Math.floor(random.next() * 20),
    waiting: Math.floor(random.next() * 3),
    kvCacheUsageRatio: random.next() * 0.9,
    generationTokensTotal: 1 + Math.floor(random.next() * 9_000),
    promptTokensTotal: Math.floor(random.next() * 9_000),
  };
  const [place, text] = dialect.stats(METRICS_AT_REST, after, 10_000);
  writer.lines.push(dialect.line(writer.at(), 'INFO', place, text));
}
