/** For tests: signatures of the models that the simulated Triton serves. */
import type { ModelSignature } from '../../src/wire/kserve/model-signature.ts';
import {
  DECLARATIONS,
  type DeclaredTensor,
  type ModelDeclaration,
} from '../../src/wire/triton/model-declaration.ts';

const specOf = ({ name, datatype, shape }: DeclaredTensor) => ({ name, datatype, shape: [...shape] });

function signatureOf({ decoupled, inputs, outputs }: ModelDeclaration): ModelSignature {
  return { decoupled, inputs: inputs.map(specOf), outputs: outputs.map(specOf) };
}

export const VLLM = signatureOf(DECLARATIONS.vllm);
export const TENSORRTLLM = signatureOf(DECLARATIONS.tensorrtllm);
export const PYTHON = signatureOf(DECLARATIONS.python);
export const EMBEDDING = signatureOf(DECLARATIONS.embedding);
