import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyText, anyValue, jsonObject, jsonValue } from '../../../tests/support/hostile-json.ts';
import { EMBEDDING, PYTHON, TENSORRTLLM, VLLM } from '../../../tests/support/kserve-signatures.ts';
import { mustBeRefusal, mustEqual } from '../../../tests/support/must.ts';
import { PlatformError } from '../../contract/errors.ts';
import { chatPrompt, chatTemplateFault } from './chat-prompt.ts';
import { BUILT_IN_TEMPLATES } from './chat-templates.ts';
import { conventionOf, type ModelSignature, signatureFromJson } from './model-signature.ts';
import { planInference } from './openai-request.ts';
import { type Tensor, tensorOf } from './tensor.ts';

const chatml = BUILT_IN_TEMPLATES.chatml!;
const tensorsOf = (signature: ModelSignature, fields: object) =>
  new Map(
    planInference('completions', fields as never, signature, undefined).requests[0]?.inputs.map(
      (tensor): [string, Tensor] => [tensor.name, tensor],
    ),
  );

describe('a request for text', () => {
  it('fills the shapes that the model declares', () => {
    const tensors = tensorsOf(TENSORRTLLM, {
      prompt: 'a',
      stop: ['x', 'y', 'z'],
      seed: 7,
      temperature: 0.25,
    });
    expect(tensors.get('text_input')).toMatchObject({ datatype: 'BYTES', shape: [1, 1], values: ['a'] });
    expect(tensors.get('stop_words')).toMatchObject({ shape: [1, 3], values: ['x', 'y', 'z'] });
    expect(tensors.get('seed')).toMatchObject({ datatype: 'UINT64', shape: [1, 1], values: [7] });
  });

  it('puts JSON into JSON for structured output, as the vLLM backend reads it', () => {
    const schema = { type: 'object' };
    const response_format = { type: 'json_schema', json_schema: { name: 'a', schema } };
    const sampling = tensorsOf(VLLM, { prompt: 'a', response_format }).get('sampling_parameters');
    const { structured_outputs } = JSON.parse(String(sampling?.values[0]));
    expect(JSON.parse(structured_outputs)).toEqual({ json: schema });
  });

  it('asks TensorRT-LLM for the best token alone at temperature 0, whatever top_k says', () => {
    const tensors = tensorsOf(TENSORRTLLM, { prompt: 'a', temperature: 0, top_k: 50 });
    expect(tensors.get('top_k')?.values).toEqual([1]);
    expect(tensors.has('temperature')).toBe(false);
  });

  it('finds the text input of models of others', () => {
    const kserve = signatureFromJson(
      {
        inputs: [{ name: 'input-0', datatype: 'BYTES', shape: ['-1'] }],
        outputs: [{ name: 'output-0', datatype: 'BYTES', shape: [-1] }],
      },
      undefined,
    );
    expect(conventionOf(kserve)).toBe('text');
    expect(tensorsOf(kserve, { prompt: 'a' }).get('input-0')).toMatchObject({ shape: [1], values: ['a'] });
  });

  it('says what a model is that takes no text', () => {
    const image: ModelSignature = {
      decoupled: false,
      inputs: [{ name: 'PIXELS', datatype: 'FP32', shape: [-1, 3] }],
      outputs: [{ name: 'LABEL', datatype: 'INT32', shape: [1] }],
    };
    expect(() => conventionOf(image)).toThrow(/takes PIXELS FP32 and gives LABEL INT32/);
    expect(() => planInference('completions', { prompt: 'a' }, EMBEDDING, undefined)).toThrow(/embeddings/);
    expect(() => planInference('embeddings', { input: 'a' }, PYTHON, undefined)).toThrow(/no vectors/);
  });

  it('throws nothing but a PlatformError, for any fields and any model (10,000 cases)', () => {
    const names = [
      'prompt',
      'messages',
      'stop',
      'seed',
      'temperature',
      'max_tokens',
      'tools',
      'n',
      'input',
      'response_format',
      'guided_choice',
      'structured_outputs',
      'logprobs',
      'encoding_format',
      'dimensions',
      'stream_options',
      'continue_final_message',
      'chat_template_kwargs',
    ];
    const fields = jsonObject(jsonValue(3), { maxKeys: 6, keys: fc.constantFrom(...names) });
    const spec = fc.record({
      name: fc.constantFrom(
        'text_input',
        'sampling_parameters',
        'max_tokens',
        'stop_words',
        'stream',
        'seed',
        'x',
        '__proto__',
      ),
      datatype: fc.constantFrom('BYTES', 'FP32', 'BOOL', 'INT32', 'UINT64', 'what'),
      shape: fc.array(fc.constantFrom(-1, 1, 2), { maxLength: 3 }),
    });
    const signature = fc.record({
      inputs: fc.array(spec, { maxLength: 6 }),
      outputs: fc.array(spec, { maxLength: 3 }),
      decoupled: fc.boolean(),
    });
    const any = fc.oneof(fc.constantFrom(VLLM, TENSORRTLLM, PYTHON, EMBEDDING), signature);
    const endpoint = fc.constantFrom('chat' as const, 'completions' as const, 'embeddings' as const);
    fc.assert(
      fc.property(endpoint, fields, any, (where, given, model) => {
        try {
          const messages = Array.isArray(given.messages) ? given.messages : [];
          const plan = planInference(where, { ...given, messages }, model, chatml);
          for (const { inputs } of plan.requests)
            for (const { shape, values } of inputs)
              mustEqual(
                values.length,
                shape.reduce((product, size) => product * size, 1),
              );
        } catch (thrown) {
          if (!(thrown instanceof PlatformError)) throw thrown;
        }
      }),
      { numRuns: 10_000 },
    );
  });
});

describe('metadata of a model', () => {
  it('is read or refused, whatever it is (10,000 cases)', () => {
    const tensor = fc.record({ name: anyValue, datatype: anyValue, shape: anyValue });
    const tensors = fc.array(tensor, { maxLength: 3 });
    const metadata = fc.oneof(anyValue, fc.record({ inputs: fc.oneof(tensors, anyValue), outputs: tensors }));
    fc.assert(
      fc.property(metadata, anyValue, (found, config) => {
        try {
          const { inputs } = signatureFromJson(found, config);
          for (const { shape } of inputs) mustEqual(shape.every(Number.isInteger), true);
        } catch (thrown) {
          mustBeRefusal(thrown, 'engine_failed');
        }
      }),
      { numRuns: 10_000 },
    );
  });

  // Bug: "Cannot convert object to primitive value", found by the property above.
  it('refuses a size that is an object, whatever its methods', () => {
    const input = { name: 'x', datatype: 'INT32', shape: [{ toString: 'y' }] };
    expect(() => signatureFromJson({ inputs: [input], outputs: [] }, undefined)).toThrow(
      /no name, datatype or shape/,
    );
  });

  it('refuses a shape that values do not fit', () => {
    const spec = { name: 'x', datatype: 'INT32', shape: [2, -1] };
    expect(tensorOf(spec, [1, 2, 3, 4]).shape).toEqual([2, 2]);
    expect(() => tensorOf(spec, [1, 2, 3])).toThrow(/shape \[2, -1\]/);
  });
});

describe('chat templates', () => {
  const messages = [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Hi' },
    { role: 'assistant', content: 'Ho' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'A' },
        { type: 'text', text: 'B' },
      ],
    },
  ];

  it.each([
    [
      'chatml',
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>\n<|im_start|>user\nAB<|im_end|>\n<|im_start|>assistant\n',
    ],
    [
      'llama3',
      '<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHo<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAB<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n',
    ],
    ['mistral', '[INST] Be brief.\n\nHi [/INST] Ho</s>[INST] AB [/INST]'],
    ['plain', 'system: Be brief.\nuser: Hi\nassistant: Ho\nuser: AB\nassistant:'],
  ])('write a chat as %s does', (name, expected) => {
    expect(chatPrompt(BUILT_IN_TEMPLATES[name]!, { messages })).toBe(expected);
  });

  it('set an answer that goes on behind the open turn, untrimmed', () => {
    const open = [...messages, { role: 'assistant', content: ' and then \n' }];
    for (const template of Object.values(BUILT_IN_TEMPLATES)) {
      const prompt = chatPrompt(template, {
        messages: open,
        continue_final_message: true,
        add_generation_prompt: false,
      });
      expect(prompt).toBe(`${chatPrompt(template, { messages })} and then \n`);
    }
  });

  it('are told of kwargs, and their refusal is the answer', () => {
    const source =
      "{% if not thinking %}{{ raise_exception('no thinking') }}{% endif %}{{ messages[0].content }}";
    const template = { source, eosToken: '' };
    expect(chatPrompt(template, { messages, chat_template_kwargs: { thinking: true } })).toBe('Be brief.');
    expect(() => chatPrompt(template, { messages })).toThrow(/refuses them: no thinking/);
    expect(chatTemplateFault({ source: '{% if %}', eosToken: '' })).not.toBeNull();
  });

  it('hold every text of a message as it is (10,000 cases)', () => {
    const turn = fc.record({
      role: fc.constantFrom('user', 'assistant'),
      content: anyText(10),
    });
    fc.assert(
      fc.property(fc.array(turn, { minLength: 1, maxLength: 4 }), fc.boolean(), (turns, goesOn) => {
        const prompt = chatPrompt(chatml, { messages: turns, continue_final_message: goesOn });
        let from = 0;
        for (const { content } of turns) {
          const at = prompt.indexOf(content, from);
          mustEqual(at >= 0, true);
          from = at + content.length;
        }
        if (goesOn && turns.at(-1)?.role === 'assistant')
          mustEqual(prompt.endsWith(turns.at(-1)!.content), true);
      }),
      { numRuns: 10_000 },
    );
  });
});
