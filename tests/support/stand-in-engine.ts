/**
 * A program that takes the place of a real engine on PATH: `stand-in-engine.ts PROGRAM ARGS...`. It reads the options of that
 * engine by their real names, refuses what the engine would refuse, and becomes the simulator in the engine's dialect. So a
 * driver that starts an engine wrongly fails its test as it would fail its user. Option names are those of vLLM 0.33.0,
 * SGLang 0.5.23, TGI 3.3.6, llama.cpp b11434, and Ollama and Triton of August 2026.
 */
import { existsSync, statSync } from 'node:fs';
import { runSimulator } from '../../src/assembly/simulator.ts';

/** Value: takes one. Flag: takes none. List: takes all up to the next option. */
type Options = Readonly<Record<string, 'value' | 'flag' | 'list'>>;

interface StandIn {
  options: Options;
  /** Words that must come first. */
  words: readonly string[];
  /** Positional arguments after them. */
  positional: number;
  simulate(given: ReadonlyMap<string, string>, positional: readonly string[]): string[];
}

const values = (...names: string[]): Options => Object.fromEntries(names.map((name) => [name, 'value']));

const PROGRAMS: Record<string, StandIn> = {
  vllm: {
    words: ['serve'],
    positional: 1,
    options: {
      ...values('--host', '--port', '--served-model-name', '--max-num-seqs', '--max-model-len'),
      ...values('--tensor-parallel-size', '--quantization', '--api-key', '--gpu-memory-utilization'),
      '--enforce-eager': 'flag',
      '--enable-lora': 'flag',
      '--lora-modules': 'list',
    },
    simulate: (given, [model = '']) => [
      ...['--dialect', 'vllm', '--model-name', given.get('--served-model-name') ?? model],
      ...renamed(given, { '--host': '--host', '--port': '--port', '--max-num-seqs': '--max-num-seqs' }),
      ...renamed(given, { '--max-model-len': '--max-model-len', '--api-key': '--api-key' }),
      ...['--control-calls', process.env.VLLM_SERVER_DEV_MODE === '1' ? '1' : '0'],
      ...adapters(given, '--lora-modules', (entry) => entry),
    ],
  },
  python3: {
    words: ['-m', 'sglang.launch_server'],
    positional: 0,
    options: {
      ...values('--model-path', '--host', '--port', '--served-model-name', '--max-running-requests'),
      ...values('--context-length', '--tp-size', '--quantization', '--api-key', '--mem-fraction-static'),
      '--enable-metrics': 'flag',
      '--enable-lora': 'flag',
      '--lora-paths': 'list',
    },
    simulate: (given) => [
      ...['--dialect', 'sglang', '--metrics', given.has('--enable-metrics') ? '1' : '0'],
      ...['--model-name', given.get('--served-model-name') ?? required(given, '--model-path')],
      ...renamed(given, { '--host': '--host', '--port': '--port', '--context-length': '--max-model-len' }),
      ...renamed(given, { '--max-running-requests': '--max-num-seqs', '--api-key': '--api-key' }),
      ...adapters(given, '--lora-paths', ({ lora_name: name, lora_path: path }) => ({ name, path })),
    ],
  },
  'text-generation-launcher': {
    words: [],
    positional: 0,
    options: {
      ...values('--model-id', '--hostname', '--port', '--max-concurrent-requests', '--max-batch-size'),
      ...values('--max-total-tokens', '--max-input-tokens', '--num-shard', '--shard-uds-path'),
      ...values('--master-port', '--quantize', '--api-key', '--prometheus-port', '--dtype'),
    },
    simulate: (given) => {
      const { '--max-input-tokens': input, '--max-total-tokens': total } = Object.fromEntries(given);
      if (input !== undefined && Number(input) >= Number(total))
        fail(
          `Error: ArgumentValidation("\`max_input_tokens\`(${input}) must be < \`max_total_tokens\`(${total})")`,
        );
      return [
        ...['--dialect', 'tgi', '--model-name', required(given, '--model-id')],
        ...renamed(given, { '--hostname': '--host', '--port': '--port', '--api-key': '--api-key' }),
        ...renamed(given, { '--max-batch-size': '--max-num-seqs', '--max-total-tokens': '--max-model-len' }),
      ];
    },
  },
  'llama-server': {
    words: [],
    positional: 0,
    options: {
      ...values('-m', '-hf', '--host', '--port', '--alias', '--parallel', '--ctx-size', '--api-key'),
      ...values('--slot-save-path', '--split-mode', '--threads'),
      '--metrics': 'flag',
    },
    simulate: (given) => {
      const model = given.get('-m');
      if (model !== undefined && !existsSync(model)) fail(`error loading model: failed to open ${model}`);
      const slots = given.get('--slot-save-path');
      if (slots !== undefined && !statSync(slots).isDirectory()) fail(`error: not a directory: ${slots}`);
      const parallel = Number(given.get('--parallel') ?? 4);
      const context = given.get('--ctx-size');
      return [
        ...['--dialect', 'llama-server', '--metrics', given.has('--metrics') ? '1' : '0'],
        ...['--control-calls', slots === undefined ? '0' : '1'],
        ...['--model-name', given.get('--alias') ?? model ?? required(given, '-hf')],
        ...['--max-num-seqs', String(parallel)],
        ...(context === undefined ? [] : ['--max-model-len', String(Math.floor(Number(context) / parallel))]),
        ...renamed(given, { '--host': '--host', '--port': '--port', '--api-key': '--api-key' }),
      ];
    },
  },
  ollama: {
    words: ['serve'],
    positional: 0,
    options: {},
    simulate: () => {
      const { OLLAMA_HOST = '127.0.0.1:11434', OLLAMA_NUM_PARALLEL = '1' } = process.env;
      const [host = '', port = ''] = OLLAMA_HOST.split(':');
      const context = process.env.OLLAMA_CONTEXT_LENGTH;
      return [
        ...['--dialect', 'ollama', '--host', host, '--port', port],
        // What a real one would find below OLLAMA_MODELS.
        ...['--model-name', process.env.STAND_IN_PULLED ?? 'nothing'],
        ...['--max-num-seqs', OLLAMA_NUM_PARALLEL],
        ...(context === undefined ? [] : ['--max-model-len', context]),
      ];
    },
  },
  tritonserver: {
    words: [],
    positional: 0,
    options: {
      ...values('--model-repository', '--model-control-mode', '--load-model', '--allow-http', '--allow-grpc'),
      ...values('--http-address', '--http-port', '--grpc-address', '--grpc-port'),
      ...values('--metrics-address', '--metrics-port'),
    },
    simulate: (given) => {
      required(given, '--model-repository');
      if (given.get('--model-control-mode') !== 'explicit')
        fail("error: creating server: Invalid argument - '--load-model' wants control mode explicit");
      const speaksGrpc = given.get('--allow-grpc') !== 'false';
      const host = required(given, speaksGrpc ? '--grpc-address' : '--http-address');
      return [
        ...['--dialect', 'triton', '--host', host, '--model-name', required(given, '--load-model')],
        // The simulator has its HTTP port always.
        ...renamed(given, { '--http-port': '--port', '--grpc-port': '--grpc-port' }),
        ...renamed(given, { '--metrics-port': '--metrics-port' }),
      ];
    },
  },
};

function readArguments(program: string, argv: readonly string[]): string[] {
  const standIn = PROGRAMS[program];
  if (standIn === undefined) return fail(`${program}: no stand-in for it`);
  const { words, options, positional } = standIn;
  if (words.some((word, index) => argv[index] !== word))
    fail(`${program}: error: expected ${words.join(' ')}, found ${argv.slice(0, words.length).join(' ')}`);
  const rest = argv.slice(words.length);
  const given = new Map<string, string>();
  const places: string[] = [];
  for (let at = 0; at < rest.length; at++) {
    const word = rest[at] as string;
    const kind = Object.hasOwn(options, word) ? options[word] : undefined;
    if (kind === 'flag') given.set(word, '');
    else if (kind === 'list') {
      const entries: string[] = [];
      while (at + 1 < rest.length && !rest[at + 1]?.startsWith('-')) entries.push(rest[++at] as string);
      given.set(word, entries.join('\n'));
    } else if (kind === 'value')
      given.set(word, rest[++at] ?? fail(`${program}: error: ${word}: expected one argument`));
    else if (!word.startsWith('-') && places.length < positional) places.push(word);
    else fail(`${program}: error: unrecognized arguments: ${word}`);
  }
  if (places.length < positional) fail(`${program}: error: the following arguments are required`);
  return standIn.simulate(given, places);
}

function renamed(given: ReadonlyMap<string, string>, names: Readonly<Record<string, string>>): string[] {
  return Object.entries(names).flatMap(([from, to]) => {
    const value = given.get(from);
    return value === undefined ? [] : [to, value];
  });
}

/** Adapters as JSON, which is how our drivers give them. */
function adapters(
  given: ReadonlyMap<string, string>,
  name: string,
  read: (entry: Record<string, unknown>) => object,
): string[] {
  if (!given.has('--enable-lora')) return given.has(name) ? fail(`error: ${name} needs --enable-lora`) : [];
  const entries = (given.get(name) ?? '').split('\n').filter((line) => line !== '');
  const modules = entries.map((line) => JSON.stringify(read(JSON.parse(line) as Record<string, unknown>)));
  return ['--enable-lora', 'true', ...modules.flatMap((module) => ['--lora-modules', module])];
}

function required(given: ReadonlyMap<string, string>, name: string): string {
  return given.get(name) ?? fail(`error: the following arguments are required: ${name}`);
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

const [program = '', ...argv] = process.argv.slice(2);
const extra = JSON.parse(process.env.STAND_IN_ARGS ?? '[]') as string[];
await runSimulator([...readArguments(program, argv), ...extra]);
