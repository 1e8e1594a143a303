/** Are the engines that the configuration names installed, and can they load their models? */
import { extname, resolve } from 'node:path';
import { checkFileOf, readsModelFile } from '../../assembly/config/model-files.ts';
import type { ResolvedConfig, ResolvedModel } from '../../assembly/config/resolve-config.ts';
import type { EngineKind } from '../../contract/fleet.ts';
import { type Check, type Finding, fail, ok, warn } from './finding.ts';
import { runProgram } from './run-program.ts';

const PROGRAM_TIMEOUT_MS = 20_000;
const GPU_TIMEOUT_MS = 10_000;

const PROGRAMS: readonly { kind: EngineKind; program: string; install: string }[] = [
  { kind: 'vllm', program: 'vllm', install: 'https://docs.vllm.ai' },
  { kind: 'sglang', program: 'sglang', install: 'https://docs.sglang.ai' },
  {
    kind: 'tgi',
    program: 'text-generation-launcher',
    install: 'https://github.com/huggingface/text-generation-inference',
  },
  { kind: 'llama-server', program: 'llama-server', install: 'https://github.com/ggml-org/llama.cpp' },
  { kind: 'ollama', program: 'ollama', install: 'https://ollama.com' },
  {
    kind: 'triton',
    program: 'tritonserver',
    install: 'https://docs.nvidia.com/deeplearning/triton-inference-server',
  },
];

const WANT_A_GPU: readonly EngineKind[] = ['vllm', 'sglang', 'tgi'];

export const checkEngines: Check = async ({ config }) => [
  ...(await Promise.all(PROGRAMS.map((entry) => checkProgram(entry, config)))),
  await checkEmbedded(config),
  ...config.models.filter(readsModelFile).map(checkModel),
];

export const checkGpu: Check = async ({ config }) => {
  const wanted = config.models.some((model) => started(model) && WANT_A_GPU.includes(model.engine));
  const result = await runProgram(
    'nvidia-smi',
    ['--query-gpu=name,memory.total,memory.free', '--format=csv,noheader'],
    { timeoutMs: GPU_TIMEOUT_MS },
  );
  if (result.kind === 'ended' && result.code === 0 && result.output !== '') {
    return result.output.split('\n').map((line, index) => ok(`GPU ${index}`, line));
  }
  if (result.kind === 'hung') {
    const remedy = 'look at `dmesg` for Xid errors; a reset of the GPU or a reboot may be needed';
    return [fail('GPU', `nvidia-smi did not answer within ${GPU_TIMEOUT_MS / 1000} s`, remedy)];
  }
  if (!wanted) return [ok('GPU', 'none found; the embedded engine runs on the processor')];
  const remedy = 'install the NVIDIA driver, or point `urls` of the model at an engine that runs elsewhere';
  return [warn('GPU', 'none found by nvidia-smi', remedy)];
};

const started = (model: ResolvedModel) => model.urls === undefined && model.command === undefined;

async function checkProgram(
  { kind, program, install }: (typeof PROGRAMS)[number],
  config: ResolvedConfig,
): Promise<Finding> {
  const needed = config.models.some((model) => model.engine === kind && started(model));
  const result = await runProgram(program, ['--version'], { timeoutMs: PROGRAM_TIMEOUT_MS });
  if (result.kind === 'missing') {
    if (!needed) return ok(program, `not installed; needed only for models with \`engine: ${kind}\``);
    const remedy = `install it (${install}), or give \`urls\` of an engine that runs already`;
    return fail(program, 'not found in PATH', remedy);
  }
  if (result.kind === 'hung') {
    const remedy = `run \`${program} --version\` yourself and see where it hangs`;
    return warn(program, `did not answer within ${PROGRAM_TIMEOUT_MS / 1000} s`, remedy);
  }
  const line = result.output.split('\n').find((text) => /\d+\.\d+|version/i.test(text)) ?? 'found';
  return ok(program, line.trim().slice(0, 100));
}

const LOAD_SCRIPT = resolve(import.meta.dirname, `load-embedded-engine${extname(import.meta.filename)}`);

async function checkEmbedded(config: ResolvedConfig): Promise<Finding> {
  const check = 'embedded engine';
  const needed = config.models.some(({ engine }) => engine === 'embedded');
  const result = await runProgram(process.execPath, [LOAD_SCRIPT], { timeoutMs: PROGRAM_TIMEOUT_MS });
  if (result.kind === 'ended' && result.code === 0) return ok(check, 'node-llama-cpp loads');
  const why = result.kind === 'ended' ? result.output.split('\n').at(-1) : 'it does not answer';
  const found = `node-llama-cpp cannot be loaded on ${process.platform}-${process.arch}: ${why}`;
  const remedy =
    'run `npm install` again without --omit=optional; where there is no build for this platform (such as musl), use `engine: llama-server` or `urls` of another engine';
  return needed ? fail(check, found, remedy) : warn(check, found, remedy);
}

function checkModel(model: ResolvedModel): Finding {
  const check = `model ${model.modelName}`;
  const found = checkFileOf(model);
  if ('bytes' in found) return ok(check, `${model.model}, GGUF, ${(found.bytes / 1e6).toFixed(1)} MB`);
  const remedy = 'give the path of a GGUF file in `model`, or copy or download the file again';
  return fail(check, found.fault, remedy);
}
