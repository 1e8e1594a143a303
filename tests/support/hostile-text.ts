/** Texts for fast-check that are quick to make: of any code point, lone surrogates included, and such as a header carries. */
import fc from 'fast-check';

const textOf = (codePoint: fc.Arbitrary<number>, constraints: fc.StringConstraints) =>
  fc.string({ ...constraints, unit: codePoint.map((code) => String.fromCodePoint(code)) });

export const anyText = textOf(fc.oneof(fc.nat(0x7f), fc.nat(0x10ffff)), { maxLength: 10 });

/** ASCII without a space. */
export const headerWord = textOf(fc.integer({ min: 0x21, max: 0x7e }), { minLength: 1 });
