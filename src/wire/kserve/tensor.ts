/** Tensors of the Open Inference Protocol as both transports see them: flat values and a shape, in the words of the protocol. */
import { PlatformError } from '../../contract/errors.ts';

export type TensorValue = string | number | boolean;

/** One entry of a model's metadata. */
export interface TensorSpec {
  name: string;
  /** `BYTES`, `BOOL`, `INT32`, `FP32` and so on. */
  datatype: string;
  /** -1 is a dimension of any size; the first may be the batch. */
  shape: readonly number[];
}

export interface Tensor {
  name: string;
  datatype: string;
  shape: readonly number[];
  /** Row-major; BYTES as text. */
  values: readonly TensorValue[];
}

export interface InferRequest {
  inputs: readonly Tensor[];
  /** Of the request, not of a tensor; models read from them what they like. */
  parameters: Readonly<Record<string, TensorValue>>;
}

/** One answer of a model; a decoupled one sends several. */
export interface InferReply {
  outputs: ReadonlyMap<string, Tensor>;
  /** Triton says so with the last answer of a stream; undefined: it did not say. */
  final: boolean | undefined;
}

/** Larger ones are no text and no vector of a language model. */
export const TENSOR_VALUES_MAX = 4_194_304;

/** Fits values into the shape that the model declares: the innermost free dimension takes them, the others are 1. */
export function tensorOf({ name, datatype, shape }: TensorSpec, values: readonly TensorValue[]): Tensor {
  let left = values.length;
  for (const size of shape) if (size > 0) left /= size;
  const free = shape.lastIndexOf(-1);
  const fitted = shape.map((size, index) => (size !== -1 ? size : index === free ? left : 1));
  if (fitted.reduce((product, size) => product * size, 1) !== values.length || !Number.isInteger(left)) {
    throw new PlatformError(
      'engine_failed',
      `the model declares shape [${shape.join(', ')}] for its input '${name}', which ${values.length} values do not fit`,
    );
  }
  return { name, datatype, shape: fitted, values };
}
