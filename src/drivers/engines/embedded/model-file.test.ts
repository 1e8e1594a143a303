import { createHash } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { PlatformError } from '../../../contract/errors.ts';
import { BUILTIN_MODEL } from './builtin-model.ts';
import { GgufFault, readGgufHead } from './gguf-header.ts';
import { checkModelFile } from './model-file.ts';

const directory = mkdtempSync(join(tmpdir(), 'autoglm-gguf-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const refusal = (check: () => unknown) => {
  try {
    check();
  } catch (error) {
    if (error instanceof PlatformError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return null;
};

describe('model file', () => {
  it('accepts the built-in model, and knows exactly where it ends', () => {
    expect(checkModelFile(BUILTIN_MODEL.path)).toEqual({
      path: BUILTIN_MODEL.path,
      bytes: BUILTIN_MODEL.bytes,
      builtin: true,
    });
    // The last tensor is padded to 32 bytes.
    const { bytesNeeded, version } = readGgufHead(BUILTIN_MODEL.path);
    expect(version).toBe(3);
    expect(BUILTIN_MODEL.bytes - bytesNeeded).toBeGreaterThanOrEqual(0);
    expect(BUILTIN_MODEL.bytes - bytesNeeded).toBeLessThan(32);
  });

  it('names the constants of the card', () => {
    const card = readFileSync(join(BUILTIN_MODEL.path, '../README.md'), 'utf8');
    expect(card).toContain(BUILTIN_MODEL.sha256);
    expect(card.replaceAll(/[\u00a0\u202f ]/g, '')).toContain(`${BUILTIN_MODEL.bytes}bytes`);
  });

  it('finds a changed byte in the built-in model by its checksum, and a wrong size before', () => {
    const path = join(directory, 'built-in.gguf');
    copyFileSync(BUILTIN_MODEL.path, path);
    const expected = { path, bytes: BUILTIN_MODEL.bytes, sha256: BUILTIN_MODEL.sha256 };
    expect(checkModelFile(path, expected).builtin).toBe(true);
    const bytes = readFileSync(path);
    bytes[bytes.length - 1000] = (bytes[bytes.length - 1000] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const found = createHash('sha256').update(bytes).digest('hex');
    expect(refusal(() => checkModelFile(path, expected))).toContain(
      `found SHA-256 ${found}; the built-in model has ${BUILTIN_MODEL.sha256}`,
    );
    truncateSync(path, 2_000_000);
    expect(refusal(() => checkModelFile(path, expected))).toContain(
      `found 2000000 bytes; the built-in model has ${BUILTIN_MODEL.bytes}`,
    );
  });

  it('finds every truncation', () => {
    const path = join(directory, 'cut.gguf');
    const whole = readFileSync(BUILTIN_MODEL.path);
    const { bytesNeeded } = readGgufHead(BUILTIN_MODEL.path);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: bytesNeeded - 1 }), (length) => {
        writeFileSync(path, whole.subarray(0, length));
        expect(refusal(() => checkModelFile(path))).toMatch(/^model_file_invalid: .*truncated/);
      }),
      { numRuns: 200 },
    );
  });

  it('refuses or accepts a head with any damage, and does nothing else', () => {
    const path = join(directory, 'damaged.gguf');
    const head = readFileSync(BUILTIN_MODEL.path).subarray(0, 4096);
    // Written in place: to make a file anew takes longer than to read it.
    const file = openSync(path, 'w');
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(4095), fc.nat(255)), { minLength: 1, maxLength: 8 }), (damage) => {
        const bytes = Buffer.from(head);
        for (const [place, value] of damage) bytes[place] = value;
        writeSync(file, bytes, 0, bytes.length, 0);
        try {
          readGgufHead(path);
        } catch (error) {
          if (!(error instanceof GgufFault)) throw error;
        }
      }),
      { numRuns: 2_000 },
    );
    closeSync(file);
  });
});
