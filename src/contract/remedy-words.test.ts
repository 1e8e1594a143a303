import { expect, it } from 'vitest';
import { REMEDIES } from './remedies.ts';
import { REMEDY_SYNONYMS, REMEDY_WORDS, remedyNamed } from './remedy-words.ts';

it('every word is one of one remedy, and no synonym is the name of another remedy', () => {
  expect(new Set(REMEDY_WORDS).size).toBe(REMEDY_WORDS.length);
  for (const word of REMEDY_WORDS) expect(REMEDIES, word).toHaveProperty(remedyNamed(word));
  for (const word of Object.keys(REMEDY_SYNONYMS)) expect(REMEDIES).not.toHaveProperty(word);
});
