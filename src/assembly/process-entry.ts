/** Path of the entry file of a process of ours: `.ts` in a checkout, `.js` in a built package. */
import { extname, join } from 'node:path';

export type ProcessName =
  | 'node-process'
  | 'owned-serve-process'
  | 'gateway-process'
  | 'embedded-engine-process'
  | 'simulator-process';

export function processEntry(name: ProcessName): string {
  return join(import.meta.dirname, `${name}${extname(import.meta.filename)}`);
}
