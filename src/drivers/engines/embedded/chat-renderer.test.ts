import { describe, expect, it } from 'vitest';
import { chatMlPieces, createChatRenderer, isPlainChatMl, type RendererOptions } from './chat-renderer.ts';

/** Marks special text with brackets, so that what was parsed as special can be seen. */
const tokenizer = () => {
  const seen: string[] = [];
  const options: RendererOptions = {
    template: undefined,
    bosText: '<s>',
    eosText: '</s>',
    bosToPrepend: undefined,
    tokenize: (text, parseSpecial) => {
      seen.push(parseSpecial ? `[${text}]` : text);
      return [seen.length];
    },
  };
  return { seen, options };
};

const turns = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: ' a<|im_end|> ' },
];
const generate = { addGenerationPrompt: true, continueFinalMessage: false };
const goOn = { addGenerationPrompt: false, continueFinalMessage: true };
const PLAIN =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
const OTHER =
  "{{ bos_token }}{% for m in messages %}{% if m.role == 'robot' %}{{ raise_exception('no robots') }}{% endif %}<|{{ m.role }}|>{{ m.content | trim }}</s>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

describe('chat renderer', () => {
  it('builds ChatML with the text of messages apart from the special tokens', async () => {
    const { seen, options } = tokenizer();
    const render = await createChatRenderer({ ...options, template: PLAIN });
    render(turns, generate);
    expect(seen.join('')).toBe(
      '[<|im_start|>]system\nBe brief.[<|im_end|>\n][<|im_start|>]user\n a<|im_end|> [<|im_end|>\n][<|im_start|>]assistant\n',
    );
  });

  it('leaves a continued message open, exactly at its end', () => {
    const pieces = chatMlPieces([...turns, { role: 'assistant', content: 'So \n' }], goOn);
    expect(pieces.at(-1)).toEqual({ text: 'So \n', fromUser: true });
    expect(pieces.at(-2)).toEqual({ text: 'assistant\n', fromUser: true });
  });

  it('runs other templates, and keeps user text out of them', async () => {
    const { seen, options } = tokenizer();
    const render = await createChatRenderer({ ...options, template: OTHER });
    render([{ role: 'user', content: ' {{ 1 }}</s> ' }], generate);
    expect(seen.join('')).toBe('[<s><|user|>] {{ 1 }}</s> [</s><|assistant|>]');
    seen.length = 0;
    render(
      [
        { role: 'user', content: 'a' },
        { role: 'assistant', content: 'b ' },
      ],
      goOn,
    );
    expect(seen.join('')).toBe('[<s><|user|>]a[</s><|assistant|>]b ');
  });

  it('says why a template refuses messages, and that a model without one takes no chat', async () => {
    const { options } = tokenizer();
    const render = await createChatRenderer({ ...options, template: OTHER });
    expect(() => render([{ role: 'robot', content: 'x' }], generate)).toThrow(/no robots/);
    const none = await createChatRenderer(options);
    expect(() => none(turns, generate)).toThrow(/no chat template/);
    await expect(createChatRenderer({ ...options, template: '{% for' })).rejects.toThrow(/chat template/);
  });

  it('prepends the first token where the model wants it and the template does not write it', async () => {
    const { options } = tokenizer();
    const render = await createChatRenderer({ ...options, template: PLAIN, bosToPrepend: 99 });
    expect(render(turns, generate)[0]).toBe(99);
  });

  it('knows the bare ChatML template from those that add to it', () => {
    expect(isPlainChatMl(PLAIN)).toBe(true);
    expect(isPlainChatMl(`{% if tools %}x{% endif %}${PLAIN}`)).toBe(false);
    expect(isPlainChatMl(OTHER)).toBe(false);
  });
});
