import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { renderChat } from './chat-template.ts';
import { advance, advanceAll, initialState, nextToken } from './next-token.ts';
import { decode, END_OF_TURN, encode } from './tokenizer.ts';

const MODEL_SEED = 7;

function generate(
  prompt: readonly number[],
  count: number,
  noise: (position: number) => number = () => 0,
): number[] {
  let state = advanceAll(initialState(MODEL_SEED), prompt);
  const tokens: number[] = [];
  while (tokens.length < count) {
    const options = { meanTokens: 100, mayEnd: false, noise: noise(prompt.length + tokens.length) };
    const token = nextToken(state, options);
    tokens.push(token);
    state = advance(state, token);
  }
  return tokens;
}

const promptOf = (text: string) =>
  renderChat([{ role: 'user', content: text }], { addGenerationPrompt: true, continueFinalMessage: false });
const continuedPromptOf = (text: string, answer: string) =>
  renderChat(
    [
      { role: 'user', content: text },
      { role: 'assistant', content: answer },
    ],
    { addGenerationPrompt: false, continueFinalMessage: true },
  );

/** True where the bytes of the first `count` tokens are whole characters. */
function wholeAt(tokens: readonly number[], count: number): boolean {
  return !Buffer.from(decode(tokens.slice(0, count)))
    .toString('utf8')
    .endsWith('\ufffd');
}

const text = fc.string({ unit: 'grapheme', maxLength: 40 });

describe('nextToken', () => {
  it('writes text that is cut into the same tokens again, whole and at every border between characters', () => {
    fc.assert(
      fc.property(text, (question) => {
        const tokens = generate(promptOf(question), 120);
        for (let count = 0; count <= tokens.length; count++) {
          if (!wholeAt(tokens, count)) continue;
          const answer = Buffer.from(decode(tokens.slice(0, count))).toString('utf8');
          expect(encode(answer, false)).toEqual(tokens.slice(0, count));
        }
      }),
      { numRuns: 100 },
    );
  });

  it('goes on identically from every token border, by ids and by the open final message', () => {
    fc.assert(
      fc.property(text, fc.nat(119), (question, cut) => {
        const tokens = generate(promptOf(question), 120);
        const rest = tokens.slice(cut);
        expect(generate([...promptOf(question), ...tokens.slice(0, cut)], rest.length)).toEqual(rest);
        fc.pre(wholeAt(tokens, cut));
        const answer = Buffer.from(decode(tokens.slice(0, cut))).toString('utf8');
        expect(generate(continuedPromptOf(question, answer), rest.length)).toEqual(rest);
      }),
      { numRuns: 300 },
    );
  });

  it('goes on differently when the text is cut inside a token', () => {
    const tokens = generate(promptOf('hello'), 60);
    const answer = Buffer.from(decode(tokens.slice(0, 1))).toString('utf8');
    const cutInside = continuedPromptOf('hello', answer.slice(0, -1));
    expect(generate(cutInside, 30)).not.toEqual(tokens.slice(1, 31));
  });

  it('continues a prompt that ends in the middle of anything with text that tokenizes back', () => {
    for (const prompt of ['the ', 'th', 'x', '1', 'a.', 'a,', 'é', '\n', '', 'tab\t', 'ß 漢']) {
      const ids = encode(prompt, false);
      const tokens = generate(ids, 60);
      let count = 60;
      while (!wholeAt(tokens, count)) count--;
      const all = [...ids, ...tokens.slice(0, count)];
      expect(encode(Buffer.from(decode(all)).toString('utf8'), false)).toEqual(all);
    }
  });

  it('completes a character that the prompt left open', () => {
    const emoji = [...Buffer.from('🚀')];
    const next = generate(emoji.slice(0, 2), 2);
    expect(Buffer.from([...emoji.slice(0, 2), ...next]).toString('utf8')).not.toContain('\ufffd');
  });

  it('uses characters of two, three and four bytes', () => {
    const answer = Buffer.from(decode(generate(promptOf('wide'), 3000))).toString('utf8');
    const lengths = new Set([...answer].map((character) => Buffer.byteLength(character)));
    expect([...lengths].sort()).toEqual([1, 2, 3, 4]);
  });

  it('depends on noise, and is the same for the same noise', () => {
    const one = generate(promptOf('a'), 40, (position) => position * 31 + 1);
    expect(generate(promptOf('a'), 40, (position) => position * 31 + 1)).toEqual(one);
    expect(generate(promptOf('a'), 40, (position) => position * 31 + 2)).not.toEqual(one);
  });

  it('ends after about the mean number of tokens', () => {
    let sum = 0;
    for (let i = 0; i < 300; i++) {
      let state = advanceAll(initialState(MODEL_SEED), promptOf(`question ${i}`));
      let token = -1;
      let count = 0;
      while (token !== END_OF_TURN && count < 2000) {
        token = nextToken(state, { meanTokens: 50, mayEnd: true, noise: 0 });
        state = advance(state, token);
        count++;
      }
      sum += count;
    }
    expect(sum / 300).toBeGreaterThan(35);
    expect(sum / 300).toBeLessThan(90);
  });
});
