/** A directory for PATH with the programs of all engines that we can start, each a stand-in (stand-in-engine.ts). */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const ENGINE = resolve(import.meta.dirname, 'stand-in-engine.ts');
export const STAND_IN_PROGRAMS = [
  'vllm',
  'python3',
  'text-generation-launcher',
  'llama-server',
  'ollama',
  'tritonserver',
];

/** Writes them below `directory`; the value is what PATH must begin with. */
export function writeStandIns(directory: string): string {
  const bin = join(directory, 'bin');
  mkdirSync(bin, { recursive: true });
  for (const program of STAND_IN_PROGRAMS) {
    const file = join(bin, program);
    writeFileSync(file, `#!/bin/sh\nexec '${process.execPath}' --no-warnings '${ENGINE}' ${program} "$@"\n`);
    chmodSync(file, 0o755);
  }
  return bin;
}
