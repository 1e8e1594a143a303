/** Messages of the gRPC service to tensors, typed or raw, and outputs to messages, raw as Triton sends them. */

import type { InferTensorContents, ModelInferRequest } from '../kserve/proto/inference_pb.ts';
import type { GivenTensor, Value } from './check-inputs.ts';
import type { Outputs } from './generate.ts';
import { TritonError } from './triton-error.ts';

export function tensorsIn({ inputs, rawInputContents }: ModelInferRequest): GivenTensor[] {
  return inputs.map(({ name, datatype, shape, contents }, index) => {
    const raw = rawInputContents[index];
    const values = raw === undefined ? typed(datatype, contents) : fromRaw(name, datatype, Buffer.from(raw));
    return { name, datatype, shape: shape.map(Number), values };
  });
}

export function parametersIn({ parameters }: ModelInferRequest): Record<string, Value> {
  return Object.fromEntries(
    Object.entries(parameters).flatMap(
      ([
        name,
        {
          parameterChoice: { value },
        },
      ]) => (value === undefined ? [] : [[name, typeof value === 'bigint' ? Number(value) : value]]),
    ),
  );
}

export function inferMessageOf(model: string, id: string, outputs: Outputs) {
  return {
    modelName: model,
    modelVersion: '1',
    id,
    outputs: outputs.map(({ name, datatype, shape }) => ({ name, datatype, shape: shape.map(BigInt) })),
    rawOutputContents: outputs.map(toRaw),
  };
}

function typed(datatype: string, contents: InferTensorContents | undefined): Value[] {
  if (contents === undefined) return [];
  switch (datatype) {
    case 'BYTES':
      return contents.bytesContents.map((bytes) => Buffer.from(bytes).toString('utf8'));
    case 'BOOL':
      return contents.boolContents;
    case 'INT32':
      return contents.intContents;
    case 'UINT64':
      return contents.uint64Contents.map(Number);
    case 'FP32':
      return contents.fp32Contents;
    default:
      return [];
  }
}

const READS: Readonly<Record<string, readonly [width: number, read: (bytes: Buffer, at: number) => Value]>> =
  {
    BOOL: [1, (bytes, at) => bytes[at] !== 0],
    INT32: [4, (bytes, at) => bytes.readInt32LE(at)],
    UINT64: [8, (bytes, at) => Number(bytes.readBigUInt64LE(at))],
    FP32: [4, (bytes, at) => bytes.readFloatLE(at)],
  };

function fromRaw(name: string, datatype: string, bytes: Buffer): Value[] {
  const values: Value[] = [];
  if (datatype === 'BYTES') {
    for (let at = 0; at < bytes.length; ) {
      if (at + 4 > bytes.length) throw tooShort(name);
      const end = at + 4 + bytes.readUInt32LE(at);
      if (end > bytes.length) throw tooShort(name);
      values.push(bytes.toString('utf8', at + 4, end));
      at = end;
    }
    return values;
  }
  const [width, read] = READS[datatype] ?? [1, () => 0];
  for (let at = 0; at + width <= bytes.length; at += width) values.push(read(bytes, at));
  return values;
}

function tooShort(name: string): TritonError {
  return new TritonError('INVALID_ARG', `unexpected end of the raw contents of input '${name}'`);
}

function toRaw({ datatype, values }: GivenTensor): Uint8Array {
  if (datatype === 'BYTES') {
    return Buffer.concat(
      values.map((value) => {
        const text = Buffer.from(String(value), 'utf8');
        const length = Buffer.alloc(4);
        length.writeUInt32LE(text.length);
        return Buffer.concat([length, text]);
      }),
    );
  }
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => {
    if (datatype === 'FP32') bytes.writeFloatLE(Number(value), index * 4);
    else if (datatype === 'INT32') bytes.writeInt32LE(Number(value), index * 4);
    else bytes.writeUInt32LE(Number(value), index * 4);
  });
  return bytes;
}
