/**
 * A chat or completions request as what the core understands: sampling, limits, stops, structure and the shape of the
 * answer. Everything is checked here, so that what reaches the core is valid; unknown fields are ignored, as in vLLM.
 */
import { mix32 } from '../../base/random.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { EngineCore, SamplingParams, ToolUse } from '../../contract/ports/engine-core.ts';
import { isRecord } from '../json/parse-object.ts';
import { checkUnusedFields } from './check-unused-fields.ts';
import { parseMessages } from './parse-messages.ts';
import { chatPrompt, type Prompt, parsePrompts, parseRenderOptions } from './parse-prompt.ts';
import { parseJsonSchema } from './parse-structure.ts';
import { parseReasoning, parseTools } from './parse-tools.ts';
import {
  booleanField,
  checkNumber,
  type Fields,
  idListField,
  integerField,
  numberField,
  refuse,
} from './request-fields.ts';

export interface GenerationSpec {
  kind: 'chat' | 'completions';
  prompts: Prompt[];
  /** Answers per prompt. */
  n: number;
  maxTokens: number[];
  minTokens: number;
  stop: string[];
  includeStop: boolean;
  stopTokenIds: number[];
  ignoreEos: boolean;
  sampling: SamplingParams;
  topLogprobs: number | undefined;
  jsonSchema: Readonly<Record<string, unknown>> | undefined;
  priority: number;
  stream: boolean;
  includeUsage: boolean;
  /** Usage so far in every event. */
  continuousUsage: boolean;
  returnTokenIds: boolean;
  /** Completions: the answer begins with the prompt. */
  echo: boolean;
  /** Functions that a chat may call; undefined: none. */
  tools: ToolUse | undefined;
  /** A chat that begins with a thought. */
  reasoning: boolean;
}

/** What a request leaves open. */
export interface SamplingDefaults {
  temperature: number;
  /** Whether chats begin with a thought; for cores that can. Default false. */
  reasoning?: boolean;
}

const N_MAX = 16;
/** Answers of one request, over all prompts. */
const CHOICES_MAX = 256;
const STOPS_MAX = 16;
const STOP_CHARS_MAX = 1024;
const LOGIT_BIAS_MAX = 1024;
const COMPLETION_TOKENS_DEFAULT = 16;

export function parseChat(core: EngineCore, fields: Fields, defaults: SamplingDefaults): GenerationSpec {
  const turns = parseMessages(fields);
  const rendering = parseRenderOptions(fields);
  checkUnusedFields(fields);
  const logprobs = booleanField(fields, 'logprobs', false);
  const top = integerField(fields, 'top_logprobs', { min: 0, max: 20 });
  if (top !== undefined && top > 0 && !logprobs) {
    throw refuse('top_logprobs', top, 'logprobs true together with it');
  }
  const limit =
    integerField(fields, 'max_completion_tokens', positive) ?? integerField(fields, 'max_tokens', positive);
  const tools = parseTools(core, fields, turns, { continued: rendering.continueFinalMessage });
  const reasoning = parseReasoning(core, fields, defaults.reasoning ?? false);
  const spec = parseCommon(core, fields, defaults);
  const prompt = chatPrompt(core, turns, rendering);
  refuseContinuedStructure(spec.jsonSchema ?? tools, [prompt]);
  return {
    ...spec,
    tools,
    reasoning: reasoning && prompt.generatedPrefix === 0,
    kind: 'chat',
    prompts: [prompt],
    maxTokens: limits(core, [prompt], limit, undefined, spec.minTokens),
    topLogprobs: logprobs ? (top ?? 0) : undefined,
    echo: false,
  };
}

export function parseCompletions(
  core: EngineCore,
  fields: Fields,
  defaults: SamplingDefaults,
): GenerationSpec {
  checkUnusedFields(fields);
  const suffix = fields.suffix ?? null;
  if (suffix !== null && suffix !== '') throw refuse('suffix', suffix, 'nothing: text can not be inserted');
  const echo = booleanField(fields, 'echo', false);
  const topLogprobs = integerField(fields, 'logprobs', { min: 0, max: 20 });
  if (echo && topLogprobs !== undefined) {
    throw refuse('logprobs', topLogprobs, 'nothing together with echo: the prompt has no logprobs here');
  }
  const limit = integerField(fields, 'max_tokens', positive);
  const spec = parseCommon(core, fields, defaults);
  const prompts = parsePrompts(core, 'prompt', fields.prompt);
  if (prompts.length * spec.n > CHOICES_MAX) {
    throw refuse('n', spec.n, `at most ${CHOICES_MAX} answers in all, with ${prompts.length} prompts`);
  }
  markGenerated(fields, prompts);
  refuseContinuedStructure(spec.jsonSchema, prompts);
  return {
    ...spec,
    kind: 'completions',
    prompts,
    maxTokens: limits(core, prompts, limit, COMPLETION_TOKENS_DEFAULT, spec.minTokens),
    topLogprobs,
    echo,
    tools: undefined,
    reasoning: false,
  };
}

const positive = { min: 1, max: Number.MAX_SAFE_INTEGER };

type CommonSpec = Omit<
  GenerationSpec,
  'kind' | 'prompts' | 'maxTokens' | 'topLogprobs' | 'echo' | 'tools' | 'reasoning'
>;

function parseCommon(core: EngineCore, fields: Fields, defaults: SamplingDefaults): CommonSpec {
  const stream = booleanField(fields, 'stream', false);
  const streamOptions = fields.stream_options ?? null;
  if (streamOptions !== null && !isRecord(streamOptions))
    throw refuse('stream_options', streamOptions, 'an object');
  if (streamOptions !== null && !stream)
    throw refuse('stream_options', streamOptions, 'nothing, or `stream: true` beside it');
  const includeUsage = streamOptions !== null && booleanField(streamOptions, 'include_usage', false);
  return {
    n: integerField(fields, 'n', { min: 1, max: N_MAX }) ?? 1,
    minTokens: integerField(fields, 'min_tokens', { min: 0, max: Number.MAX_SAFE_INTEGER }) ?? 0,
    stop: parseStop(fields.stop ?? null),
    includeStop: booleanField(fields, 'include_stop_str_in_output', false),
    stopTokenIds: idListField(fields, 'stop_token_ids', {
      countMax: 128,
      exclusiveMax: core.info.vocabularySize,
    }),
    ignoreEos: booleanField(fields, 'ignore_eos', false),
    sampling: parseSampling(core, fields, defaults),
    jsonSchema: parseJsonSchema(fields),
    priority: integerField(fields, 'priority', { min: -1_000_000, max: 1_000_000 }) ?? 0,
    stream,
    includeUsage,
    continuousUsage: streamOptions !== null && booleanField(streamOptions, 'continuous_usage_stats', false),
    returnTokenIds: booleanField(fields, 'return_token_ids', false),
  };
}

function parseSampling(core: EngineCore, fields: Fields, defaults: SamplingDefaults): SamplingParams {
  const topK = integerField(fields, 'top_k', { min: -1, max: Number.MAX_SAFE_INTEGER }) ?? 0;
  return {
    temperature: numberField(fields, 'temperature', { min: 0, max: 100 }) ?? defaults.temperature,
    topP: numberField(fields, 'top_p', { min: 0, exclusiveMin: true, max: 1 }) ?? 1,
    topK: Math.min(topK, core.info.vocabularySize),
    minP: numberField(fields, 'min_p', { min: 0, max: 1 }) ?? 0,
    seed: parseSeed(fields),
    presencePenalty: numberField(fields, 'presence_penalty', { min: -2, max: 2 }) ?? 0,
    frequencyPenalty: numberField(fields, 'frequency_penalty', { min: -2, max: 2 }) ?? 0,
    repetitionPenalty:
      numberField(fields, 'repetition_penalty', { min: 0, exclusiveMin: true, max: 10 }) ?? 1,
    logitBias: parseLogitBias(fields.logit_bias ?? null, core.info.vocabularySize),
  };
}

/** Seeds are 64 bits wide outside and 32 inside; small ones keep their value. */
function parseSeed(fields: Fields): number | undefined {
  const seed = fields.seed ?? undefined;
  if (seed === undefined) return undefined;
  if (typeof seed !== 'number' || !Number.isInteger(seed) || Math.abs(seed) > 2 ** 63)
    throw refuse('seed', seed, 'an integer from -9223372036854775808 to 9223372036854775807');
  if (seed >= 0 && seed < 2 ** 32) return seed;
  return mix32(seed % 2 ** 32, Math.floor(seed / 2 ** 32));
}

function parseStop(value: unknown): string[] {
  if (value === null) return [];
  const list = typeof value === 'string' ? [value] : value;
  if (!Array.isArray(list)) throw refuse('stop', value, 'a string or an array of strings');
  if (list.length > STOPS_MAX) throw refuse('stop', value, `at most ${STOPS_MAX} strings`);
  return list.map((stop: unknown, index) => {
    if (typeof stop === 'string' && stop !== '' && stop.length <= STOP_CHARS_MAX) return stop;
    const param = typeof value === 'string' ? 'stop' : `stop[${index}]`;
    throw refuse(param, stop, `a string of 1 to ${STOP_CHARS_MAX} characters`);
  });
}

function parseLogitBias(value: unknown, vocabularySize: number): Record<number, number> {
  if (value === null) return {};
  if (!isRecord(value)) throw refuse('logit_bias', value, 'an object of token id to bias');
  const entries = Object.entries(value);
  if (entries.length > LOGIT_BIAS_MAX) {
    throw refuse('logit_bias', entries.length, `at most ${LOGIT_BIAS_MAX} entries`);
  }
  return Object.fromEntries(
    entries.map(([key, bias]) => {
      if (!/^\d{1,9}$/.test(key) || Number(key) >= vocabularySize) {
        throw refuse('logit_bias', key, `token ids from 0 to ${vocabularySize - 1} as keys`);
      }
      return [Number(key), checkNumber(`logit_bias.${key}`, bias, { min: -100, max: 100 }, 'a number')];
    }),
  );
}

/**
 * Our own field beside vLLM's: when an answer goes on here that began on another replica, so many tokens at the end of the
 * prompt belong to the answer, and penalties count them as such.
 */
function markGenerated(fields: Fields, prompts: readonly Prompt[]): void {
  const [prompt] = prompts;
  if (prompt === undefined) return;
  const count = integerField(fields, 'generated_prefix_tokens', { min: 0, max: Number.MAX_SAFE_INTEGER });
  if (count === undefined || count === 0) return;
  if (prompts.length > 1 || count > prompt.tokens.length) {
    throw refuse(
      'generated_prefix_tokens',
      count,
      `one prompt, and at most its ${prompt.tokens.length} tokens`,
    );
  }
  prompt.generatedPrefix = count;
}

function refuseContinuedStructure(structure: unknown, prompts: readonly Prompt[]): void {
  if (structure === undefined || prompts.every((prompt) => prompt.generatedPrefix === 0)) return;
  throw new PlatformError(
    'not_supported',
    'structured output and tool calls can not be continued in the middle: their grammar begins anew; send the request again from the start',
  );
}

/** Tokens that each prompt may still produce. Absent: the default, cut to the room; given: it must fit. */
function limits(
  core: EngineCore,
  prompts: readonly Prompt[],
  asked: number | undefined,
  fallback: number | undefined,
  minTokens: number,
): number[] {
  const { model, contextLength } = core.info;
  return prompts.map(({ tokens }) => {
    const room = contextLength - tokens.length;
    if (asked !== undefined && asked > room) {
      throw new PlatformError(
        'context_length_exceeded',
        `max_tokens: found ${asked}, and the prompt has ${tokens.length} tokens, ${asked + tokens.length} together; the context of ${model} has ${contextLength}, so at most ${room} are left for the answer`,
        { param: 'max_tokens' },
      );
    }
    const limit = Math.min(asked ?? fallback ?? room, room);
    if (minTokens > limit)
      throw refuse('min_tokens', minTokens, `at most the ${limit} tokens that the answer may have`);
    return limit;
  });
}
