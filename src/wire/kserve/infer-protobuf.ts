/**
 * Inference requests and answers as messages of the gRPC service. Requests carry their values in typed lists; answers may
 * come so too, or raw (little endian, BYTES with their length before them), as Triton sends them. What can not be read is
 * a PlatformError `engine_failed`.
 */
import { create } from '@bufbuild/protobuf';
import { PlatformError } from '../../contract/errors.ts';
import { isShape, type ModelSignature } from './model-signature.ts';
import {
  type InferParameter,
  InferParameterSchema,
  type InferTensorContents,
  InferTensorContentsSchema,
  type ModelConfig,
  type ModelInferRequest,
  ModelInferRequest_InferInputTensorSchema,
  ModelInferRequestSchema,
  type ModelInferResponse,
  type ModelMetadataResponse,
  type ModelMetadataResponse_TensorMetadata,
} from './proto/inference_pb.ts';
import {
  type InferReply,
  type InferRequest,
  TENSOR_VALUES_MAX,
  type Tensor,
  type TensorSpec,
  type TensorValue,
} from './tensor.ts';

/** Asks Triton to close a stream of answers with an empty one that says so; others ignore it. */
const EMPTY_FINAL = 'triton_enable_empty_final_response';
const FINAL = 'triton_final_response';

export function inferMessage(
  model: string,
  id: string,
  { inputs, parameters }: InferRequest,
  streamed: boolean,
): ModelInferRequest {
  const asked = streamed ? { ...parameters, [EMPTY_FINAL]: true } : parameters;
  return create(ModelInferRequestSchema, {
    modelName: model,
    id,
    parameters: Object.fromEntries(Object.entries(asked).map(([name, value]) => [name, parameterOf(value)])),
    inputs: inputs.map(({ name, datatype, shape, values }) =>
      create(ModelInferRequest_InferInputTensorSchema, {
        name,
        datatype,
        shape: shape.map(BigInt),
        contents: contentsOf(datatype, values),
      }),
    ),
  });
}

export function readInferMessage(response: ModelInferResponse): InferReply {
  const { outputs, rawOutputContents } = response;
  if (rawOutputContents.length > 0 && rawOutputContents.length !== outputs.length)
    throw broken(`${outputs.length} outputs with ${rawOutputContents.length} raw contents`);
  const tensors = new Map<string, Tensor>();
  outputs.forEach(({ name, datatype, shape, contents }, index) => {
    const raw = rawOutputContents[index];
    const values =
      raw === undefined ? valuesIn(name, datatype, contents) : decodeRaw(name, datatype, Buffer.from(raw));
    tensors.set(name, { name, datatype, shape: shape.map(Number), values });
  });
  const final = response.parameters[FINAL]?.parameterChoice;
  return { outputs: tensors, final: final?.case === 'boolParam' ? final.value : undefined };
}

export function signatureFromMessages(
  metadata: ModelMetadataResponse,
  config: ModelConfig | undefined,
): ModelSignature {
  return {
    inputs: metadata.inputs.map(specOf),
    outputs: metadata.outputs.map(specOf),
    decoupled: config?.modelTransactionPolicy?.decoupled === true,
  };
}

function specOf({ name, datatype, shape }: ModelMetadataResponse_TensorMetadata): TensorSpec {
  const sizes = shape.map(Number);
  if (!isShape(sizes)) throw broken(`tensor '${name}' has the shape [${sizes.join(', ')}]`);
  return { name, datatype, shape: sizes };
}

function parameterOf(value: TensorValue): InferParameter {
  if (typeof value === 'boolean')
    return create(InferParameterSchema, { parameterChoice: { case: 'boolParam', value } });
  if (typeof value === 'string')
    return create(InferParameterSchema, { parameterChoice: { case: 'stringParam', value } });
  return Number.isSafeInteger(value)
    ? create(InferParameterSchema, { parameterChoice: { case: 'int64Param', value: BigInt(value) } })
    : create(InferParameterSchema, { parameterChoice: { case: 'doubleParam', value } });
}

function contentsOf(datatype: string, values: readonly TensorValue[]): InferTensorContents {
  const contents = create(InferTensorContentsSchema);
  switch (datatype) {
    case 'BYTES':
      contents.bytesContents = values.map((value) => Buffer.from(String(value), 'utf8'));
      break;
    case 'BOOL':
      contents.boolContents = values.map(Boolean);
      break;
    case 'INT8':
    case 'INT16':
    case 'INT32':
      contents.intContents = values.map(Number);
      break;
    case 'INT64':
      contents.int64Contents = values.map((value) => BigInt(Math.trunc(Number(value))));
      break;
    case 'UINT8':
    case 'UINT16':
    case 'UINT32':
      // Negative numbers (a seed of -1, say) wrap as they do in C.
      contents.uintContents = values.map((value) => Number(value) >>> 0);
      break;
    case 'UINT64':
      contents.uint64Contents = values.map((value) => BigInt.asUintN(64, BigInt(Math.trunc(Number(value)))));
      break;
    case 'FP32':
      contents.fp32Contents = values.map(Number);
      break;
    case 'FP64':
      contents.fp64Contents = values.map(Number);
      break;
    default:
      throw new PlatformError(
        'engine_failed',
        `the model wants data of type ${datatype}, which is not known here`,
      );
  }
  return contents;
}

/** Widths of numbers, bytes, and how one is read. */
const NUMBERS: Readonly<
  Record<string, readonly [width: number, read: (bytes: Buffer, at: number) => TensorValue]>
> = {
  BOOL: [1, (bytes, at) => bytes.readUInt8(at) !== 0],
  INT8: [1, (bytes, at) => bytes.readInt8(at)],
  INT16: [2, (bytes, at) => bytes.readInt16LE(at)],
  INT32: [4, (bytes, at) => bytes.readInt32LE(at)],
  INT64: [8, (bytes, at) => Number(bytes.readBigInt64LE(at))],
  UINT8: [1, (bytes, at) => bytes.readUInt8(at)],
  UINT16: [2, (bytes, at) => bytes.readUInt16LE(at)],
  UINT32: [4, (bytes, at) => bytes.readUInt32LE(at)],
  UINT64: [8, (bytes, at) => Number(bytes.readBigUInt64LE(at))],
  FP32: [4, (bytes, at) => bytes.readFloatLE(at)],
  FP64: [8, (bytes, at) => bytes.readDoubleLE(at)],
};

function decodeRaw(name: string, datatype: string, bytes: Buffer): TensorValue[] {
  if (datatype === 'BYTES') return decodeTexts(name, bytes);
  const known = NUMBERS[datatype];
  // A tensor that nobody reads (logits in FP16, say) may have any type.
  if (known === undefined) return [];
  const [width, read] = known;
  if (bytes.length % width !== 0)
    throw broken(`output '${name}' of type ${datatype} has ${bytes.length} bytes`);
  const count = bytes.length / width;
  if (count > TENSOR_VALUES_MAX) throw broken(`output '${name}' has more than ${TENSOR_VALUES_MAX} values`);
  return Array.from({ length: count }, (_, index) => read(bytes, index * width));
}

function decodeTexts(name: string, bytes: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 <= bytes.length ? at + 4 + bytes.readUInt32LE(at) : Number.POSITIVE_INFINITY;
    if (end > bytes.length) throw broken(`output '${name}' ends inside a text`);
    texts.push(bytes.toString('utf8', at + 4, end));
    at = end;
  }
  return texts;
}

function valuesIn(name: string, datatype: string, contents: InferTensorContents | undefined): TensorValue[] {
  if (contents === undefined) return [];
  switch (datatype) {
    case 'BYTES':
      return contents.bytesContents.map((bytes) => Buffer.from(bytes).toString('utf8'));
    case 'BOOL':
      return contents.boolContents;
    case 'INT8':
    case 'INT16':
    case 'INT32':
      return contents.intContents;
    case 'INT64':
      return contents.int64Contents.map(Number);
    case 'UINT8':
    case 'UINT16':
    case 'UINT32':
      return contents.uintContents;
    case 'UINT64':
      return contents.uint64Contents.map(Number);
    case 'FP32':
      return contents.fp32Contents;
    case 'FP64':
      return contents.fp64Contents;
    default:
      throw broken(`output '${name}' has the type ${datatype}`);
  }
}

function broken(what: string): PlatformError {
  return new PlatformError('engine_failed', `the answer of the engine can not be read: ${what}`);
}
