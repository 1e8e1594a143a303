/**
 * POST /tokenize and /detokenize, as in vLLM. `add_special_tokens` is checked and changes nothing: engines of ours put no token
 * of their own in front of a text.
 */
import type { EngineCore } from '../../contract/ports/engine-core.ts';
import { isRecord } from '../json/parse-object.ts';
import { tokenText } from './logprob-shapes.ts';
import { parseMessages } from './parse-messages.ts';
import { chatPrompt, parseRenderOptions } from './parse-prompt.ts';
import { booleanField, checkTokenIds, type Fields, refuse } from './request-fields.ts';

/** Tokenizing is one uninterrupted piece of work, so it has its own bound. */
const TEXT_CHARS_MAX = 1_000_000;
const TOKENS_MAX = 1_000_000;

export function answerTokenize(core: EngineCore, fields: Fields): object {
  booleanField(fields, 'add_special_tokens', true);
  const tokens = fields.messages === undefined ? promptTokens(core, fields) : messageTokens(core, fields);
  const strings = booleanField(fields, 'return_token_strs', false)
    ? tokens.map((id) => core.tokenText?.(id) ?? tokenText(core.detokenize([id])))
    : null;
  return { count: tokens.length, max_model_len: core.info.contextLength, tokens, token_strs: strings };
}

export function answerDetokenize(core: EngineCore, fields: Fields): object {
  const { tokens } = fields;
  if (!Array.isArray(tokens)) throw refuse('tokens', tokens, 'an array of token ids');
  if (tokens.length > TOKENS_MAX) throw refuse('tokens', tokens, `at most ${TOKENS_MAX} token ids`);
  const ids = checkTokenIds('tokens', tokens, core.info.vocabularySize);
  return { prompt: new TextDecoder('utf-8', { ignoreBOM: true }).decode(core.detokenize(ids)) };
}

function promptTokens(core: EngineCore, fields: Fields): number[] {
  const { prompt } = fields;
  if (typeof prompt !== 'string') throw refuse('prompt', prompt, 'a string, or messages instead');
  if (prompt.length > TEXT_CHARS_MAX) {
    throw refuse('prompt', prompt, `at most ${TEXT_CHARS_MAX} characters`);
  }
  return core.tokenize(prompt, { parseSpecial: true });
}

function messageTokens(core: EngineCore, fields: Fields): number[] {
  const kwargs = fields.chat_template_kwargs ?? null;
  if (kwargs !== null && !isRecord(kwargs)) throw refuse('chat_template_kwargs', kwargs, 'an object');
  return chatPrompt(core, parseMessages(fields), parseRenderOptions(fields)).tokens;
}
