/**
 * Settings of a generation and where each convention of tensors takes them: one table, from which requests are made. What is
 * not in it is refused or dropped, as docs/reference/dialects-kserve.md says row by row.
 */
import { PlatformError } from '../../contract/errors.ts';
import { showFound } from '../json/parse-object.ts';

export type SettingKind = 'number' | 'integer' | 'boolean' | 'texts' | 'integers';

export interface Setting {
  field: string;
  kind: SettingKind;
  /** The vLLM backend reads it from `sampling_parameters`. */
  vllm: boolean;
  /** Tensors of TensorRT-LLM, the newest name first; none: it has no such setting. */
  tensorrtllm: readonly string[];
  /** Handed to plain text models as a parameter of the request. */
  text: boolean;
}

const setting = (
  field: string,
  kind: SettingKind,
  tensorrtllm: readonly string[] = [],
  text = false,
): Setting => ({ field, kind, vllm: true, tensorrtllm, text });

export const SETTINGS: readonly Setting[] = [
  setting('temperature', 'number', ['temperature'], true),
  setting('top_p', 'number', ['top_p'], true),
  setting('top_k', 'integer', ['top_k'], true),
  setting('min_p', 'number'),
  setting('seed', 'integer', ['seed', 'random_seed'], true),
  setting('min_tokens', 'integer', ['min_tokens']),
  setting('presence_penalty', 'number', ['presence_penalty']),
  setting('frequency_penalty', 'number', ['frequency_penalty']),
  setting('repetition_penalty', 'number', ['repetition_penalty'], true),
  setting('bad_words', 'texts', ['bad_words']),
  setting('stop', 'texts', ['stop_words']),
  setting('stop_token_ids', 'integers'),
  setting('ignore_eos', 'boolean'),
  setting('include_stop_str_in_output', 'boolean'),
  setting('skip_special_tokens', 'boolean'),
  setting('spaces_between_special_tokens', 'boolean'),
];

/** Dropping these would give an answer that the client did not ask for; a model without them refuses the request. */
export const NOT_DROPPED: readonly string[] = ['stop', 'stop_token_ids', 'bad_words'];

type Fields = Readonly<Record<string, unknown>>;
export type SettingValue = number | boolean | readonly string[] | readonly number[];

const TEXTS_MAX = 64;

/** The value of a setting; undefined where the request leaves it open. Throws PlatformError `invalid_request`. */
export function settingOf(fields: Fields, { field, kind }: Setting): SettingValue | undefined {
  const value = fields[field] ?? undefined;
  if (value === undefined) return undefined;
  switch (kind) {
    case 'number':
      return isNumber(value) ? value : refuse(field, value, 'a number');
    case 'integer':
      return isInteger(value) ? value : refuse(field, value, 'a whole number');
    case 'boolean':
      return typeof value === 'boolean' ? value : refuse(field, value, 'true or false');
    case 'texts': {
      const texts = (typeof value === 'string' ? [value] : value) as unknown;
      if (
        !Array.isArray(texts) ||
        texts.length > TEXTS_MAX ||
        !texts.every((text) => typeof text === 'string')
      )
        return refuse(field, value, `a text or up to ${TEXTS_MAX} of them`);
      return texts.length === 0 ? undefined : texts;
    }
    case 'integers':
      if (!Array.isArray(value) || value.length > TEXTS_MAX || !value.every(isInteger))
        return refuse(field, value, `up to ${TEXTS_MAX} whole numbers`);
      return value.length === 0 ? undefined : value;
  }
}

/** Whole numbers that a request may leave out, from 1. */
export function limitOf(fields: Fields, names: readonly string[]): number | undefined {
  for (const name of names) {
    const value = fields[name] ?? undefined;
    if (value === undefined) continue;
    if (!isInteger(value) || value < 1 || value > 2 ** 31 - 1)
      return refuse(name, value, 'a whole number from 1');
    return value;
  }
  return undefined;
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

export function refuse(param: string, found: unknown, expected: string): never {
  throw new PlatformError('invalid_request', `${param}: found ${showFound(found)}; expected ${expected}`, {
    param,
  });
}
