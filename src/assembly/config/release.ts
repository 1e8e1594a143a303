/** The release of this package and what it runs on, read once from package.json. */
import { existsSync, readFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';

/** Root of the checkout or of the installed package; `src/` and `dist/` lie equally deep. */
export const PACKAGE_ROOT = resolve(import.meta.dirname, '../../..');

export const RELEASE: string = (
  JSON.parse(readFileSync(resolve(PACKAGE_ROOT, 'package.json'), 'utf8')) as { version: string }
).version;

/** How a person in `workDir` starts this program: only inside a checkout does npx find it. */
export function programName(workDir: string): 'npx autoglm' | 'autoglm' {
  const checkout = existsSync(resolve(PACKAGE_ROOT, 'src'));
  return checkout && !relative(PACKAGE_ROOT, workDir).startsWith('..') ? 'npx autoglm' : 'autoglm';
}

/** What `autoglm version` and `autoglm --version` print. */
export function releaseLine(): string {
  return `autoglm ${RELEASE} (Node ${process.versions.node}, ${process.platform}-${process.arch})`;
}
