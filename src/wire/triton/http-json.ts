/** Bodies of Triton's HTTP side: requests to tensors, outputs to JSON, in the long form of `/infer` and the short one of `/generate`. */
import { isRecord } from '../json/parse-object.ts';
import { textFrom } from '../json/scalars.ts';
import type { GivenTensor, Value } from './check-inputs.ts';
import type { Outputs } from './generate.ts';
import { CONFIG_TYPES, dimsOf, type ModelDeclaration } from './model-declaration.ts';
import { TritonError } from './triton-error.ts';

export interface HttpRequest {
  id: string;
  tensors: GivenTensor[];
  parameters: Record<string, Value>;
  /** Names of the outputs that were asked for; empty: all. */
  wanted: string[];
}

/** Throws `TritonError`. */
export function readInferRequest(body: Buffer): HttpRequest {
  const value = parseBody(body);
  if (!Array.isArray(value.inputs))
    throw invalid("Unable to parse 'inputs': attempt to access non-existing object member 'inputs'");
  const tensors = value.inputs.map((input: unknown) => {
    const { name, datatype, shape, data } = isRecord(input) ? input : {};
    if (typeof name !== 'string') throw invalid("Unable to parse 'name'");
    if (typeof datatype !== 'string') throw invalid(`Unable to parse 'datatype' of input '${name}'`);
    if (!Array.isArray(shape) || !shape.every((size) => Number.isInteger(size)))
      throw invalid(`Unable to parse 'shape' of input '${name}'`);
    if (!Array.isArray(data)) throw invalid(`Unable to parse 'data' of input '${name}'`);
    return { name, datatype, shape, values: valuesOf(name, datatype, data.flat(8)) };
  });
  const wanted = Array.isArray(value.outputs) ? value.outputs : [];
  return {
    id: typeof value.id === 'string' ? value.id : '',
    tensors,
    parameters: parametersOf(value.parameters),
    wanted: wanted.flatMap((output: unknown) => (isRecord(output) ? [textFrom(output.name)] : [])),
  };
}

/** Keys that the model has as inputs become tensors, others parameters; so do those inside `parameters`. */
export function readGenerateRequest(body: Buffer, declaration: ModelDeclaration): HttpRequest {
  const value = parseBody(body);
  const request: HttpRequest = { id: '', tensors: [], parameters: {}, wanted: [] };
  const take = (fields: Record<string, unknown>) => {
    for (const [name, found] of Object.entries(fields)) {
      const declared = declaration.inputs.find((input) => input.name === name);
      if (declared !== undefined) {
        const values = valuesOf(name, declared.datatype, Array.isArray(found) ? found : [found]);
        request.tensors.push({
          name,
          datatype: declared.datatype,
          shape: fit(name, declared.shape, values),
          values,
        });
      } else if (name === 'id') request.id = textFrom(found);
      else if (name === 'parameters' && isRecord(found)) take(found);
      else Object.assign(request.parameters, parametersOf({ [name]: found }));
    }
  };
  take(value);
  return request;
}

export function inferResponse(
  model: string,
  id: string,
  outputs: Outputs,
  wanted: readonly string[],
): object {
  return {
    ...(id !== '' && { id }),
    model_name: model,
    model_version: '1',
    outputs: outputs
      .filter(({ name }) => wanted.length === 0 || wanted.includes(name))
      .map(({ name, datatype, shape, values }) => ({ name, datatype, shape, data: values })),
  };
}

export function generateResponse(model: string, id: string, outputs: Outputs): object {
  const tensors = outputs.map(({ name, values }) => [name, values.length === 1 ? values[0] : values]);
  return { ...(id !== '' && { id }), model_name: model, model_version: '1', ...Object.fromEntries(tensors) };
}

export function metadataJson(model: string, { backend, inputs, outputs }: ModelDeclaration): object {
  const show = ({ name, datatype, shape }: ModelDeclaration['inputs'][number]) => ({ name, datatype, shape });
  return {
    name: model,
    versions: ['1'],
    platform: backend === '' ? 'ensemble' : backend,
    inputs: inputs.map(show),
    outputs: outputs.map(show),
  };
}

export function configJson(model: string, declaration: ModelDeclaration): object {
  const { backend, decoupled, maxBatchSize, inputs, outputs } = declaration;
  const show = (tensor: ModelDeclaration['inputs'][number]) => ({
    name: tensor.name,
    data_type: CONFIG_TYPES[tensor.datatype]?.[0] ?? 'TYPE_INVALID',
    dims: dimsOf(declaration, tensor),
  });
  return {
    name: model,
    platform: backend === '' ? 'ensemble' : '',
    backend,
    version_policy: { latest: { num_versions: 1 } },
    max_batch_size: maxBatchSize,
    input: inputs.map((tensor) => ({ ...show(tensor), optional: tensor.optional === true })),
    output: outputs.map(show),
    ...(decoupled && { model_transaction_policy: { decoupled } }),
  };
}

function parseBody(body: Buffer): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(body.length === 0 ? '{}' : body.toString('utf8'));
  } catch (error) {
    throw invalid(`failed to parse the request JSON buffer: ${(error as Error).message}`);
  }
  if (!isRecord(value)) throw invalid('failed to parse the request JSON buffer: no object');
  return value;
}

function valuesOf(name: string, datatype: string, data: readonly unknown[]): Value[] {
  const wanted = datatype === 'BYTES' ? 'string' : datatype === 'BOOL' ? 'boolean' : 'number';
  for (const item of data) {
    if (typeof item !== wanted)
      throw invalid(
        `Unable to parse 'data': attempt to access JSON non-${wanted} as ${wanted} of input '${name}'`,
      );
  }
  return data as Value[];
}

function parametersOf(value: unknown): Record<string, Value> {
  const parameters: Record<string, Value> = {};
  for (const [name, found] of Object.entries(isRecord(value) ? value : {})) {
    if (typeof found !== 'string' && typeof found !== 'number' && typeof found !== 'boolean')
      throw invalid(`parameter '${name}' has invalid type. It should be either 'int', 'bool', or 'string'.`);
    parameters[name] = found;
  }
  return parameters;
}

/** As Triton: fixed sizes take their share, the innermost free one the rest. */
function fit(name: string, declared: readonly number[], values: readonly Value[]): number[] {
  let left = values.length;
  for (const size of declared) if (size !== -1) left /= size;
  const shape = [...declared];
  for (let index = shape.length - 1; index >= 0; index--) {
    if (shape[index] !== -1) continue;
    shape[index] = left;
    left = 1;
  }
  if (left !== 1) throw invalid(`The schema can not convert input '${name}' to tensor with proper shape`);
  return shape;
}

function invalid(message: string): TritonError {
  return new TritonError('INVALID_ARG', message);
}
