/**
 * Builds the request by which another replica goes on with a stream (tiers A to C of docs/continuation.md), from the
 * client's own request and what was delivered. Fields that we do not know go along.
 */
import type { ContinuationRequest, ContinuationTier, DeliveredSummary } from '../../contract/continuation.ts';
import { isRecord } from '../json/parse-object.ts';
import { choiceOf, type Delivered } from './delivered-stream.ts';
import type { Envelope } from './envelope.ts';

export interface UpstreamBody {
  path: '/v1/chat/completions' | '/v1/completions';
  body: Record<string, unknown>;
}

const PENALTIES: readonly [field: string, neutral: number][] = [
  ['presence_penalty', 0],
  ['frequency_penalty', 0],
];
const STRUCTURED = [
  'guided_json',
  'guided_regex',
  'guided_choice',
  'guided_grammar',
  'structured_outputs',
  'grammar',
  'json_schema',
];

/** What continuation depends on in a request. */
export function continuationRequestOf({ endpoint, fields }: Envelope): ContinuationRequest {
  const responseFormat = isRecord(fields.response_format) ? fields.response_format.type : undefined;
  return {
    endpoint: endpoint === 'completions' ? 'completions' : 'chat',
    greedy: fields.temperature === 0,
    seeded: typeof fields.seed === 'number',
    n: Math.max(numberOr(fields.n, 1), numberOr(fields.best_of, 1)),
    tools:
      (isFilled(fields.tools) && fields.tool_choice !== 'none') ||
      (isFilled(fields.functions) && fields.function_call !== 'none'),
    structured:
      (responseFormat !== undefined && responseFormat !== 'text') ||
      STRUCTURED.some((field) => fields[field] !== undefined && fields[field] !== null),
    logprobs: typeof fields.logprobs === 'number' || fields.logprobs === true,
    penalties: PENALTIES.some(([field, neutral]) => numberOr(fields[field], neutral) !== neutral),
    stopStrings: stopStringsOf(fields).length > 0,
    echo: fields.echo === true,
    extendable:
      endpoint === 'chat'
        ? extendableMessages(fields.messages)
        : typeof fields.prompt === 'string' || isFlatIds(fields.prompt),
  };
}

export function summaryOf(delivered: Delivered): DeliveredSummary {
  const choice = choiceOf(delivered, 0);
  return {
    tokenIds: delivered.promptTokenIds !== null && choice.tokenIds !== null && choice.tokenIds.length > 0,
    otherThanText: choice.toolCalls.size > 0 || choice.reasoning !== '',
    opaque: [...delivered.choices.values()].some(({ opaque }) => opaque),
    trimmable: /^\s|\s$/.test(choice.text),
  };
}

export function stopStringsOf(fields: Readonly<Record<string, unknown>>): string[] {
  const { stop } = fields;
  if (typeof stop === 'string') return stop === '' ? [] : [stop];
  return Array.isArray(stop)
    ? stop.filter((item): item is string => typeof item === 'string' && item !== '')
    : [];
}

export interface ContinuationSource {
  envelope: Envelope;
  delivered: Delivered;
  /** Tokens delivered so far; exact where the engine can count them. */
  deliveredTokens: number;
  servedModel: string;
  /** For tier A: prompt and delivered ids. */
  promptIds: readonly number[] | null;
}

export function buildContinuation(
  tier: Exclude<ContinuationTier, 'D'>,
  source: ContinuationSource,
): UpstreamBody {
  const { envelope } = source;
  if (tier === 'C') {
    const path = envelope.endpoint === 'chat' ? '/v1/chat/completions' : '/v1/completions';
    return { path, body: { ...envelope.fields, model: source.servedModel } };
  }
  if (tier === 'B' && envelope.endpoint === 'chat') return chatContinuation(source);
  return rawContinuation(tier, source);
}

function chatContinuation(source: ContinuationSource): UpstreamBody {
  const { fields } = source.envelope;
  const messages = fields.messages as Record<string, unknown>[];
  const last = messages.at(-1);
  const text = choiceOf(source.delivered, 0).text;
  // The client may itself have asked to go on inside its last message: the delivered text belongs to that one then.
  const extended =
    fields.continue_final_message === true && last !== undefined && typeof last.content === 'string'
      ? [...messages.slice(0, -1), { ...last, content: last.content + text }]
      : [...messages, { role: 'assistant', content: text }];
  return {
    path: '/v1/chat/completions',
    body: {
      ...fields,
      ...reducedLimits(source),
      model: source.servedModel,
      messages: extended,
      continue_final_message: true,
      add_generation_prompt: false,
      stream_options: {
        ...(isRecord(fields.stream_options) ? fields.stream_options : {}),
        include_usage: true,
      },
    },
  };
}

/** Fields of chat requests that raw completions do not know. */
const CHAT_ONLY = [
  'messages',
  'max_completion_tokens',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'response_format',
  'logprobs',
  'top_logprobs',
  'continue_final_message',
  'add_generation_prompt',
  'chat_template',
  'chat_template_kwargs',
];

function rawContinuation(tier: 'A' | 'B', source: ContinuationSource): UpstreamBody {
  const { fields, endpoint } = source.envelope;
  const body: Record<string, unknown> = { ...fields, ...reducedLimits(source), model: source.servedModel };
  if (endpoint === 'chat') {
    const limit = body.max_completion_tokens ?? body.max_tokens;
    for (const field of CHAT_ONLY) delete body[field];
    if (limit !== undefined) body.max_tokens = limit;
  }
  const choice = choiceOf(source.delivered, 0);
  const ids = source.promptIds;
  body.prompt = tier === 'A' ? ids : extendPrompt(fields.prompt, choice.text, choice.tokenIds);
  body.stream = true;
  body.stream_options = {
    ...(isRecord(fields.stream_options) ? fields.stream_options : {}),
    include_usage: true,
  };
  return { path: '/v1/completions', body };
}

function extendPrompt(prompt: unknown, text: string, ids: readonly number[] | null): unknown {
  if (typeof prompt === 'string') return prompt + text;
  return [...(prompt as number[]), ...(ids ?? [])];
}

function reducedLimits({
  envelope: { fields },
  deliveredTokens,
}: ContinuationSource): Record<string, number> {
  const reduced: Record<string, number> = {};
  for (const field of ['max_tokens', 'max_completion_tokens']) {
    const limit = fields[field];
    if (typeof limit === 'number') reduced[field] = Math.max(1, limit - deliveredTokens);
  }
  if (typeof fields.min_tokens === 'number')
    reduced.min_tokens = Math.max(0, fields.min_tokens - deliveredTokens);
  return reduced;
}

/** The limit of generated tokens that the request set, if any. */
export function outputLimitOf(fields: Readonly<Record<string, unknown>>): number | null {
  const limit = fields.max_completion_tokens ?? fields.max_tokens;
  return typeof limit === 'number' ? limit : null;
}

function extendableMessages(messages: unknown): boolean {
  if (!Array.isArray(messages)) return false;
  const last: unknown = messages.at(-1);
  return isRecord(last) && (last.role !== 'assistant' || typeof last.content === 'string');
}

function isFlatIds(prompt: unknown): boolean {
  return Array.isArray(prompt) && prompt.length > 0 && prompt.every((id) => typeof id === 'number');
}

function isFilled(list: unknown): boolean {
  return Array.isArray(list) && list.length > 0;
}

/** More than any engine gives; a bound for what a request claims. */
const CHOICES_MAX = 4096;

/** How many choices the whole answer has: `n` for each prompt. */
export function choiceCountOf({ endpoint, fields }: Envelope): number {
  const { prompt } = fields;
  const prompts =
    endpoint === 'completions' && Array.isArray(prompt) && typeof prompt[0] !== 'number' ? prompt.length : 1;
  return Math.min(CHOICES_MAX, Math.max(1, prompts) * Math.max(1, Math.floor(numberOr(fields.n, 1))));
}

function numberOr(value: unknown, fallback: number): number {
  return typeof value === 'number' ? value : fallback;
}
