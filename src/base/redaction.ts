/**
 * Takes keys and passwords out of text that is kept or shown: logs, command lines, settings. It knows the secrets that it is told,
 * and what looks like one by its name or its form. Rather a harmless word too many is lost than one secret kept.
 */
import type { Secret } from './secret.ts';

const REDACTED = '[secret]';

export interface Redactor {
  text(text: string): string;
  /** The arguments of a command, its name first. */
  words(words: readonly string[]): string[];
  /** Every text in plain data, and whatever stands under a name of a secret. */
  data(value: unknown): unknown;
}

/** Shorter ones would be found in half of all words. */
const SECRET_CHARACTERS_MIN = 6;
const DEPTH_MAX = 40;

/** Of a name in small letters, its words joined by `_`. */
const NAMES_A_SECRET =
  /(?:^|_)(?:api_?key|access_?key|secret|secret_?key|private_?key|password|passwd|passphrase|credentials?|authorization)$/;
/** Engines count tokens of another kind. */
const NAMES_A_TOKEN =
  /^token$|(?:^|_)(?:auth|access|refresh|session|bearer|hf|hub|api|github|id|security)_token$/;
const IS_VARIABLE_OF_A_TOKEN = /^[A-Z0-9_]*TOKEN$/;
const WORD = /(?<![\w.-])[\w.-]{3,80}(?![\w.-])/g;
/** `=x`, `": "x"`, `=> x` */
const ASSIGNED = /["']?\s{0,4}(?:=>|[=:])\s{0,4}/y;
const BLANK = /\s{1,4}/y;
/** In quotes, or up to what ends it. */
const VALUE = /"[^"\n]*"|'[^'\n]*'|[^\s,;&"'\])}]+/y;
const NOTHING = /^["']?(none|null|true|false|undefined|)["']?$/i;
const SCHEME = /^["']?(?:Bearer|Basic)$/i;

function namesSecret(name: string): boolean {
  const bare = name.replace(/^-+/, '');
  if (IS_VARIABLE_OF_A_TOKEN.test(bare)) return true;
  const joined = bare
    .replace(/([a-z\d])([A-Z])/g, '$1_$2')
    .replace(/[.-]/g, '_')
    .toLowerCase();
  return NAMES_A_SECRET.test(joined) || NAMES_A_TOKEN.test(joined);
}

/** Takes out what stands behind a name of a secret: `api_key='x'`, `"password": "x"`, `HF_TOKEN=x`, `--api-key x`. */
function withoutNamed(given: string): string {
  let shown = '';
  let done = 0;
  for (const { 0: name, index } of given.matchAll(WORD)) {
    if (index < done || !namesSecret(name)) continue;
    const valueAt = endOf(ASSIGNED, given, index + name.length) ?? afterOption(given, name, index);
    if (valueAt === null) continue;
    const found = valueBehindScheme(given, valueAt);
    if (found === null) continue;
    const value = given.slice(found.from, found.to);
    if (NOTHING.test(value) || value.startsWith('[secret')) continue;
    shown += given.slice(done, found.from) + REDACTED;
    done = found.to;
  }
  return shown + given.slice(done);
}

/** `Bearer x` is a value of two words, of which the second one counts. */
function valueBehindScheme(given: string, from: number): { from: number; to: number } | null {
  const to = endOf(VALUE, given, from);
  if (to === null || !SCHEME.test(given.slice(from, to))) return to === null ? null : { from, to };
  const next = endOf(BLANK, given, to);
  const nextTo = next === null ? null : endOf(VALUE, given, next);
  return next === null || nextTo === null ? null : { from: next, to: nextTo };
}

function afterOption(given: string, name: string, index: number): number | null {
  return name.startsWith('-') ? endOf(BLANK, given, index + name.length) : null;
}

function endOf(pattern: RegExp, text: string, from: number): number | null {
  pattern.lastIndex = from;
  return pattern.test(text) ? pattern.lastIndex : null;
}

/** What is one by its form, wherever it stands. */
const FORMS: readonly [RegExp, string][] = [
  [
    /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
    `${REDACTED} (a private key)`,
  ],
  [/\b(Bearer|Basic)(\s+)[\w+/=.~-]{6,}/gi, `$1$2${REDACTED}`],
  [
    /((?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/@:"']{0,256}(?::[^\s/@"']{0,512})?@/gi,
    `$1${REDACTED}@`,
  ],
  [/\b(?:sk|pk|rk|hf|gh[opsu]|github_pat|glpat|xox[abp]|nvapi|gsk|dop_v1)[-_][\w-]{10,}/g, REDACTED],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, REDACTED],
  [/\bAIza[\w-]{30,}/g, REDACTED],
  [/\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g, REDACTED],
];

export function createRedactor(secrets: readonly Secret[]): Redactor {
  const known = [...new Set(secrets.map((secret) => secret.reveal()))]
    .filter((text) => text.length >= SECRET_CHARACTERS_MIN)
    // As it is, and as JSON and addresses write it; the longest first, for one may begin another.
    .flatMap((text) => [text, JSON.stringify(text).slice(1, -1), encodeURIComponent(text)])
    .sort((a, b) => b.length - a.length);

  const text = (given: string): string => {
    let shown = given;
    for (const secret of known) shown = shown.replaceAll(secret, REDACTED);
    for (const [form, instead] of FORMS) shown = shown.replace(form, instead);
    return withoutNamed(shown);
  };

  const words = (given: readonly string[]): string[] =>
    given.map((word, index) => {
      const before = given[index - 1];
      const isValue = before?.startsWith('-') === true && namesSecret(before) && !word.startsWith('--');
      return isValue ? REDACTED : text(word);
    });

  const data = (value: unknown, depth = 0): unknown => {
    if (typeof value === 'string') return text(value);
    if (typeof value !== 'object' || value === null) return value;
    if (depth > DEPTH_MAX) return '[too deep]';
    if (Array.isArray(value)) {
      const isCommand = value.length > 0 && value.every((item) => typeof item === 'string');
      return isCommand ? words(value) : value.map((item) => data(item, depth + 1));
    }
    // A type of its own says itself how it is written.
    if ('toJSON' in value && typeof value.toJSON === 'function') return data(value.toJSON(), depth + 1);
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [
        name,
        namesSecret(name) && typeof item === 'string' && !NOTHING.test(item)
          ? REDACTED
          : data(item, depth + 1),
      ]),
    );
  };

  return { text, words, data: (value) => data(value) };
}
