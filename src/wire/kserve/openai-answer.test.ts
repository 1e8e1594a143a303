import { fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyText, anyValue, validJson } from '../../../tests/support/hostile-json.ts';
import { EMBEDDING, PYTHON, TENSORRTLLM, VLLM } from '../../../tests/support/kserve-signatures.ts';
import { mustBeRefusal, mustEqual } from '../../../tests/support/must.ts';
import { PlatformError } from '../../contract/errors.ts';
import { parseSseEvents } from '../sse/parse-event.ts';
import { inferMessageOf, tensorsIn } from '../triton/grpc-tensors.ts';
import { generateBody, inferBody, readGenerateJson, readInferJson } from './infer-json.ts';
import { inferMessage, readInferMessage } from './infer-protobuf.ts';
import type { ModelSignature } from './model-signature.ts';
import { OpenAiAnswer } from './openai-answer.ts';
import { planInference } from './openai-request.ts';
import { ModelInferRequestSchema, ModelInferResponseSchema } from './proto/inference_pb.ts';
import type { InferReply, TensorValue } from './tensor.ts';

const IDENTITY = { requestId: 'r1', createdS: 1_700_000_000, model: 'm' };

const reply = (outputs: Record<string, TensorValue[]>): InferReply => ({
  final: undefined,
  outputs: new Map(
    Object.entries(outputs).map(([name, values]) => [
      name,
      { name, datatype: 'BYTES', shape: [values.length], values },
    ]),
  ),
});

function answerFor(
  signature: ModelSignature,
  fields: object,
  where: 'completions' | 'embeddings' = 'completions',
) {
  const plan = planInference(where, fields as never, signature, undefined);
  return new OpenAiAnswer(plan, signature, IDENTITY);
}

describe('answers of models', () => {
  it('become a completion with usage and the reason for its end', () => {
    const whole = answerFor(VLLM, { prompt: 'Once', echo: true }).whole([
      reply({
        text_output: [' upon'],
        finish_reason: ['length'],
        num_input_tokens: [1],
        num_output_tokens: [2],
      }),
    ]);
    expect(whole).toEqual({
      id: 'cmpl-r1',
      object: 'text_completion',
      created: 1_700_000_000,
      model: 'm',
      choices: [{ index: 0, logprobs: null, finish_reason: 'length', text: 'Once upon' }],
      usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
    });
  });

  it('are taken for complete where the model does not say: at the limit "length", else "stop"', () => {
    const finish = (tokens: TensorValue[]) => {
      const answer = answerFor(TENSORRTLLM, { prompt: 'a', max_tokens: 4 });
      const [end] = parseSseEvents(
        answer.events(reply({ text_output: ['x'], num_output_tokens: tokens })) + answer.closing(),
      ).slice(1);
      return JSON.parse(end?.data ?? '{}').choices[0].finish_reason;
    };
    expect([finish([4]), finish([3]), finish([])]).toEqual(['length', 'stop', 'stop']);
  });

  it('are not complete when the engine gave up in the middle', () => {
    expect(() =>
      answerFor(VLLM, { prompt: 'a' }).whole([reply({ text_output: ['x'], finish_reason: ['abort'] })]),
    ).toThrow(PlatformError);
  });

  it('lose the prompt where the model cannot leave it out', () => {
    const whole = answerFor(PYTHON, { prompt: 'Once' }).whole([reply({ text_output: ['Once upon'] })]);
    expect(whole).toMatchObject({ choices: [{ text: ' upon' }] });
    expect(whole).not.toHaveProperty('usage');
  });

  it('become vectors, as floats and as base64', () => {
    const vector = [0.5, -1.25, 3];
    for (const [signature, values] of [
      [EMBEDDING, { EMBEDDING: vector }],
      [VLLM, { text_output: [JSON.stringify(vector)] }],
    ] as const) {
      const floats = answerFor(signature, { input: ['a', 'b'] }, 'embeddings').whole([
        reply(values as never),
        reply(values as never),
      ]);
      expect(floats).toMatchObject({
        data: [
          { index: 0, embedding: vector },
          { index: 1, embedding: vector },
        ],
      });
      const base64 = answerFor(signature, { input: 'a', encoding_format: 'base64' }, 'embeddings').whole([
        reply(values as never),
      ]) as { data: { embedding: string }[] };
      const bytes = Buffer.from(base64.data[0]?.embedding ?? '', 'base64');
      expect([0, 4, 8].map((at) => bytes.readFloatLE(at))).toEqual(vector);
    }
    expect(() =>
      answerFor(EMBEDDING, { input: 'a', dimensions: 2 }, 'embeddings').whole([reply({ EMBEDDING: vector })]),
    ).toThrow(/dimensions: found 2; expected 3/);
  });

  it('join to the same text, whole and streamed, however they are cut (10,000 cases)', () => {
    const pieces = fc.array(anyText(6), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(pieces, fc.boolean(), (texts, echo) => {
        const replies = texts.map((text, index) =>
          reply({
            text_output: [text],
            finish_reason: [index === texts.length - 1 ? 'stop' : 'None'],
            num_output_tokens: [1],
          }),
        );
        const whole = answerFor(VLLM, { prompt: 'P', echo }).whole(replies) as {
          choices: { text: string }[];
        };
        const answer = answerFor(VLLM, { prompt: 'P', echo, stream: true });
        const events = parseSseEvents(replies.map((one) => answer.events(one)).join('') + answer.closing());
        mustEqual(events.at(-1)?.data, '[DONE]');
        const chunks = events.slice(0, -1).map(({ data }) => JSON.parse(data));
        mustEqual(chunks.map(({ choices }) => choices[0]?.text ?? '').join(''), whole.choices[0]?.text);
        mustEqual(chunks.filter(({ choices }) => choices[0]?.finish_reason !== null).length, 1);
      }),
      { numRuns: 10_000 },
    );
  });
});

describe('what an engine sends', () => {
  it('is read or refused with a typed error, as JSON (10,000 cases)', () => {
    const output = fc.record(
      { name: anyValue, datatype: anyValue, shape: anyValue, data: anyValue },
      { requiredKeys: [] },
    );
    const body = fc.oneof(
      anyText(10),
      validJson,
      fc
        .record({ outputs: fc.oneof(fc.array(output, { maxLength: 3 }), anyValue) })
        .map((value) => JSON.stringify(value, (_key, item) => (typeof item === 'bigint' ? 1 : item)) ?? ''),
    );
    fc.assert(
      fc.property(body, (text) => {
        for (const read of [readInferJson, readGenerateJson]) {
          try {
            const found = read(text);
            answerFor(VLLM, { prompt: 'a' }).events(found);
          } catch (thrown) {
            mustBeRefusal(thrown, 'engine_failed');
          }
        }
      }),
      { numRuns: 10_000 },
    );
  });

  // Bug: "Cannot convert object to primitive value".
  it('may say a shape of objects, which is not read', () => {
    const output = { name: 'text_output', datatype: 'BYTES', shape: [{ toString: 'x' }], data: ['a'] };
    expect(readInferJson(JSON.stringify({ outputs: [output] })).outputs.get('text_output')?.values).toEqual([
      'a',
    ]);
  });

  it('is read or refused with a typed error, as a message (10,000 cases)', () => {
    const types = fc.constantFrom('BYTES', 'FP32', 'INT32', 'UINT64', 'BOOL', 'FP16', 'what');
    const output = fc.record({ name: fc.constantFrom('text_output', 'x', '__proto__'), datatype: types });
    fc.assert(
      fc.property(
        fc.array(output, { maxLength: 3 }),
        fc.array(fc.uint8Array({ maxLength: 12 }), { maxLength: 3 }),
        (outputs, raw) => {
          const bytes = toBinary(ModelInferResponseSchema, {
            $typeName: 'inference.ModelInferResponse',
            modelName: 'm',
            modelVersion: '1',
            id: '',
            parameters: {},
            outputs: outputs.map((one) => ({
              $typeName: 'inference.ModelInferResponse.InferOutputTensor' as const,
              ...one,
              shape: [1n],
              parameters: {},
            })),
            rawOutputContents: raw as Uint8Array<ArrayBuffer>[],
          });
          try {
            answerFor(VLLM, { prompt: 'a' }).events(
              readInferMessage(fromBinary(ModelInferResponseSchema, bytes)),
            );
          } catch (thrown) {
            mustBeRefusal(thrown, 'engine_failed');
          }
        },
      ),
      { numRuns: 10_000 },
    );
  });
});

describe('requests', () => {
  const text = anyText(10);
  const fields = fc.record({
    prompt: text,
    stop: fc.array(anyText(5, 1), { minLength: 1, maxLength: 3 }),
    seed: fc.nat(),
    temperature: fc.float({ min: Math.fround(0.01), max: 2, noNaN: true }),
    max_tokens: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  });

  it('arrive at a Triton as they were meant, over gRPC and as JSON (10,000 cases)', () => {
    fc.assert(
      fc.property(fields, (given) => {
        const [request] = planInference('completions', given, TENSORRTLLM, undefined).requests;
        if (request === undefined) throw new Error('no request');
        const bytes = toBinary(ModelInferRequestSchema, inferMessage('m', 'r', request, true));
        const arrived = new Map(
          tensorsIn(fromBinary(ModelInferRequestSchema, bytes)).map((tensor) => [tensor.name, tensor]),
        );
        mustEqual(arrived.get('text_input')?.values, [given.prompt]);
        mustEqual(arrived.get('stop_words')?.values, given.stop);
        mustEqual(arrived.get('seed')?.values, [given.seed]);
        mustEqual(arrived.get('max_tokens')?.values, [given.max_tokens]);
        mustEqual(arrived.get('temperature')?.values, [Math.fround(given.temperature)]);
        const long = JSON.parse(inferBody('r', request));
        const short = JSON.parse(generateBody('r', request));
        for (const { name, data } of long.inputs) mustEqual(data.length === 1 ? data[0] : data, short[name]);
        mustEqual(short.text_input, given.prompt);
      }),
      { numRuns: 10_000 },
    );
  });

  it('come back from raw contents byte for byte (10,000 cases)', () => {
    fc.assert(
      fc.property(
        fc.array(text, { minLength: 1, maxLength: 4 }),
        fc.array(fc.float({ noNaN: true }), { minLength: 1, maxLength: 4 }),
        (texts, floats) => {
          const message = inferMessageOf('m', 'r', [
            { name: 'T', datatype: 'BYTES', shape: [texts.length], values: texts },
            { name: 'F', datatype: 'FP32', shape: [floats.length], values: floats },
          ]);
          const { outputs } = readInferMessage({ ...message, parameters: {} } as never);
          mustEqual(outputs.get('T')?.values, texts);
          mustEqual(outputs.get('F')?.values, floats);
        },
      ),
      { numRuns: 10_000 },
    );
  });
});
