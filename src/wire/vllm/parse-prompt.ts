/**
 * Prompts of a request as token ids: text, token ids, lists of either, or chat messages. Checks them against the context
 * before any work is queued.
 */
import { PlatformError } from '../../contract/errors.ts';
import type { ChatTurn, EngineCore, RenderOptions } from '../../contract/ports/engine-core.ts';
import { booleanField, checkTokenIds, type Fields, refuse } from './request-fields.ts';

export interface Prompt {
  tokens: number[];
  /** So many tokens at the end were generated before, by another replica. */
  generatedPrefix: number;
}

const PROMPTS_MAX = 128;
/** No known vocabulary has tokens of more characters on average; texts beyond are refused without being tokenized. */
const TOKEN_CHARS_MAX = 64;

/** `prompt` of completions and `input` of embeddings have the same four forms. */
export function parsePrompts(
  core: EngineCore,
  param: string,
  value: unknown,
  countMax = PROMPTS_MAX,
): Prompt[] {
  const forms = 'a string, an array of strings, an array of token ids or an array of arrays of token ids';
  if (typeof value === 'string') return [textPrompt(core, param, value)];
  if (!Array.isArray(value) || value.length === 0) throw refuse(param, value, forms);
  if (typeof value[0] === 'number') return [idPrompt(core, param, value)];
  if (value.length > countMax) throw refuse(param, value, `at most ${countMax} entries`);
  return value.map((entry: unknown, index) => {
    const place = `${param}[${index}]`;
    if (typeof entry === 'string') return textPrompt(core, place, entry);
    if (Array.isArray(entry)) return idPrompt(core, place, entry);
    throw refuse(place, entry, 'a string or an array of token ids');
  });
}

export function parseRenderOptions(fields: Fields): RenderOptions {
  const options = {
    addGenerationPrompt: booleanField(fields, 'add_generation_prompt', true),
    continueFinalMessage: booleanField(fields, 'continue_final_message', false),
  };
  if (options.addGenerationPrompt && options.continueFinalMessage) {
    throw new PlatformError(
      'invalid_request',
      'continue_final_message: found true together with add_generation_prompt true (its default); send add_generation_prompt false with it',
      { param: 'continue_final_message' },
    );
  }
  return options;
}

export function chatPrompt(core: EngineCore, turns: readonly ChatTurn[], options: RenderOptions): Prompt {
  const chars = turns.reduce((sum, turn) => sum + turn.content.length, 0);
  checkTextLength(core, 'messages', chars);
  const tokens = core.renderChat(turns, options);
  checkRoom(core, 'messages', tokens.length);
  const open = options.continueFinalMessage ? (turns.at(-1)?.content ?? '') : '';
  return { tokens, generatedPrefix: open === '' ? 0 : core.tokenize(open, { parseSpecial: false }).length };
}

export function textPrompt(core: EngineCore, param: string, text: string): Prompt {
  if (text === '') throw refuse(param, text, 'text; an empty prompt has no token');
  checkTextLength(core, param, text.length);
  const tokens = core.tokenize(text, { parseSpecial: true });
  checkRoom(core, param, tokens.length);
  return { tokens, generatedPrefix: 0 };
}

function idPrompt(core: EngineCore, param: string, ids: readonly unknown[]): Prompt {
  if (ids.length === 0) throw refuse(param, ids, 'at least one token id');
  checkRoom(core, param, ids.length);
  return { tokens: checkTokenIds(param, ids, core.info.vocabularySize), generatedPrefix: 0 };
}

function checkTextLength(core: EngineCore, param: string, chars: number): void {
  const fewest = Math.ceil(chars / TOKEN_CHARS_MAX);
  if (fewest >= core.info.contextLength) throw tooLong(core, param, `at least ${fewest}`);
}

/** The prompt must leave room for one token. */
function checkRoom(core: EngineCore, param: string, tokens: number): void {
  if (tokens >= core.info.contextLength) throw tooLong(core, param, String(tokens));
}

function tooLong(core: EngineCore, param: string, found: string): PlatformError {
  const { model, contextLength } = core.info;
  return new PlatformError(
    'context_length_exceeded',
    `${param}: the prompt has ${found} tokens; the context of ${model} has ${contextLength}, and at least one must remain for the answer`,
    { param },
  );
}
