import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, it } from 'vitest';
import { generatedPages } from './pages.ts';

it.each(generatedPages())('$path is what the code says; `npm run generate` writes it', ({ path, text }) => {
  const file = resolve(import.meta.dirname, '../..', path);
  expect(existsSync(file) ? readFileSync(file, 'utf8') : '(missing)').toBe(text);
});
