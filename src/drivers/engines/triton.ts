/**
 * NVIDIA Triton, by its OpenAI front end or by KServe v2 over HTTP or gRPC. Options as of its releases of 2025 and 2026.
 * Questions over gRPC, and requests for a token, go through what assembly hands in: a driver of engines knows no other drivers.
 */
import type { EngineCapabilities } from '../../contract/fleet.ts';
import type { LogRule } from '../../contract/log-rule.ts';
import type {
  EngineDriver,
  EngineTarget,
  LaunchContext,
  LaunchPlan,
  ProbeResult,
  ReadinessRung,
} from '../../contract/ports/engine-driver.ts';
import type { Transport } from '../../contract/ports/transport.ts';
import { conventionOf, signatureFromJson } from '../../wire/kserve/model-signature.ts';
import { commandLine, option, ownCommand } from './command-line.ts';
import { climbRung, type Ladder } from './http-ladder.ts';
import { loadLogRules } from './log-rules.ts';
import { connectTo, exchange, type ProbeRequest, parseJson, statusText } from './probe-http.ts';
import { oneTokenOverKServe } from './triton-generation.ts';
import { metricsUrlOf, readTritonMetrics } from './triton-metrics.ts';

export interface TritonParts {
  /** A transport that takes requests with a `kserve` target; whoever opens it closes it. */
  openTransport(): Transport;
  askGrpc(
    target: EngineTarget,
    question: 'live' | 'ready' | 'model' | 'load' | 'unload',
    signal: AbortSignal,
  ): Promise<ProbeResult>;
}

/** Where the containers of NVIDIA have it. */
const OPENAI_FRONT_END = '/opt/tritonserver/python/openai/openai_frontend/main.py';
const OPENAI_LADDER: Ladder = { healthPath: '/health/ready' };

/** The front end renders chats itself, always with a new turn at the end, so only completions go on as text. */
const OVER_OPENAI: EngineCapabilities = {
  tokenReplay: false,
  chatContinuation: false,
  tokenize: false,
  determinism: 'greedy',
  wholeTokenEvents: false,
  // Its schemas of requests forbid fields that they do not know.
  lenientFields: false,
  endpoints: [],
};

/** The prompt is ours to the last character, so chats go on as text too; the translation passes over fields that it does not know. */
const OVER_KSERVE: EngineCapabilities = { ...OVER_OPENAI, chatContinuation: true, lenientFields: true };

export function createTritonDriver(parts: TritonParts): EngineDriver {
  let logRules: readonly LogRule[] | undefined;
  return {
    kind: 'triton',
    capabilities: OVER_OPENAI,
    capabilitiesOver: (protocol) => (protocol === 'openai' ? OVER_OPENAI : OVER_KSERVE),
    // The size of a batch stands in the repository: `max_num_seqs` of vLLM, `max_batch_size` of TensorRT-LLM.
    defaultWindow: 256,
    launch: async (context) =>
      context.command === undefined ? usualCommand(context) : ownCommand(context, context.command),
    probe: (target, rung, signal) => probe(parts, target, rung, signal),
    readMetrics: readTritonMetrics,
    get logRules() {
      logRules ??= loadLogRules('triton');
      return logRules;
    },
    setModelLoaded: (target, loaded, signal) => setModelLoaded(parts, target, loaded, signal),
  };
}

function usualCommand(context: LaunchContext): LaunchPlan {
  const { protocol, model, host, port, modelName, args = [] } = context;
  if (protocol === undefined || protocol === 'openai') {
    return commandLine(context, [
      ...['python3', OPENAI_FRONT_END],
      ...option('--model-repository', model),
      ...option('--host', host),
      ...option('--openai-port', port),
      ...args,
    ]);
  }
  const [speaks, other] = protocol === 'kserve-http' ? ['http', 'grpc'] : ['grpc', 'http'];
  const metrics = new URL(metricsUrlOf({ url: `http://${host}:${port}`, servedModel: modelName }));
  return commandLine(context, [
    'tritonserver',
    ...option('--model-repository', model),
    ...option('--model-control-mode', 'explicit'),
    ...option('--load-model', modelName),
    ...option(`--${speaks}-address`, host),
    ...option(`--${speaks}-port`, port),
    ...option(`--allow-${other}`, 'false'),
    ...option('--metrics-address', host),
    ...option('--metrics-port', metrics.port),
    ...args,
  ]);
}

async function probe(
  parts: TritonParts,
  target: EngineTarget,
  rung: ReadinessRung,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const protocol = target.protocol ?? 'openai';
  if (rung === 'port') return connectTo(target, signal);
  if (protocol === 'openai') return climbRung(target, rung, OPENAI_LADDER, signal);
  if (rung === 'generation') return oneTokenOverKServe(parts.openTransport, target, protocol, signal);
  return protocol === 'kserve-http'
    ? probeHttp(target, rung, signal)
    : probeGrpc(parts, target, rung, signal);
}

async function probeHttp(
  target: EngineTarget,
  rung: 'health' | 'model',
  signal: AbortSignal,
): Promise<ProbeResult> {
  if (rung === 'health') {
    const live = await ask(target, { path: '/v2/health/live' }, signal);
    return live.result.ok ? (await ask(target, { path: '/v2/health/ready' }, signal)).result : live.result;
  }
  const path = `/v2/models/${encodeURIComponent(target.servedModel)}`;
  const { result: ready, silent } = await ask(target, { path: `${path}/ready` }, signal);
  if (silent) return ready;
  if (!ready.ok) return { ok: false, detail: `model '${target.servedModel}' is not ready: ${ready.detail}` };
  const metadata = await ask(target, { path }, signal);
  return metadata.result.ok ? judgeModel(target, metadata.body) : metadata.result;
}

function judgeModel({ servedModel }: EngineTarget, body: string): ProbeResult {
  try {
    const convention = conventionOf(signatureFromJson(parseJson(body), undefined));
    return { ok: true, detail: `model '${servedModel}' is ready and takes tensors as ${convention}` };
  } catch (error) {
    return { ok: false, detail: `model '${servedModel}': ${(error as Error).message}` };
  }
}

async function probeGrpc(
  { askGrpc }: TritonParts,
  target: EngineTarget,
  rung: 'health' | 'model',
  signal: AbortSignal,
): Promise<ProbeResult> {
  if (rung === 'model') return askGrpc(target, 'model', signal);
  const live = await askGrpc(target, 'live', signal);
  return live.ok ? askGrpc(target, 'ready', signal) : live;
}

/** Triton must run with `--model-control-mode=explicit`. */
async function setModelLoaded(
  { askGrpc }: TritonParts,
  target: EngineTarget,
  loaded: boolean,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const action = loaded ? 'load' : 'unload';
  if (target.protocol === 'kserve-grpc') return askGrpc(target, action, signal);
  const name = encodeURIComponent(target.servedModel);
  const path =
    target.protocol === 'kserve-http'
      ? `/v2/repository/models/${name}/${action}`
      : `/v1/models/${name}/${action}`;
  const { ok, detail } = (await ask(target, { path, body: {} }, signal)).result;
  return ok ? { ok, detail: `model '${target.servedModel}' is ${action}ed` } : { ok, detail };
}

interface Asked {
  result: ProbeResult;
  body: string;
  /** There was no answer at all. */
  silent: boolean;
}

async function ask(target: EngineTarget, request: ProbeRequest, signal: AbortSignal): Promise<Asked> {
  const response = await exchange(target, request, signal);
  if ('failure' in response)
    return { result: { ok: false, detail: response.failure }, body: '', silent: true };
  const ok = response.status >= 200 && response.status < 300;
  const detail = ok ? `HTTP ${response.status}` : statusText(response);
  return { result: { ok, detail }, body: response.body, silent: false };
}
