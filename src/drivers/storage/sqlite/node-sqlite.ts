/**
 * SQLite as Node brings it. Loading it makes a Node older than 24.15 print that it is experimental, once per process, into
 * the terminal of whoever tries us: that one warning is left out while the module loads, and every other one stays.
 */
import type { DatabaseSync as Database } from 'node:sqlite';

export type { Database };

export const { DatabaseSync } = withoutWarning(() => process.getBuiltinModule('node:sqlite'));

function withoutWarning<T>(load: () => T): T {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return load();
  } finally {
    process.emitWarning = emitWarning;
  }
}
