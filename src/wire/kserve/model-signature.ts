/**
 * What a model declares of itself, and which convention of tensors that is. Read once per replica and model; what an engine
 * sends is checked here, so that everything later may rely on it.
 *
 * - `vllm`: the vLLM backend of Triton, whose sampling is one JSON text.
 * - `tensorrtllm`: TensorRT-LLM's ensemble and BLS, with one tensor per setting.
 * - `text`: one text in, one text out; settings go as parameters of the request.
 * - `embedding`: one text in, one vector of floats out.
 */
import { PlatformError } from '../../contract/errors.ts';
import { isRecord } from '../json/parse-object.ts';
import { numberFrom } from '../json/scalars.ts';
import type { TensorSpec } from './tensor.ts';

export interface ModelSignature {
  inputs: readonly TensorSpec[];
  outputs: readonly TensorSpec[];
  /** Any number of answers to a request; such a model takes no plain infer call. */
  decoupled: boolean;
}

export type TensorConvention = 'vllm' | 'tensorrtllm' | 'text' | 'embedding';

/** A vector of a language model. */
const VECTOR_TYPES = ['FP32', 'FP64'];
const TENSORS_MAX = 1024;

/** Throws PlatformError `engine_failed` when the model is none that text can be given to. */
export function conventionOf(signature: ModelSignature): TensorConvention {
  const { inputs, outputs } = signature;
  const takes = (name: string) => inputs.some((input) => input.name === name);
  const textOut = outputs.some(({ datatype }) => datatype === 'BYTES');
  if (takes('text_input') && takes('sampling_parameters')) return 'vllm';
  if (takes('text_input') && takes('max_tokens')) return 'tensorrtllm';
  if (inputs.some(({ datatype }) => datatype === 'BYTES')) {
    if (textOut) return 'text';
    if (vectorOf(signature) !== undefined) return 'embedding';
  }
  const show = (specs: readonly TensorSpec[]) =>
    specs
      .map(({ name, datatype }) => `${name} ${datatype}`)
      .join(', ')
      .slice(0, 200) || 'nothing';
  throw new PlatformError(
    'engine_failed',
    `the model takes ${show(inputs)} and gives ${show(outputs)}; expected a text (BYTES) in, and a text or FP32 out`,
  );
}

/** Where the prompt goes. */
export function textInputOf({ inputs }: ModelSignature): TensorSpec {
  const named = inputs.find(({ name }) => name === 'text_input');
  return named ?? (inputs.find(({ datatype }) => datatype === 'BYTES') as TensorSpec);
}

/** Where the answer comes from. */
export function textOutputOf({ outputs }: ModelSignature): string {
  const named = outputs.find(({ name }) => name === 'text_output');
  return (named ?? outputs.find(({ datatype }) => datatype === 'BYTES'))?.name ?? 'text_output';
}

export function vectorOf({ outputs }: ModelSignature): string | undefined {
  return outputs.find(({ datatype }) => VECTOR_TYPES.includes(datatype))?.name;
}

/**
 * From the answers of `/v2/models/{m}` and, on Triton, `/v2/models/{m}/config` (undefined elsewhere). Throws PlatformError
 * `engine_failed`.
 */
export function signatureFromJson(metadata: unknown, config: unknown): ModelSignature {
  if (!isRecord(metadata)) throw malformed('no object');
  const policy = isRecord(config) ? config.model_transaction_policy : undefined;
  return {
    inputs: specsFrom(metadata.inputs, 'inputs'),
    outputs: specsFrom(metadata.outputs, 'outputs'),
    decoupled: isRecord(policy) && policy.decoupled === true,
  };
}

function specsFrom(value: unknown, place: string): TensorSpec[] {
  if (!Array.isArray(value) || value.length > TENSORS_MAX)
    throw malformed(`\`${place}\` is no list of tensors`);
  return value.map((entry: unknown) => {
    const { name, datatype, shape } = isRecord(entry) ? entry : {};
    // Some servers write 64-bit numbers as text.
    const sizes = Array.isArray(shape) ? shape.map(numberFrom) : [];
    if (typeof name !== 'string' || typeof datatype !== 'string' || !isShape(sizes))
      throw malformed(`a tensor in \`${place}\` has no name, datatype or shape`);
    return { name, datatype, shape: sizes };
  });
}

export function isShape(sizes: readonly number[]): boolean {
  return sizes.length <= 16 && sizes.every((size) => Number.isInteger(size) && (size === -1 || size > 0));
}

function malformed(what: string): PlatformError {
  return new PlatformError('engine_failed', `the metadata of the model can not be read: ${what}`);
}
