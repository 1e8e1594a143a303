/**
 * The steps of `restart_safer` of a model: those of the file, else derived from its engine. Fewer requests at a time come first,
 * since they cost nobody an answer; then less memory for what the engine keeps beside its weights; then a smaller context, which
 * refuses prompts that were taken before.
 */
import type { EngineKind } from '../../contract/fleet.ts';
import type { ModelConfig } from '../../contract/model-schema.ts';
import { optionValue, type SaferStep } from '../../contract/safer-launch.ts';

/** The option by which an engine is told what share of a GPU it may take. Lowering it leaves more to what is not planned for. */
interface MemoryOption {
  name: string;
  /** In effect where the option is not given. */
  standard: number;
}

/**
 * vLLM: `gpu_memory_utilization` of `vllm/config/cache.py`. SGLang computes `mem_fraction_static` from the device, 0.8 to 0.9
 * mostly (`srt/server_args.py`). TGI: `--cuda-memory-fraction` of `launcher/src/main.rs`.
 */
const MEMORY_OPTIONS: Partial<Record<EngineKind, MemoryOption>> = {
  vllm: { name: '--gpu-memory-utilization', standard: 0.9 },
  sglang: { name: '--mem-fraction-static', standard: 0.85 },
  tgi: { name: '--cuda-memory-fraction', standard: 1 },
};
const MEMORY_STEP = 0.1;
/** Below it no model of use is left. */
const MEMORY_MIN = 0.3;
/** Smaller contexts serve nobody. */
const CONTEXT_MIN = 512;

export function saferSteps(model: ModelConfig): SaferStep[] {
  if (model.urls !== undefined) return [];
  if (model.safer_steps !== undefined) return model.safer_steps.map(writtenStep);
  return [batchStep(model), memoryStep(model), contextStep(model)].filter((step) => step !== undefined);
}

function writtenStep(step: NonNullable<ModelConfig['safer_steps']>[number]): SaferStep {
  return {
    ...(step.max_batch_size !== undefined && { maxBatchSize: step.max_batch_size }),
    ...(step.max_seq_length !== undefined && { maxSeqLength: step.max_seq_length }),
    ...(step.args !== undefined && { args: step.args }),
    ...(step.env !== undefined && { env: step.env }),
  };
}

/** The defaults of all engines are above one. */
function batchStep({ max_batch_size }: ModelConfig): SaferStep | undefined {
  return max_batch_size === 1 ? undefined : { batchShare: 0.5 };
}

/** What a program of the user's own takes is not known. */
function memoryStep({ engine, args, command }: ModelConfig): SaferStep | undefined {
  const option = MEMORY_OPTIONS[engine];
  if (option === undefined || command !== undefined) return undefined;
  const written = optionValue(args, option.name);
  const before = written === undefined ? option.standard : Number(written);
  const after = Math.round((before - MEMORY_STEP) * 100) / 100;
  return after >= MEMORY_MIN ? { args: [option.name, String(after)] } : undefined;
}

function contextStep({ max_seq_length, command }: ModelConfig): SaferStep | undefined {
  if (max_seq_length === undefined || max_seq_length < 2 * CONTEXT_MIN) return undefined;
  if (command !== undefined && !command.some((word) => word.includes('{max_seq_length}'))) return undefined;
  return { maxSeqLength: Math.floor(max_seq_length / 2) };
}
