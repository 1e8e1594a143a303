/** For tests: signatures of models as Triton publishes them, shortened. */
import type { ModelSignature } from '../../src/wire/kserve/model-signature.ts';

const tensors = (datatype: string, shape: number[], names: string[]) =>
  names.map((name) => ({ name, datatype, shape }));

export const VLLM: ModelSignature = {
  decoupled: true,
  inputs: [
    ...tensors('BYTES', [1], ['text_input', 'sampling_parameters', 'embedding_request']),
    ...tensors('BOOL', [1], ['stream', 'exclude_input_in_output', 'return_finish_reason']),
    ...tensors('BOOL', [1], ['return_num_input_tokens', 'return_num_output_tokens']),
  ],
  outputs: [
    ...tensors('BYTES', [-1], ['text_output', 'finish_reason']),
    ...tensors('UINT32', [1], ['num_input_tokens']),
  ],
};

export const TENSORRTLLM: ModelSignature = {
  decoupled: true,
  inputs: [
    ...tensors('BYTES', [-1, 1], ['text_input', 'guided_decoding_guide_type', 'guided_decoding_guide']),
    ...tensors('BYTES', [-1, -1], ['stop_words', 'bad_words']),
    ...tensors('INT32', [-1, 1], ['max_tokens', 'top_k', 'min_tokens']),
    ...tensors(
      'FP32',
      [-1, 1],
      ['temperature', 'top_p', 'repetition_penalty', 'presence_penalty', 'frequency_penalty'],
    ),
    ...tensors('UINT64', [-1, 1], ['seed']),
    ...tensors(
      'BOOL',
      [-1, 1],
      ['stream', 'exclude_input_in_output', 'return_num_input_tokens', 'return_num_output_tokens'],
    ),
  ],
  outputs: [
    ...tensors('BYTES', [-1, -1], ['text_output']),
    ...tensors('INT32', [-1, 1], ['num_output_tokens']),
  ],
};

export const PYTHON: ModelSignature = {
  decoupled: false,
  inputs: tensors('BYTES', [1], ['text_input']),
  outputs: tensors('BYTES', [-1], ['text_output']),
};

export const EMBEDDING: ModelSignature = {
  decoupled: false,
  inputs: tensors('BYTES', [-1, 1], ['TEXT']),
  outputs: tensors('FP32', [-1, 768], ['EMBEDDING']),
};
