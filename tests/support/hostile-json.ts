/** Values and texts that break parsers, for fast-check: what JSON allows and nobody expects, and what it does not allow. */
import fc from 'fast-check';

/** Valid JSON of any shape, as text: odd spacing, escapes, keys of prototypes, numbers beyond doubles, keys twice. */
export const validJson: fc.Arbitrary<string> = fc.letrec<{ value: string }>((tie) => {
  const space = fc.constantFrom('', '', ' ', '\n\t');
  const string = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 6 }).map((text) => JSON.stringify(text)),
    fc.constantFrom('"__proto__"', '"constructor"', '"\\ud800"', '"\\u0000"', '"\\/"', '""', '"toString"'),
    fc.constantFrom('"model"', '"messages"', '"stream"', '"n"', '"tools"', '"choices"', '"delta"', '"index"'),
  );
  const number = fc.constantFrom('0', '-0', '1e999', '-1e-999', '12345678901234567890', '0.1', '1E+2');
  const list = fc.array(tie('value'), { maxLength: 3 });
  const pairs = fc.array(fc.tuple(string, tie('value')), { maxLength: 4 });
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

/** Bytes that may be JSON, nearly JSON, or nothing of the kind. */
export const anyBytes: fc.Arbitrary<Buffer> = fc.oneof(
  validJson.map((text) => Buffer.from(text)),
  fc.tuple(validJson, fc.nat(200)).map(([text, cut]) => Buffer.from(text).subarray(0, cut)),
  fc
    .tuple(validJson, fc.constantFrom('\u0000', ',', '}', '//', '\ufeff'))
    .map(([text, end]) => Buffer.from(text + end)),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
);
