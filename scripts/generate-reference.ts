/** `npm run generate`: writes the reference pages and schemas that come from the code. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { generatedPages } from './reference/pages.ts';

for (const { path, text } of generatedPages()) {
  const target = resolve(import.meta.dirname, '..', path);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, text);
  process.stdout.write(`${path}\n`);
}
