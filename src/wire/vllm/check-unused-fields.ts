/**
 * Fields of the OpenAI dialect that engines of ours do not act on. Values of the wrong type are refused all the same, so that a
 * mistake shows here and not first on another engine; what would change the answer and cannot be done is refused by name.
 */
import { type Fields, integerField, refuse } from './request-fields.ts';

/** Constraints on the text that only a grammar of their own could keep. */
const UNSUPPORTED = [
  'guided_grammar',
  'guided_regex',
  'guided_choice',
  'guided_decoding_backend',
  'structural_tag',
];

export function checkUnusedFields(fields: Fields): void {
  for (const field of UNSUPPORTED) {
    const value = fields[field] ?? null;
    if (value !== null)
      throw refuse(field, value, 'nothing: of structured output this engine does JSON Schema only');
  }
  const bestOf = integerField(fields, 'best_of', { min: 1, max: 16 });
  if (bestOf !== undefined && bestOf > 1)
    throw refuse('best_of', bestOf, '1: this engine does not rank answers');
}
