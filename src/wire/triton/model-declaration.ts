/**
 * What a model of each backend declares: the names, types and shapes that NVIDIA's vLLM backend and TensorRT-LLM's ensemble
 * publish, and two plain models. Clients choose their way of speaking by it.
 */
export const TRITON_BACKENDS = ['vllm', 'tensorrtllm', 'python', 'embedding'] as const;
export type TritonBackend = (typeof TRITON_BACKENDS)[number];

export interface DeclaredTensor {
  name: string;
  datatype: string;
  /** With the batch before it, where the model has one. */
  shape: readonly number[];
  optional?: boolean;
}

export interface ModelDeclaration {
  /** `backend` of the configuration. */
  backend: string;
  decoupled: boolean;
  maxBatchSize: number;
  inputs: readonly DeclaredTensor[];
  outputs: readonly DeclaredTensor[];
}

const needed = (name: string, datatype: string, shape: readonly number[]): DeclaredTensor => ({
  name,
  datatype,
  shape,
});
const optional = (name: string, datatype: string, shape: readonly number[]): DeclaredTensor => ({
  ...needed(name, datatype, shape),
  optional: true,
});

const ONE = [1] as const;
const ANY = [-1] as const;
const BATCH_ONE = [-1, 1] as const;
const BATCH_ANY = [-1, -1] as const;

const VLLM: ModelDeclaration = {
  backend: 'vllm',
  decoupled: true,
  maxBatchSize: 0,
  inputs: [
    needed('text_input', 'BYTES', ONE),
    optional('image', 'BYTES', ANY),
    optional('stream', 'BOOL', ONE),
    optional('sampling_parameters', 'BYTES', ONE),
    optional('exclude_input_in_output', 'BOOL', ONE),
    optional('return_finish_reason', 'BOOL', ONE),
    optional('return_cumulative_logprob', 'BOOL', ONE),
    optional('return_logprobs', 'BOOL', ONE),
    optional('return_num_input_tokens', 'BOOL', ONE),
    optional('return_num_output_tokens', 'BOOL', ONE),
    optional('embedding_request', 'BYTES', ONE),
  ],
  outputs: [
    needed('text_output', 'BYTES', ANY),
    needed('finish_reason', 'BYTES', ANY),
    needed('cumulative_logprob', 'FP32', ANY),
    needed('logprobs', 'BYTES', ANY),
    needed('num_input_tokens', 'UINT32', ONE),
    needed('num_output_tokens', 'UINT32', ANY),
  ],
};

const TENSORRTLLM: ModelDeclaration = {
  backend: '',
  decoupled: true,
  maxBatchSize: 64,
  inputs: [
    needed('text_input', 'BYTES', BATCH_ONE),
    needed('max_tokens', 'INT32', BATCH_ONE),
    optional('num_return_sequences', 'INT32', BATCH_ONE),
    optional('bad_words', 'BYTES', BATCH_ANY),
    optional('stop_words', 'BYTES', BATCH_ANY),
    optional('exclude_input_in_output', 'BOOL', BATCH_ONE),
    optional('end_id', 'INT32', BATCH_ONE),
    optional('pad_id', 'INT32', BATCH_ONE),
    optional('top_k', 'INT32', BATCH_ONE),
    optional('top_p', 'FP32', BATCH_ONE),
    optional('temperature', 'FP32', BATCH_ONE),
    optional('length_penalty', 'FP32', BATCH_ONE),
    optional('repetition_penalty', 'FP32', BATCH_ONE),
    optional('min_tokens', 'INT32', BATCH_ONE),
    optional('presence_penalty', 'FP32', BATCH_ONE),
    optional('frequency_penalty', 'FP32', BATCH_ONE),
    optional('seed', 'UINT64', BATCH_ONE),
    optional('return_log_probs', 'BOOL', BATCH_ONE),
    optional('return_num_input_tokens', 'BOOL', BATCH_ONE),
    optional('return_num_output_tokens', 'BOOL', BATCH_ONE),
    optional('beam_width', 'INT32', BATCH_ONE),
    optional('stream', 'BOOL', BATCH_ONE),
    optional('guided_decoding_guide_type', 'BYTES', BATCH_ONE),
    optional('guided_decoding_guide', 'BYTES', BATCH_ONE),
  ],
  outputs: [
    needed('text_output', 'BYTES', BATCH_ANY),
    needed('cum_log_probs', 'FP32', BATCH_ANY),
    needed('num_input_tokens', 'INT32', BATCH_ONE),
    needed('num_output_tokens', 'INT32', BATCH_ONE),
  ],
};

const PYTHON: ModelDeclaration = {
  backend: 'python',
  decoupled: false,
  maxBatchSize: 0,
  inputs: [needed('text_input', 'BYTES', ONE)],
  outputs: [needed('text_output', 'BYTES', ANY)],
};

const EMBEDDING: ModelDeclaration = {
  backend: 'onnxruntime',
  decoupled: false,
  maxBatchSize: 8,
  inputs: [needed('TEXT', 'BYTES', BATCH_ONE)],
  outputs: [needed('EMBEDDING', 'FP32', BATCH_ANY)],
};

export const DECLARATIONS: Readonly<Record<TritonBackend, ModelDeclaration>> = {
  vllm: VLLM,
  tensorrtllm: TENSORRTLLM,
  python: PYTHON,
  embedding: EMBEDDING,
};

/** `TYPE_*` of the model configuration, with their numbers. */
export const CONFIG_TYPES: Readonly<Record<string, readonly [name: string, number: number]>> = {
  BOOL: ['TYPE_BOOL', 1],
  UINT32: ['TYPE_UINT32', 4],
  UINT64: ['TYPE_UINT64', 5],
  INT32: ['TYPE_INT32', 8],
  INT64: ['TYPE_INT64', 9],
  FP32: ['TYPE_FP32', 11],
  FP64: ['TYPE_FP64', 12],
  BYTES: ['TYPE_STRING', 13],
};

/** Without the batch, as the configuration has them. */
export function dimsOf({ maxBatchSize }: ModelDeclaration, { shape }: DeclaredTensor): readonly number[] {
  return maxBatchSize > 0 ? shape.slice(1) : shape;
}
