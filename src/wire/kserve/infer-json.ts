/**
 * Inference requests and answers as JSON: `/v2/models/{m}/infer` of the protocol, and the shorter form of Triton's
 * `/generate` and `/generate_stream`, in which each tensor is a key. Answers come from engines, so each is checked; what can
 * not be read is a PlatformError `engine_failed`.
 */
import { PlatformError } from '../../contract/errors.ts';
import { isRecord, showFound } from '../json/parse-object.ts';
import { numberFrom } from '../json/scalars.ts';
import {
  type InferReply,
  type InferRequest,
  TENSOR_VALUES_MAX,
  type Tensor,
  type TensorValue,
} from './tensor.ts';

export function inferBody(id: string, { inputs, parameters }: InferRequest): string {
  return JSON.stringify({
    id,
    ...(Object.keys(parameters).length > 0 && { parameters }),
    inputs: inputs.map(({ name, datatype, shape, values }) => ({ name, datatype, shape, data: values })),
  });
}

export function generateBody(id: string, { inputs, parameters }: InferRequest): string {
  const tensors = inputs.map(({ name, values }) => [name, values.length === 1 ? values[0] : values]);
  return JSON.stringify({
    id,
    ...Object.fromEntries(tensors),
    ...(Object.keys(parameters).length > 0 && { parameters }),
  });
}

/** The answer of `/infer`. */
export function readInferJson(body: string): InferReply {
  const value = parseObject(body);
  if (!Array.isArray(value.outputs)) throw broken(`\`outputs\` is ${showFound(value.outputs)}`);
  const outputs = new Map<string, Tensor>();
  for (const output of value.outputs as unknown[]) {
    if (!isRecord(output) || typeof output.name !== 'string') throw broken('an output has no name');
    const { name, datatype, shape } = output;
    if (typeof datatype !== 'string' || !Array.isArray(shape))
      throw broken(`output '${name}' has no datatype or shape`);
    const values = valuesOf(name, output.data);
    outputs.set(name, { name, datatype, shape: shape.map(numberFrom), values });
  }
  return { outputs, final: undefined };
}

/** The answer of `/generate`, or one event of `/generate_stream`: types are those of JSON, shapes are not said. */
export function readGenerateJson(body: string): InferReply {
  const value = parseObject(body);
  const outputs = new Map<string, Tensor>();
  for (const [name, found] of Object.entries(value)) {
    if (NOT_TENSORS.includes(name) || found === null || isRecord(found)) continue;
    const values = valuesOf(name, Array.isArray(found) ? found : [found]);
    const datatype =
      typeof values[0] === 'string' ? 'BYTES' : typeof values[0] === 'boolean' ? 'BOOL' : 'FP64';
    outputs.set(name, { name, datatype, shape: [values.length], values });
  }
  return { outputs, final: value.triton_final_response === true ? true : undefined };
}

/** What an event or body says is wrong; null when it is an answer. */
export function errorIn(body: string): string | null {
  try {
    const value: unknown = JSON.parse(body);
    return isRecord(value) && typeof value.error === 'string' ? value.error : null;
  } catch {
    return null;
  }
}

const NOT_TENSORS = ['id', 'model_name', 'model_version', 'parameters', 'triton_final_response'];

function valuesOf(name: string, data: unknown): TensorValue[] {
  if (!Array.isArray(data)) throw broken(`output '${name}' has no data`);
  // Servers may nest data by its shape.
  const flat: unknown[] = data.some(Array.isArray) ? data.flat(16) : data;
  if (flat.length > TENSOR_VALUES_MAX)
    throw broken(`output '${name}' has more than ${TENSOR_VALUES_MAX} values`);
  for (const item of flat) {
    if (typeof item !== 'string' && typeof item !== 'number' && typeof item !== 'boolean')
      throw broken(`output '${name}' holds ${showFound(item)}`);
  }
  return flat as TensorValue[];
}

function parseObject(body: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    throw broken((error as Error).message);
  }
  if (!isRecord(value)) throw broken(`it is ${showFound(value)}`);
  return value;
}

function broken(what: string): PlatformError {
  return new PlatformError('engine_failed', `the answer of the engine can not be read: ${what}`);
}
