/**
 * The options of the simulator: one table gives parsing, defaults and the text of `--help`. Every error names the option, the
 * value found and what would be right.
 */
import { readFileSync } from 'node:fs';
import type { StepCosts } from '../contract/engine-model.ts';
import { PlatformError } from '../contract/errors.ts';
import type { LoraAdapter } from '../contract/lora.ts';
import { TRITON_BACKENDS, type TritonBackend } from '../wire/triton/model-declaration.ts';
import { type Fault, parseFaultText, START_PHASES, type StartPhase } from './faults/fault-script.ts';

interface NumberOption {
  kind: 'integer' | 'number';
  default: number;
  min: number;
  max: number;
  help: string;
}
/** Given alone it is true; `--name=false`, or the word after it, says otherwise. */
interface FlagOption {
  kind: 'flag';
  default: boolean;
  help: string;
}
interface TextOption {
  kind: 'text';
  /** What `--help` shows in place of the value, where there are no choices. */
  shown?: string;
  default?: string;
  choices?: readonly string[];
  /** May be given more than once. */
  repeatable?: true;
  help: string;
}

const integer = (value: number, min: number, max: number, help: string): NumberOption => ({
  kind: 'integer',
  default: value,
  min,
  max,
  help,
});
const flag = (value: boolean, help: string): FlagOption => ({ kind: 'flag', default: value, help });
const number = (value: number, min: number, max: number, help: string): NumberOption => ({
  ...integer(value, min, max, help),
  kind: 'number',
});
const DAY_MS = 86_400_000;

/** A small fast engine: about 10 ms per step, 2000 tokens of prefill in 80 ms. */
export const DEFAULT_STEP_COSTS: StepCosts = { c0: 10, c1: 0.032, c2: 5.3e-7, c3: 0.01, c4: 3.9e-5 };

/** Dialects that the process can speak; each later one is a line here and one in assembly. */
const SIMULATOR_DIALECTS = ['vllm', 'sglang', 'tgi', 'llama-server', 'ollama', 'triton'] as const;
/** Those whose engines take LoRA adapters by calls. */
const LORA_DIALECTS: readonly SimulatorDialect[] = ['vllm', 'sglang'];
export type SimulatorDialect = (typeof SIMULATOR_DIALECTS)[number];

export const simulatorOptions = {
  host: { kind: 'text', default: '127.0.0.1', help: 'Address to listen on.' },
  port: integer(0, 0, 65_535, 'Port; 0 takes a free one.'),
  'port-file': {
    kind: 'text',
    shown: 'FILE',
    help: 'File that the port is written to when listening, by rename.',
  },
  dialect: {
    kind: 'text',
    default: 'vllm',
    choices: SIMULATOR_DIALECTS,
    help: 'The engine whose HTTP it speaks.',
  },
  metrics: flag(true, 'Whether /metrics is there; SGLang and llama-server have it only when told to.'),
  'control-calls': flag(
    false,
    "Whether calls are there that an engine must be told to have: vLLM's dev mode, llama-server's slot actions.",
  ),
  'triton-backend': {
    kind: 'text',
    default: 'vllm',
    choices: TRITON_BACKENDS,
    help: 'Dialect triton: the backend of the model, which decides its tensors.',
  },
  'grpc-port': integer(-1, -1, 65_535, 'Dialect triton: port for gRPC; 0 takes a free one, -1 none.'),
  'metrics-port': integer(-1, -1, 65_535, 'Dialect triton: port for metrics; 0 takes a free one, -1 none.'),
  'openai-port': integer(
    -1,
    -1,
    65_535,
    'Dialect triton: port of its OpenAI front end; 0 takes a free one, -1 none.',
  ),
  'model-name': { kind: 'text', default: 'simulated-model', help: 'Id in /v1/models.' },
  'enable-lora': flag(false, 'Take LoRA adapters, also while it runs.'),
  'lora-modules': {
    kind: 'text',
    shown: 'JSON',
    repeatable: true,
    help: 'Adapter to load at the start, as JSON: {"name": "a", "path": "/p"}. Repeatable.',
  },
  'api-key': { kind: 'text', help: 'Bearer key that requests must bring.' },
  'model-seed': integer(1, 0, 0xffff_ffff, 'The model: replicas with the same seed write the same text.'),
  seed: integer(0, 0, 0xffff_ffff, 'Noise of this process, and seeds for requests without one; 0 draws one.'),
  speed: number(1, 0.001, 1000, 'Steps run so many times faster.'),
  'noise-sigma': number(0.05, 0, 2, 'Sigma of the lognormal noise on each step.'),
  'mean-tokens': integer(120, 1, 1_000_000, 'Mean length of an answer that ends by itself.'),
  reasoning: {
    kind: 'text',
    default: 'asked',
    choices: ['asked', 'always'],
    help: 'Chats begin with a thought when asked (chat_template_kwargs.enable_thinking), or always.',
  },
  'max-num-seqs': integer(256, 1, 100_000, 'Sequences that run at once.'),
  'max-num-batched-tokens': integer(8192, 1, 10_000_000, 'Tokens per step; longer prompts come in chunks.'),
  'max-model-len': integer(32_768, 16, 10_000_000, 'Context in tokens.'),
  'max-num-queued-reqs': integer(1024, 0, 1_000_000, 'Requests that may wait; further ones get 503.'),
  'block-size': integer(16, 1, 1024, 'Tokens per KV block.'),
  'num-gpu-blocks': integer(16_384, 1, 10_000_000, 'KV blocks.'),
  'step-ms': number(DEFAULT_STEP_COSTS.c0, 0, 60_000, 'c0: a step without work, ms.'),
  'prefill-token-ms': number(DEFAULT_STEP_COSTS.c1, 0, 1000, 'c1: per token of prefill, ms.'),
  'prefill-square-ms': number(DEFAULT_STEP_COSTS.c2, 0, 1, 'c2: per squared token of prefill, ms.'),
  'sequence-ms': number(DEFAULT_STEP_COSTS.c3, 0, 1000, 'c3: per decoding sequence, ms.'),
  'context-token-ms': number(DEFAULT_STEP_COSTS.c4, 0, 1, 'c4: per token of decoding context, ms.'),
  'fetch-ms': integer(0, 0, DAY_MS, 'Start phase: fetching the weights.'),
  'load-ms': integer(80, 0, DAY_MS, 'Start phase: loading them.'),
  'compile-ms': integer(40, 0, DAY_MS, 'Start phase: compiling.'),
  'capture-ms': integer(40, 0, DAY_MS, 'Start phase: capturing graphs.'),
  'drain-ms': integer(30_000, 0, DAY_MS, 'How long SIGTERM waits for what runs.'),
  fault: {
    kind: 'text',
    shown: 'JSON',
    repeatable: true,
    help: 'A fault as JSON, or a list of them. Repeatable.',
  },
  faults: { kind: 'text', shown: 'FILE', repeatable: true, help: 'File with faults as JSON. Repeatable.' },
  'steps-file': {
    kind: 'text',
    shown: 'FILE',
    help: 'Each step as CSV: T_prefill, batch, sum_ctx, step_ms; for `autoglm plan --calibrate`.',
  },
  'kmsg-file': { kind: 'text', shown: 'FILE', help: 'Pretend kernel log, for xid faults.' },
  'gpu-file': { kind: 'text', shown: 'FILE', help: 'Pretend GPU memory: a file with the pids that hold it.' },
} as const satisfies Record<string, SimulatorOption>;

type SimulatorOption = NumberOption | FlagOption | TextOption;
type Name = keyof typeof simulatorOptions;

export interface SimulatorConfig {
  host: string;
  port: number;
  portFile: string | undefined;
  dialect: SimulatorDialect;
  metrics: boolean;
  controlCalls: boolean;
  tritonBackend: TritonBackend;
  /** Further ports of dialect triton, by what they speak; undefined: not listened on. */
  tritonPorts: { grpc: number | undefined; metrics: number | undefined; openai: number | undefined };
  modelName: string;
  apiKey: string | undefined;
  /** Undefined: LoRA is not enabled. */
  adapters: LoraAdapter[] | undefined;
  modelSeed: number;
  /** 0: draw one. */
  seed: number;
  speed: number;
  noiseSigma: number;
  meanTokens: number;
  /** Chats begin with a thought also when the request does not say so. */
  reasoning: boolean;
  maxModelLen: number;
  limits: {
    maxNumSeqs: number;
    maxBatchedTokens: number;
    blockSize: number;
    numBlocks: number;
    maxWaiting: number;
  };
  costs: StepCosts;
  phaseMs: Record<StartPhase, number>;
  drainMs: number;
  faults: Fault[];
  stepsFile: string | undefined;
  kmsgFile: string | undefined;
  gpuFile: string | undefined;
}

/** Throws PlatformError `config_invalid`. `--name value` and `--name=value` are both read. */
export function parseSimulatorArgs(argv: readonly string[]): SimulatorConfig {
  const given = collect(argv);
  const text = (name: Name) => given.get(name)?.at(-1) ?? (simulatorOptions[name] as TextOption).default;
  const figure = (name: Name) => readNumber(name, given.get(name)?.at(-1));
  const dialect = readChoice('dialect', text('dialect') as string) as SimulatorDialect;
  const isOn = (name: Name) => readFlag(name, given.get(name)?.at(-1));
  const takesAdapters = isOn('enable-lora');
  if (takesAdapters && !LORA_DIALECTS.includes(dialect))
    throw new PlatformError(
      'config_invalid',
      `--enable-lora: found with --dialect ${dialect}; known with: ${LORA_DIALECTS.join(', ')}`,
    );
  return {
    host: text('host') as string,
    port: figure('port'),
    portFile: text('port-file'),
    dialect,
    metrics: isOn('metrics'),
    controlCalls: isOn('control-calls'),
    tritonBackend: readChoice('triton-backend', text('triton-backend') as string) as TritonBackend,
    tritonPorts: {
      grpc: portOf(figure('grpc-port')),
      metrics: portOf(figure('metrics-port')),
      openai: portOf(figure('openai-port')),
    },
    modelName: text('model-name') as string,
    apiKey: text('api-key'),
    adapters: takesAdapters ? (given.get('lora-modules') ?? []).map(readAdapter) : undefined,
    modelSeed: figure('model-seed'),
    seed: figure('seed'),
    speed: figure('speed'),
    noiseSigma: figure('noise-sigma'),
    meanTokens: figure('mean-tokens'),
    reasoning: readChoice('reasoning', text('reasoning') as string) === 'always',
    maxModelLen: figure('max-model-len'),
    limits: {
      maxNumSeqs: figure('max-num-seqs'),
      maxBatchedTokens: figure('max-num-batched-tokens'),
      blockSize: figure('block-size'),
      numBlocks: figure('num-gpu-blocks'),
      maxWaiting: figure('max-num-queued-reqs'),
    },
    costs: {
      c0: figure('step-ms'),
      c1: figure('prefill-token-ms'),
      c2: figure('prefill-square-ms'),
      c3: figure('sequence-ms'),
      c4: figure('context-token-ms'),
    },
    phaseMs: Object.fromEntries(START_PHASES.map((phase) => [phase, figure(`${phase}-ms`)])) as Record<
      StartPhase,
      number
    >,
    drainMs: figure('drain-ms'),
    faults: [
      ...(given.get('faults') ?? []).flatMap((path) => parseFaultText(readFaultFile(path), path)),
      ...(given.get('fault') ?? []).flatMap((json) => parseFaultText(json, '--fault')),
    ],
    stepsFile: text('steps-file'),
    kmsgFile: text('kmsg-file'),
    gpuFile: text('gpu-file'),
  };
}

function portOf(figure: number): number | undefined {
  return figure < 0 ? undefined : figure;
}

function collect(argv: readonly string[]): Map<Name, string[]> {
  const given = new Map<Name, string[]>();
  for (let i = 0; i < argv.length; i++) {
    const [flag, inline] = splitFlag(argv[i] as string);
    const name = flag.slice(2) as Name;
    if (!flag.startsWith('--') || !Object.hasOwn(simulatorOptions, name)) {
      throw new PlatformError('config_invalid', `unknown option '${flag}'; known: ${names().join(', ')}`);
    }
    const option: SimulatorOption = simulatorOptions[name];
    const next = argv[i + 1];
    // A flag takes the next word only where that can be nothing else.
    const alone = option.kind === 'flag' && inline === undefined && !isTruth(next);
    const value = alone ? 'true' : (inline ?? argv[++i]);
    if (value === undefined) throw new PlatformError('config_invalid', `${flag}: a value is missing`);
    const before = given.get(name) ?? [];
    given.set(name, option.kind === 'text' && option.repeatable ? [...before, value] : [value]);
  }
  return given;
}

function splitFlag(argument: string): [flag: string, value: string | undefined] {
  const equals = argument.indexOf('=');
  if (!argument.startsWith('--') || equals < 0) return [argument, undefined];
  return [argument.slice(0, equals), argument.slice(equals + 1)];
}

function names(): string[] {
  return Object.keys(simulatorOptions).map((name) => `--${name}`);
}

function readNumber(name: Name, value: string | undefined): number {
  const option = simulatorOptions[name] as NumberOption;
  if (value === undefined) return option.default;
  const read = value.trim() === '' ? Number.NaN : Number(value);
  const fits = option.kind === 'integer' ? Number.isSafeInteger(read) : Number.isFinite(read);
  if (!fits || read < option.min || read > option.max) {
    const wanted = option.kind === 'integer' ? 'a whole number' : 'a number';
    throw new PlatformError(
      'config_invalid',
      `--${name}: found '${value}'; expected ${wanted} from ${option.min} to ${option.max}`,
    );
  }
  return read;
}

const TRUTHS: Readonly<Record<string, boolean>> = { true: true, '1': true, false: false, '0': false };

function isTruth(word: string | undefined): boolean {
  return word !== undefined && Object.hasOwn(TRUTHS, word);
}

function readFlag(name: Name, value: string | undefined): boolean {
  if (value === undefined) return (simulatorOptions[name] as FlagOption).default;
  if (isTruth(value)) return TRUTHS[value] as boolean;
  throw new PlatformError('config_invalid', `--${name}: found '${value}'; known: true, false`);
}

function readChoice(name: Name, value: string): string {
  const choices = (simulatorOptions[name] as TextOption).choices ?? [];
  if (choices.includes(value)) return value;
  throw new PlatformError('config_invalid', `--${name}: found '${value}'; known: ${choices.join(', ')}`);
}

function readAdapter(json: string): LoraAdapter {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    value = undefined;
  }
  const { name, path } = (value ?? {}) as Record<string, unknown>;
  if (typeof name === 'string' && typeof path === 'string') return { name, path };
  throw new PlatformError(
    'config_invalid',
    `--lora-modules: found '${json.slice(0, 100)}'; expected JSON such as {"name": "sql", "path": "/adapters/sql"}`,
  );
}

function readFaultFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new PlatformError(
      'config_invalid',
      `--faults: ${path} can not be read (${(error as Error).message})`,
    );
  }
}

/** In `--help`, behind the name of an option that takes a value. */
function shownValue(option: SimulatorOption): string {
  if (option.kind === 'flag') return option.default ? '[=false]' : '';
  if (option.kind !== 'text') return option.kind === 'integer' ? ' N' : ' NUMBER';
  return ` ${option.choices === undefined ? (option.shown ?? 'TEXT') : 'WORD'}`;
}

/** The text of `--help`. */
export function simulatorHelp(): string {
  const rows = Object.entries(simulatorOptions as Record<string, SimulatorOption>).map(([name, option]) => {
    const shown = option.default === undefined ? '' : ` [${option.default}]`;
    const choices =
      option.kind === 'text' && option.choices !== undefined ? ` One of ${option.choices.join(', ')}.` : '';
    return `  ${`--${name}${shownValue(option)}`.padEnd(32)} ${option.help}${choices}${shown}`;
  });
  return [
    'A pretend engine: a real HTTP process with seeded text, timing and faults.',
    '',
    'Options:',
    ...rows,
    '',
    'Faults are JSON: {"action": "exit", "code": 137, "when": {"atToken": 100}}. The running process takes them by',
    'POST /simulator/faults, lists them by GET and drops them by DELETE (one by its id in the path).',
    '',
    'With --recovery first it simulates no engine, but a whole fleet and its supervisor: `autoglm simulate --recovery --help`.',
    '',
  ].join('\n');
}
