/** What is wrong with a text that is no YAML, in words for people who write it and not for those who parse it. */
import type { ErrorCode } from 'yaml';

const FAULT_CHARACTERS_MAX = 200;

const WORDS: Partial<Record<ErrorCode, string>> = {
  TAB_AS_INDENT: 'found a tab before the text; would be right: spaces',
  BAD_INDENT:
    'found a line that stands too far left or right; keys of one map, and dashes of one list, stand below each other, and each bracket that is opened is closed',
  MULTILINE_IMPLICIT_KEY:
    'found a line that is neither `key: value` nor `- item`; a text of several lines needs quotes',
  BLOCK_AS_IMPLICIT_KEY:
    'found a second `key: value` on one line; put it on a line of its own, or the text in quotes',
  BLOCK_IN_FLOW:
    'found a list or map with dashes or indentation between brackets; write it with brackets, too',
  MISSING_CHAR:
    'a quote, a colon, a comma or a closing bracket is missing here or before, or the line stands too far left or right',
  UNEXPECTED_TOKEN: 'found something that belongs to no key here; text with special characters needs quotes',
  BAD_SCALAR_START: 'found a text that begins with a special character (such as @ or `); put it in quotes',
  BAD_DQ_ESCAPE:
    'found a backslash that means nothing between double quotes; write \\\\, or use single quotes',
  BAD_ALIAS: 'found * or & without a name behind it; text that begins so needs quotes',
  TAG_RESOLVE_FAILED: 'found a tag (!) that is not known; text that begins with ! needs quotes',
  MULTIPLE_DOCS: 'found a second document (---); would be right: one document',
  KEY_OVER_1024_CHARS: 'found a key of more than 1024 characters',
};

/** `rest` begins where the fault is. */
export function yamlFault(code: ErrorCode, message: string, rest: string): string {
  if (code === 'DUPLICATE_KEY') return givenTwice(rest);
  const words = WORDS[code];
  if (words !== undefined) return words;
  return message.length > FAULT_CHARACTERS_MAX ? `${message.slice(0, FAULT_CHARACTERS_MAX)}...` : message;
}

/** `rest` begins with the key. */
function givenTwice(rest: string): string {
  const key = /^(?:"[^"\n]*"|'[^'\n]*'|[^:\s,{}[\]]+)/.exec(rest)?.[0].slice(0, 80) ?? 'this key';
  return `${key}: this key is given twice; keep one of them`;
}
