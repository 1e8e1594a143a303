/**
 * The package by its name: from `src/` in a checkout, so that nothing has to be built first, from `dist/` in an installed
 * package. Plain JavaScript that old Nodes can read: it says what Node is needed before it loads what they cannot read.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR_MIN = 24;

const source = fileURLToPath(new URL('src/index.ts', import.meta.url));
const isCheckout = existsSync(source);

if (Number(process.versions.node.split('.')[0]) < NODE_MAJOR_MIN)
  throw new Error(
    `open-autoglm needs Node ${NODE_MAJOR_MIN} or later; this is Node ${process.versions.node} (${process.execPath})` +
      (isCheckout ? '; in the checkout, `npx node FILE` runs a file with the one that `npm ci` brought' : ''),
  );

// Not `await import`: a module with a top-level await could not be loaded by `require`.
export const { InferenceEngine, PlatformError } = createRequire(import.meta.url)(
  isCheckout ? source : fileURLToPath(new URL('dist/index.js', import.meta.url)),
);
