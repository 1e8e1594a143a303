/**
 * Inputs of an inference as a generation of the core, and its steps as outputs, for each backend as NVIDIA's does it: the vLLM
 * backend reads its sampling from one JSON text and knows no other keys than vLLM's; TensorRT-LLM has a tensor for each.
 */
import type { EngineCore } from '../../contract/ports/engine-core.ts';
import { isRecord } from '../json/parse-object.ts';
import { parseCompletions } from '../vllm/parse-generation.ts';
import { planChoices, runChoice } from '../vllm/run-choice.ts';
import { flagIn, type GivenTensor, type Inputs, textIn, type Value, valueIn } from './check-inputs.ts';
import type { TritonBackend } from './model-declaration.ts';
import { TritonError } from './triton-error.ts';

export interface Inference {
  core: EngineCore;
  backend: TritonBackend;
  inputs: Inputs;
  parameters: Readonly<Record<string, Value>>;
  requestId: string;
  signal: AbortSignal;
}

export type Outputs = readonly GivenTensor[];

/** vLLM's SamplingParams, as far as the core has them. */
const SAMPLING_KEYS = new Set([
  'max_tokens', 'min_tokens', 'temperature', 'top_p', 'top_k', 'min_p', 'seed', 'stop', 'stop_token_ids', 'ignore_eos',
  'presence_penalty', 'frequency_penalty', 'repetition_penalty', 'bad_words', 'include_stop_str_in_output',
  'skip_special_tokens', 'spaces_between_special_tokens', 'logprobs', 'n', 'structured_outputs',
]); // biome-ignore format: a list

const VLLM_TOKENS_DEFAULT = 16;

/** Yields one set of outputs per answer. Throws what the core throws, and `TritonError`. */
export async function* generate(inference: Inference): AsyncGenerator<Outputs, void, void> {
  const { core, backend, inputs, signal } = inference;
  if (backend === 'embedding') {
    yield [await embedding(core, textIn(inputs, 'TEXT') ?? '', signal)];
    return;
  }
  const asked = textIn(inputs, 'embedding_request');
  if (asked !== undefined) {
    yield await vllmEmbedding(core, inputs, asked, signal);
    return;
  }
  const prompt = textIn(inputs, 'text_input') ?? '';
  const fields = FIELDS[backend](inference, prompt);
  refuseLongPrompt(inference, prompt);
  const spec = parseCompletions(core, fields, { temperature: 1 });
  const [plan] = planChoices(spec, inference.requestId);
  if (plan === undefined) throw new TritonError('INTERNAL', 'nothing to generate');
  yield* answers(inference, prompt, plan.prompt.tokens.length, runChoice(core, spec, plan, signal));
}

async function* answers(
  { backend, inputs }: Inference,
  prompt: string,
  promptTokens: number,
  steps: ReturnType<typeof runChoice>,
): AsyncGenerator<Outputs, void, void> {
  const stream = flagIn(inputs, 'stream');
  if (stream && inputs.has('exclude_input_in_output') && !flagIn(inputs, 'exclude_input_in_output'))
    throw new TritonError(
      'INTERNAL',
      'Error generating stream: When streaming, `exclude_input_in_output` = False is not allowed.',
    );
  const shape = backend === 'tensorrtllm' ? [1, 1] : [1];
  const outputs = (text: string, tokens: number, finish: string): Outputs => [
    { name: 'text_output', datatype: 'BYTES', shape, values: [text] },
    ...(flagIn(inputs, 'return_finish_reason')
      ? [{ name: 'finish_reason', datatype: 'BYTES', shape, values: [finish] }]
      : []),
    ...counts(backend, inputs, shape, promptTokens, tokens),
  ];
  let text = '';
  let tokens = 0;
  try {
    for (;;) {
      const step = await steps.next();
      if (step.done === true) {
        const excludes = stream || flagIn(inputs, 'exclude_input_in_output');
        if (!stream) yield outputs(excludes ? text : prompt + text, tokens, step.value.finishReason);
        else if (backend === 'vllm') yield outputs('', 0, step.value.finishReason);
        return;
      }
      for (const emission of step.value) {
        text += emission.text;
        tokens += emission.tokens.length;
        if (stream && emission.text !== '') yield outputs(emission.text, emission.tokens.length, 'None');
      }
    }
  } finally {
    // A client that left must not keep its slot.
    await steps.return({ finishReason: 'length', stopReason: null, completionTokens: 0 });
  }
}

function counts(
  backend: TritonBackend,
  inputs: Inputs,
  shape: readonly number[],
  promptTokens: number,
  tokens: number,
): Outputs {
  const datatype = backend === 'tensorrtllm' ? 'INT32' : 'UINT32';
  const tensors: GivenTensor[] = [];
  if (flagIn(inputs, 'return_num_input_tokens'))
    tensors.push({ name: 'num_input_tokens', datatype, shape, values: [promptTokens] });
  if (flagIn(inputs, 'return_num_output_tokens'))
    tensors.push({ name: 'num_output_tokens', datatype, shape, values: [tokens] });
  return tensors;
}

const FIELDS: Readonly<
  Record<
    Exclude<TritonBackend, 'embedding'>,
    (inference: Inference, prompt: string) => Record<string, unknown>
  >
> = {
  vllm: ({ inputs, parameters }, prompt) => {
    const text = textIn(inputs, 'sampling_parameters');
    const sampling = text === undefined ? { ...parameters } : parseSampling(text);
    const unknown = Object.keys(sampling).some((key) => !SAMPLING_KEYS.has(key));
    if (unknown) throw noSampling();
    const { structured_outputs: structure, skip_special_tokens: _, ...rest } = sampling;
    return {
      max_tokens: VLLM_TOKENS_DEFAULT,
      ...rest,
      ...(structure !== undefined && { structured_outputs: JSON.parse(String(structure)) as unknown }),
      prompt,
    };
  },
  tensorrtllm: ({ inputs }, prompt) => {
    const fields: Record<string, unknown> = { prompt };
    for (const name of [
      'max_tokens',
      'min_tokens',
      'temperature',
      'top_p',
      'top_k',
      'seed',
      'repetition_penalty',
      'presence_penalty',
      'frequency_penalty',
    ]) {
      const value = valueIn(inputs, name);
      if (value !== undefined) fields[name] = value;
    }
    // Its sampler takes the best token when nothing is said.
    if (fields.temperature === undefined && fields.top_p === undefined && fields.seed === undefined)
      fields.top_k ??= 1;
    const stops = inputs.get('stop_words')?.values.filter((stop) => stop !== '') ?? [];
    if (stops.length > 0) fields.stop = stops;
    if (textIn(inputs, 'guided_decoding_guide_type') === 'json_schema')
      fields.guided_json = JSON.parse(textIn(inputs, 'guided_decoding_guide') ?? '{}');
    if (textIn(inputs, 'guided_decoding_guide_type') === 'json')
      fields.response_format = { type: 'json_object' };
    return fields;
  },
  python: ({ parameters }, prompt) => ({ temperature: 0, ...parameters, prompt }),
};

function parseSampling(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (!isRecord(value)) throw noSampling();
  return value;
}

/** What the vLLM backend says when it could not make its sampling parameters. */
function noSampling(): TritonError {
  return new TritonError(
    'INTERNAL',
    "Error generating stream: 'NoneType' object has no attribute 'lora_name'",
  );
}

function refuseLongPrompt({ core, backend }: Inference, prompt: string): void {
  const length = core.tokenize(prompt, { parseSpecial: true }).length;
  const { contextLength } = core.info;
  if (length < contextLength) return;
  const text =
    backend === 'tensorrtllm'
      ? `Prompt length (${length}) exceeds maximum input length (${contextLength}).`
      : `Error generating stream: The decoder prompt (length ${length}) is longer than the maximum model length of ${contextLength}. Make sure that \`max_model_len\` is no smaller than the number of text tokens.`;
  throw new TritonError('INTERNAL', text);
}

async function embedding(core: EngineCore, text: string, signal: AbortSignal): Promise<GivenTensor> {
  const values = await core.embed(core.tokenize(text, { parseSpecial: true }), signal);
  return { name: 'EMBEDDING', datatype: 'FP32', shape: [1, values.length], values };
}

async function vllmEmbedding(
  core: EngineCore,
  inputs: Inputs,
  asked: string,
  signal: AbortSignal,
): Promise<Outputs> {
  const request: unknown = JSON.parse(asked);
  const input = isRecord(request) ? request.input : undefined;
  const tokens = Array.isArray(input)
    ? (input as number[])
    : core.tokenize(String(input), { parseSpecial: true });
  const vector = await core.embed(tokens, signal);
  return [
    { name: 'text_output', datatype: 'BYTES', shape: [1], values: [JSON.stringify(vector)] },
    ...counts('vllm', inputs, [1], tokens.length, 0),
  ];
}
