/** Values and texts that break parsers, for fast-check: what JSON allows and nobody expects, and what it does not allow. */
import fc from 'fast-check';

const character = fc.constantFrom(
  ...'abcxyzABC0129 _-.,:;/\\"\'{}[]<>&?%#\n\r\t\0\u001f\u007f\u0085éßñœ\u0301漢字ไ\u200d\u2028\u202e\ufeff\ufffd🙂👍\u{10ffff}',
);

/**
 * Text of up to so many characters from every region that parsers treat apart. Unlike `fc.string({ unit: 'binary' })` it costs no table of a million
 * characters, which takes half a second in each file.
 */
export function anyText(maxLength: number, minLength = 0): fc.Arbitrary<string> {
  return fc.string({ unit: character, minLength, maxLength });
}

/**
 * Text for keys, none of which ends with a backslash: V8 13.6 reads a key with an escape (`"\u0041"`) as another one of the same length that does so, once it has seen that one
 * in an object of the same shape.
 */
const keyText = (maxLength: number) => anyText(maxLength).map((text) => text.replaceAll('\\', '|'));

/** Valid JSON of any shape, as text: odd spacing, escapes, keys of prototypes, numbers beyond doubles, keys twice. */
export const validJson: fc.Arbitrary<string> = fc.letrec<{ value: string }>((tie) => {
  const space = fc.constantFrom('', '', ' ', '\n\t');
  const fixed = fc.constantFrom(
    ...['"__proto__"', '"constructor"', '"\\ud800"', '"\\u0000"', '"\\/"', '""', '"toString"'],
    ...['"model"', '"messages"', '"stream"', '"n"', '"tools"', '"choices"', '"delta"', '"index"'],
  );
  const quoted = (text: string) => JSON.stringify(text);
  const string = fc.oneof(anyText(6).map(quoted), fixed);
  const name = fc.oneof(keyText(6).map(quoted), fixed);
  const number = fc.constantFrom('0', '-0', '1e999', '-1e-999', '12345678901234567890', '0.1', '1E+2');
  const list = fc.array(tie('value'), { maxLength: 3 });
  const pairs = fc.array(fc.tuple(name, tie('value')), { maxLength: 4 });
  return {
    value: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      fc.oneof(fc.constantFrom('null', 'true', 'false'), number, string),
      fc.tuple(space, list).map(([gap, items]) => `[${gap}${items.join(`${gap},`)}${gap}]`),
      fc
        .tuple(space, pairs)
        .map(
          ([gap, items]) =>
            `{${items.map(([key, value]) => `${gap}${key}${gap}:${gap}${value}`).join(',')}${gap}}`,
        ),
    ),
  };
}).value;

const scalar: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, 0, -1, 0.1, 1e300, Number.MIN_VALUE, 2 ** 53),
  fc.integer(),
  anyText(6),
  fc.constantFrom('__proto__', 'constructor', 'model'),
);
const key: fc.Arbitrary<string> = fc.oneof(
  keyText(4),
  fc.constantFrom('__proto__', 'constructor', 'toString', 'model', 'messages', 'type', '"', 'a\\b'),
);

/**
 * A value that JSON can hold, of at most this depth and three children in each place. Unlike `fc.jsonValue` it stays small, so that 10,000 cases with
 * several of them are made in a fraction of a second.
 */
export function jsonValue(depth: number): fc.Arbitrary<unknown> {
  if (depth === 0) return scalar;
  const inner = jsonValue(depth - 1);
  return fc.oneof(
    { weight: 2, arbitrary: scalar },
    fc.array(inner, { maxLength: 3 }),
    jsonObject(inner, { maxKeys: 3 }),
  );
}

/** An object with any keys, those of prototypes too. `fc.dictionary` makes the same at several times the cost. */
export function jsonObject<Value>(
  value: fc.Arbitrary<Value>,
  { maxKeys, keys = key }: { maxKeys: number; keys?: fc.Arbitrary<string> },
): fc.Arbitrary<Record<string, Value>> {
  return fc.array(fc.tuple(keys, value), { maxLength: maxKeys }).map((pairs) => Object.fromEntries(pairs));
}

/** Any value of JavaScript that may stand where JSON was read: what JSON can hold, and what it cannot. */
export const anyValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: jsonValue(2) },
  fc.constantFrom<unknown>(undefined, Number.NaN, -0, Number.POSITIVE_INFINITY, 1n),
);

/** Bytes that may be JSON, nearly JSON, or nothing of the kind. */
export const anyBytes: fc.Arbitrary<Buffer> = fc.oneof(
  validJson.map((text) => Buffer.from(text)),
  fc.tuple(validJson, fc.nat(200)).map(([text, cut]) => Buffer.from(text).subarray(0, cut)),
  fc
    .tuple(validJson, fc.constantFrom('\u0000', ',', '}', '//', '\ufeff'))
    .map(([text, end]) => Buffer.from(text + end)),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
);
