/** Inputs of a request against what the model declares, refused in Triton's words. */
import type { ModelDeclaration } from './model-declaration.ts';
import { TritonError } from './triton-error.ts';

export type Value = string | number | boolean;

export interface GivenTensor {
  name: string;
  datatype: string;
  shape: readonly number[];
  values: readonly Value[];
}

export type Inputs = ReadonlyMap<string, GivenTensor>;

export function checkInputs(
  model: string,
  declaration: ModelDeclaration,
  given: readonly GivenTensor[],
): Inputs {
  const inputs = new Map<string, GivenTensor>();
  for (const tensor of given) {
    const { name, datatype, shape, values } = tensor;
    const declared = declaration.inputs.find((input) => input.name === name);
    if (declared === undefined)
      throw new TritonError('INVALID_ARG', `unexpected inference input '${name}' for model '${model}'`);
    if (datatype !== declared.datatype) {
      const expected = `but model '${model}' expects '${declared.datatype}'`;
      throw new TritonError(
        'INVALID_ARG',
        `inference input '${name}' data-type is '${datatype}', ${expected}`,
      );
    }
    const fits =
      shape.length === declared.shape.length &&
      shape.every((size, index) => declared.shape[index] === -1 || declared.shape[index] === size);
    if (!fits) {
      const text = `unexpected shape for input '${name}' for model '${model}'. Expected [${declared.shape.join(',')}], got [${shape.join(',')}]`;
      throw new TritonError('INVALID_ARG', text);
    }
    const count = shape.reduce((product, size) => product * size, 1);
    if (count !== values.length) {
      const text = `unexpected total byte size ${values.length} for input '${name}', expecting ${count}`;
      throw new TritonError('INVALID_ARG', text);
    }
    inputs.set(name, tensor);
  }
  const missing = declaration.inputs.filter(({ name, optional }) => optional !== true && !inputs.has(name));
  if (missing.length > 0) {
    const list = (names: readonly string[]) => names.map((name) => `'${name}'`).join(',');
    throw new TritonError(
      'INVALID_ARG',
      `expected ${declaration.inputs.length} inputs but got ${given.length} inputs for model '${model}'. Got input(s) [${list([...inputs.keys()])}], but missing required input(s) [${list(missing.map(({ name }) => name))}]. Please provide all required input(s).`,
    );
  }
  return inputs;
}

export function textIn(inputs: Inputs, name: string): string | undefined {
  const value = inputs.get(name)?.values[0];
  return typeof value === 'string' ? value : undefined;
}

export function flagIn(inputs: Inputs, name: string): boolean {
  return inputs.get(name)?.values[0] === true;
}

export function valueIn(inputs: Inputs, name: string): Value | undefined {
  return inputs.get(name)?.values[0];
}
