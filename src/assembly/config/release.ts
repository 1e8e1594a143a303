/** The release of this package and what it runs on, read once from package.json. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

/** Root of the checkout or of the installed package; `src/` and `dist/` lie equally deep. */
export const PACKAGE_ROOT = resolve(import.meta.dirname, '../../..');

export const RELEASE: string = (
  JSON.parse(readFileSync(resolve(PACKAGE_ROOT, 'package.json'), 'utf8')) as { version: string }
).version;
