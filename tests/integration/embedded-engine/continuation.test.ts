/**
 * Exact continuation of the embedded engine, checked at every chunk border, on a busy engine, against the undisturbed answer
 * of an idle one; and its behaviour under load.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Chunk, EmbeddedUnderTest, idsOf, textOf, until } from '../../support/embedded-under-test.ts';

const CHAT = '/v1/chat/completions';
const TEXT = '/v1/completions';

const QUESTIONS = [
  'What does HTTP 429 mean?',
  'How does prefix caching work?',
  'Why is monitoring important?',
  'List three ways to reduce latency.',
];
const ask = (content: string) => [{ role: 'user', content }];

let engine: EmbeddedUnderTest;
beforeAll(async () => {
  // No variable for the thread pool: the process must set its own.
  engine = await new EmbeddedUnderTest([], { UV_THREADPOOL_SIZE: '4' }).ready();
});
afterAll(() => engine.stop());

/** The places where a stream may be cut, and how many tokens were delivered before. */
const borders = (chunks: readonly Chunk[]) =>
  chunks
    .map((_, cut) => ({ cut, done: idsOf(chunks.slice(0, cut)).length }))
    .filter(({ done }) => done > 0 && done < 60);

const continuedByIds = async (
  chunks: readonly Chunk[],
  cut: number,
  body: Record<string, unknown>,
): Promise<string> => {
  const prompt = chunks[0]?.prompt_token_ids ?? chunks[0]?.choices[0]?.prompt_token_ids ?? [];
  const delivered = idsOf(chunks.slice(0, cut));
  const rest = await engine.chunks(TEXT, { ...body, prompt: [...prompt, ...delivered] });
  return textOf(chunks.slice(0, cut)) + textOf(rest);
};

describe('continuation', () => {
  it('gives the same text alone and beside 19 others', async () => {
    const body = { temperature: 0, max_tokens: 80 };
    const alone: string[] = [];
    for (const question of QUESTIONS) {
      alone.push(textOf(await engine.chunks(CHAT, { messages: ask(question), ...body })));
    }
    const together = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        engine.chunks(CHAT, { messages: ask(QUESTIONS[index % 4] ?? ''), ...body }),
      ),
    );
    expect(together.map(textOf)).toEqual(together.map((_, index) => alone[index % 4]));
  });

  // All continuations of an answer run at once, so batches hold 16 sequences in every phase.
  it('continues greedy answers exactly from every chunk border by token ids (tier A), 16 at once', async () => {
    for (const question of QUESTIONS) {
      const chunks = await engine.chunks(CHAT, {
        messages: ask(question),
        temperature: 0,
        max_tokens: 60,
        return_token_ids: true,
      });
      const joined = await Promise.all(
        borders(chunks).map(({ cut, done }) =>
          continuedByIds(chunks, cut, { temperature: 0, max_tokens: 60 - done }),
        ),
      );
      expect(joined.length).toBeGreaterThan(15);
      expect(new Set(joined)).toEqual(new Set([textOf(chunks)]));
    }
  });

  it('continues greedy answers exactly from every chunk border by text (tier B), without an echo', async () => {
    for (const question of QUESTIONS) {
      const chunks = await engine.chunks(CHAT, {
        messages: ask(question),
        temperature: 0,
        max_tokens: 60,
        return_token_ids: true,
      });
      const joined = await Promise.all(
        borders(chunks).map(async ({ cut, done }) => {
          const delivered = textOf(chunks.slice(0, cut));
          const rest = await engine.chunks(CHAT, {
            messages: [...ask(question), { role: 'assistant', content: delivered }],
            continue_final_message: true,
            add_generation_prompt: false,
            temperature: 0,
            max_tokens: 60 - done,
          });
          return delivered + textOf(rest);
        }),
      );
      expect(new Set(joined)).toEqual(new Set([textOf(chunks)]));
    }
  });

  it('continues sampled answers exactly by token ids, with seed and penalties', async () => {
    for (const seed of [1, 1234]) {
      const sampling = {
        ...{ temperature: 1.2, top_p: 0.95, seed },
        ...{ frequency_penalty: 0.3, repetition_penalty: 1.1 },
      };
      const chunks = await engine.chunks(CHAT, {
        messages: ask('Tell me a story.'),
        ...sampling,
        max_tokens: 60,
        return_token_ids: true,
      });
      const joined = await Promise.all(
        borders(chunks).map(({ cut, done }) =>
          continuedByIds(chunks, cut, {
            ...sampling,
            max_tokens: 60 - done,
            generated_prefix_tokens: done,
          }),
        ),
      );
      expect(joined.length).toBeGreaterThan(15);
      expect(new Set(joined)).toEqual(new Set([textOf(chunks)]));
    }
  });

  it('gives the same bits for a prompt that was computed before, in part, and not at all', async () => {
    const question = {
      messages: ask('How does prefix caching work?'),
      temperature: 1.2,
      seed: 9,
      max_tokens: 40,
    };
    const first = await engine.json(CHAT, question);
    const again = await engine.json(CHAT, question);
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        engine.json(CHAT, { messages: ask(`${index} is a number. Tell me a story.`), max_tokens: 30 }),
      ),
    );
    const later = await engine.json(CHAT, question);
    expect([again, later].map((answer) => answer.choices[0].message.content)).toEqual(
      Array(2).fill(first.choices[0].message.content),
    );
  });

  it('sends whole tokens in each event, also where characters are split over tokens', async () => {
    const { tokens } = await engine.json('/tokenize', { prompt: '🙂' });
    const bias = Object.fromEntries(tokens.map((token: number) => [token, 30]));
    const chunks = await engine.chunks(CHAT, {
      messages: ask('x'),
      temperature: 1.5,
      seed: 3,
      max_tokens: 60,
      logit_bias: bias,
      return_token_ids: true,
    });
    for (const chunk of chunks) {
      const [choice] = chunk.choices;
      if (choice === undefined || (choice.token_ids ?? []).length === 0) continue;
      const { prompt } = await engine.json('/detokenize', { tokens: choice.token_ids });
      expect(prompt.startsWith(choice.delta?.content ?? '')).toBe(true);
    }
  });
});

describe('load', () => {
  it('serves 20 requests at once on 16 sequences', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, () =>
        engine.json(CHAT, { messages: ask('Tell me a story.'), max_tokens: 50, ignore_eos: true }),
      ),
    );
    expect(answers.every((answer) => answer.usage.completion_tokens === 50)).toBe(true);
    expect(await engine.metric('vllm:num_requests_running')).toBe(0);
  });

  it('does not let a long prompt move at the pace of the answers beside it', async () => {
    const leave = new AbortController();
    const answers = Array.from({ length: 12 }, () =>
      engine
        .post(CHAT, { messages: ask('Tell me a story.'), ignore_eos: true, stream: true }, leave.signal)
        .then((response) => response.text())
        .catch(() => 'left'),
    );
    const generated = () => engine.metric('vllm:generation_tokens_total');
    const start = await generated();
    await until(async () => (await generated()) > start + 12 * 20);
    const { tokens } = await engine.json('/tokenize', {
      prompt: 'Another text of many tokens. '.repeat(80),
    });
    const prompt = tokens.slice(0, 500);
    const before = await generated();
    await engine.json(TEXT, { prompt, max_tokens: 1 });
    // Token by token each of the others would have made about as many tokens as the prompt has.
    expect(((await generated()) - before) / 12).toBeLessThan(prompt.length / 10);
    leave.abort();
    await Promise.all(answers);
  });

  it('frees the slot at once when a client leaves, running or waiting', async () => {
    const leave = new AbortController();
    const streams = Array.from({ length: 24 }, () =>
      engine
        .post(CHAT, { messages: ask('Tell me a story.'), ignore_eos: true, stream: true }, leave.signal)
        .then((response) => response.text())
        .catch(() => 'left'),
    );
    await until(async () => (await engine.metric('vllm:num_requests_waiting')) === 8);
    expect(await engine.metric('vllm:num_requests_running')).toBe(16);
    const leftAt = performance.now();
    leave.abort();
    await until(async () => (await engine.metric('vllm:num_requests_running')) === 0, 2_000);
    expect(performance.now() - leftAt).toBeLessThan(1_000);
    expect(await engine.metric('vllm:num_requests_waiting')).toBe(0);
    expect(await Promise.all(streams)).toEqual(streams.map(() => 'left'));
  });

  it('finds shared prefixes again', async () => {
    const messages = ask(`Remember this: ${'a long text that is sent twice, '.repeat(8)}. What is a queue?`);
    await engine.json(CHAT, { messages, max_tokens: 2 });
    const before = await engine.metric('vllm:prefix_cache_hits_total');
    const { usage } = await engine.json(CHAT, { messages, max_tokens: 2 });
    const hits = (await engine.metric('vllm:prefix_cache_hits_total')) - before;
    expect(hits).toBe(usage.prompt_tokens - 1);
  });

  it('ends exactly at the context length, without shifting the context', async () => {
    const { tokens } = await engine.json('/tokenize', {
      prompt: 'one two three four five six seven '.repeat(200),
    });
    const prompt = tokens.slice(0, 2000);
    const answer = await engine.json(TEXT, { prompt, max_tokens: 48, ignore_eos: true, temperature: 0 });
    expect(answer.usage).toEqual({ prompt_tokens: 2000, completion_tokens: 48, total_tokens: 2048 });
    expect(answer.choices[0].finish_reason).toBe('length');
  });
});
