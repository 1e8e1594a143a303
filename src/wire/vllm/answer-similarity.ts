/**
 * POST /v1/rerank (the shape of Jina and Cohere) and /v1/score, as vLLM answers them for embedding models: the likeness of two
 * texts is the cosine of their vectors.
 */
import type { EngineCore } from '../../contract/ports/engine-core.ts';
import { isRecord } from '../json/parse-object.ts';
import { refuseUnlessEmbeds } from './answer-embeddings.ts';
import { textPrompt } from './parse-prompt.ts';
import { booleanField, type Fields, integerField, refuse } from './request-fields.ts';

/** As for the inputs of embeddings. */
const TEXTS_MAX = 2048;

interface AnswerOptions {
  signal: AbortSignal;
  id: string;
}

interface Embedded {
  vector: number[];
  tokens: number;
}

export async function answerRerank(
  core: EngineCore,
  fields: Fields,
  options: AnswerOptions,
): Promise<object> {
  refuseUnlessEmbeds(core);
  const { query } = fields;
  if (typeof query !== 'string') throw refuse('query', query, 'a string');
  const texts = parseDocuments(fields.documents);
  // 0 is vLLM's way to say all.
  const top = integerField(fields, 'top_n', { min: 0, max: Number.MAX_SAFE_INTEGER }) || texts.length;
  const withText = booleanField(fields, 'return_documents', true);
  const [asked] = await embedAll(core, 'query', [query], options.signal);
  const documents = await embedAll(core, 'documents', texts, options.signal);
  const results = documents
    .map(({ vector }, index) => ({
      index,
      ...(withText && { document: { text: texts[index] } }),
      relevance_score: cosine((asked as Embedded).vector, vector),
    }))
    .sort((a, b) => b.relevance_score - a.relevance_score || a.index - b.index)
    .slice(0, top);
  return {
    id: options.id,
    model: core.info.model,
    usage: usageOf([asked as Embedded, ...documents]),
    results,
  };
}

export async function answerScore(
  core: EngineCore,
  fields: Fields,
  options: AnswerOptions & { created: number },
): Promise<object> {
  refuseUnlessEmbeds(core);
  const left = parseTexts('text_1', fields.text_1);
  const right = parseTexts('text_2', fields.text_2);
  if (left.length !== right.length && left.length !== 1) {
    throw refuse('text_1', fields.text_1, `one text, or as many as text_2 has (${right.length})`);
  }
  const first = await embedAll(core, 'text_1', left, options.signal);
  const second = await embedAll(core, 'text_2', right, options.signal);
  return {
    id: options.id,
    object: 'list',
    created: options.created,
    model: core.info.model,
    data: second.map(({ vector }, index) => ({
      index,
      object: 'score',
      score: cosine((first[index] ?? (first[0] as Embedded)).vector, vector),
    })),
    usage: usageOf([...first, ...second]),
  };
}

function parseDocuments(value: unknown): string[] {
  const form = 'an array of strings or of {"text": ...}';
  if (!Array.isArray(value) || value.length === 0) throw refuse('documents', value, `${form}, not empty`);
  if (value.length > TEXTS_MAX) throw refuse('documents', value, `at most ${TEXTS_MAX} documents`);
  return value.map((document: unknown, index) => {
    const text = isRecord(document) ? document.text : document;
    if (typeof text === 'string') return text;
    throw refuse(`documents[${index}]`, document, 'a string or {"text": ...}');
  });
}

function parseTexts(param: string, value: unknown): string[] {
  const list = typeof value === 'string' ? [value] : value;
  if (!Array.isArray(list) || list.length === 0)
    throw refuse(param, value, 'a string or an array of strings');
  if (list.length > TEXTS_MAX) throw refuse(param, value, `at most ${TEXTS_MAX} texts`);
  const wrong = list.findIndex((text) => typeof text !== 'string');
  if (wrong >= 0) throw refuse(`${param}[${wrong}]`, list[wrong], 'a string');
  return list as string[];
}

/** All texts are checked before the first is worked on. */
async function embedAll(
  core: EngineCore,
  param: string,
  texts: readonly string[],
  signal: AbortSignal,
): Promise<Embedded[]> {
  const prompts = texts.map((text, index) =>
    textPrompt(core, texts.length === 1 ? param : `${param}[${index}]`, text),
  );
  const all: Embedded[] = [];
  for (const { tokens } of prompts) {
    all.push({ vector: await core.embed(tokens, signal), tokens: tokens.length });
  }
  return all;
}

function cosine(a: readonly number[], b: readonly number[]): number {
  let product = 0;
  for (const [index, value] of a.entries()) product += value * (b[index] ?? 0);
  const lengths = Math.hypot(...a) * Math.hypot(...b);
  // Rounding may lead a little beyond what a cosine can be.
  return lengths === 0 ? 0 : Math.max(-1, Math.min(1, product / lengths));
}

function usageOf(all: readonly Embedded[]): object {
  const tokens = all.reduce((sum, one) => sum + one.tokens, 0);
  return { prompt_tokens: tokens, total_tokens: tokens };
}
