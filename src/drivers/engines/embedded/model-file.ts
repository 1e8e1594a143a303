/**
 * Checks a model file before anything native reads it: it exists, is a file, is GGUF, and is as long as its own head says. The
 * built-in model is also checked by size and checksum. Every refusal is a `model_file_invalid` that names path, found, expected.
 */
import { createHash } from 'node:crypto';
import { readFileSync, realpathSync, type Stats, statSync } from 'node:fs';
import { PlatformError } from '../../../contract/errors.ts';
import { BUILTIN_MODEL } from './builtin-model.ts';
import { GgufFault, readGgufHead } from './gguf-header.ts';

export interface ModelFile {
  path: string;
  bytes: number;
  /** The model that comes with the platform, unchanged. */
  builtin: boolean;
}

/** What the file of the built-in model must be; tests pass their own. */
export interface ExpectedFile {
  path: string;
  bytes: number;
  sha256: string;
}

export function checkModelFile(path: string, expected: ExpectedFile = BUILTIN_MODEL): ModelFile {
  const stats = statModel(path);
  if (!stats.isFile()) throw invalid(path, `found ${kindOf(stats)}; expected a GGUF file`);
  const builtin = isSameFile(path, expected.path);
  if (builtin && stats.size !== expected.bytes) {
    throw invalid(path, `found ${stats.size} bytes; the built-in model has ${expected.bytes}`);
  }
  const needed = bytesNeeded(path);
  if (stats.size < needed) {
    throw invalid(path, `found ${stats.size} bytes; its head says ${needed}: the file is truncated`);
  }
  if (builtin) checkSum(path, expected.sha256);
  return { path, bytes: stats.size, builtin };
}

function statModel(path: string): Stats {
  try {
    return statSync(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const found = code === 'ENOENT' ? 'no such file' : `it can not be read (${code ?? 'unknown error'})`;
    throw invalid(path, `found ${found}; expected a GGUF file`, cause);
  }
}

function kindOf(stats: Stats): string {
  return stats.isDirectory() ? 'a directory' : 'something that is not a plain file';
}

function bytesNeeded(path: string): number {
  try {
    return readGgufHead(path).bytesNeeded;
  } catch (cause) {
    if (cause instanceof GgufFault) throw invalid(path, `it ${cause.message}`, cause);
    const { code } = cause as NodeJS.ErrnoException;
    throw invalid(path, `it can not be read (${code ?? 'unknown error'})`, cause);
  }
}

function checkSum(path: string, expected: string): void {
  const found = createHash('sha256').update(readFileSync(path)).digest('hex');
  if (found !== expected) {
    throw invalid(
      path,
      `found SHA-256 ${found}; the built-in model has ${expected}: the file was changed or damaged`,
    );
  }
}

function isSameFile(path: string, other: string): boolean {
  try {
    return realpathSync(path) === realpathSync(other);
  } catch {
    return false;
  }
}

function invalid(path: string, detail: string, cause?: unknown): PlatformError {
  return new PlatformError('model_file_invalid', `model file ${path}: ${detail}`, { cause });
}
