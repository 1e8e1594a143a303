/**
 * Options of a model that not every engine can honour: what each engine says of them, with what would be right. Used when a
 * configuration is read, by every command; so nothing here may load what a driver needs to talk to its engine.
 */
import type { EngineKind } from '../../contract/fleet.ts';
import type { LaunchContext } from '../../contract/ports/engine-driver.ts';
import { ggufQuantizeFault, ggufTypeOf } from './gguf-quantize.ts';
import { type QuantizeTable, quantizeFault } from './quantize.ts';
import { SGLANG_QUANTIZE } from './sglang/quantize.ts';
import { TGI_QUANTIZE } from './tgi/quantize.ts';
import { VLLM_QUANTIZE } from './vllm/quantize.ts';

export type EngineOptions = Pick<LaunchContext, 'model' | 'quantize' | 'tensorParallelSize'>;

export interface OptionFault {
  option: 'quantize' | 'tensor_parallel_size';
  message: string;
}

/** Undefined: the engine can do it. Files are not looked at; `launch` does that. */
export function optionFault(kind: EngineKind, options: EngineOptions): OptionFault | undefined {
  return (FAULTS[kind] ?? neither)(options, kind);
}

type Judge = (options: EngineOptions, kind: EngineKind) => OptionFault | undefined;

const FAULTS: Partial<Record<EngineKind, Judge>> = {
  vllm: byTable('vLLM', VLLM_QUANTIZE),
  sglang: byTable('SGLang', SGLANG_QUANTIZE),
  tgi: byTable('text-generation-inference', TGI_QUANTIZE),
  'llama-server': byFile(
    'it uses every GPU that it sees; `args: [--split-mode, row]` splits layers over them',
  ),
  embedded: byFile('it runs on the processor; `threads` sets how many it uses'),
  ollama: (options, kind) =>
    quantize(tagFault(options.model, options.quantize)) ??
    noTensorParallel(
      kind,
      options,
      'it splits a model that does not fit over the GPUs that it sees; `env: { OLLAMA_SCHED_SPREAD: "1" }` always',
    ),
};

function byTable(engine: string, table: QuantizeTable): Judge {
  return (options) => quantize(quantizeFault(engine, table, options.quantize));
}

function byFile(remedy: string): Judge {
  return (options, kind) =>
    quantize(ggufQuantizeFault(options.model, options.quantize)) ?? noTensorParallel(kind, options, remedy);
}

/** For engines that have neither option. */
const neither: Judge = (options, kind) => {
  const { quantize: value } = options;
  if (value === undefined) return noTensorParallel(kind, options, 'leave it out');
  return quantize(`found "${value}"; engine "${kind}" has no such option: leave it out`);
};

function quantize(message: string | undefined): OptionFault | undefined {
  return message === undefined ? undefined : { option: 'quantize', message };
}

function noTensorParallel(
  kind: EngineKind,
  { tensorParallelSize }: EngineOptions,
  remedy: string,
): OptionFault | undefined {
  if (tensorParallelSize === undefined || tensorParallelSize === 1) return undefined;
  const message = `found ${tensorParallelSize}; engine "${kind}" has no such option: ${remedy}`;
  return { option: 'tensor_parallel_size', message };
}

/** A tag is a file with its quantization; Ollama makes another one only with `ollama create --quantize`. */
function tagFault(model: string, quantize: string | undefined): string | undefined {
  if (quantize === undefined) return undefined;
  const wanted = ggufTypeOf(quantize)?.toLowerCase();
  if (wanted !== undefined && model.toLowerCase().includes(wanted)) return undefined;
  const tag = wanted ?? 'q8_0';
  return `found "${quantize}", but the tag in \`model\` decides: "${model}" names no ${tag}; give a tag that does, such as NAME:8b-instruct-${tag}, or make one with \`ollama create NAME -f Modelfile --quantize ${tag}\``;
}
