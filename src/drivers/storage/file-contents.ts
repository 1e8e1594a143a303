/**
 * Bytes of files as files in one directory, named by id. What is being written has another name until it is whole and synced;
 * the rename makes it visible, so half a file never is.
 */
import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PlatformError } from '../../contract/errors.ts';
import type { FileContents, OpenFile, StagedFile } from '../../contract/ports/file-contents.ts';
import { isNoRoom } from './no-room.ts';
import { syncDirectory } from './whole-file.ts';

/** In the state directory. */
export const FILES_FOLDER = 'files';

const STAGED_PREFIX = '.staged-';
const ID = /^[A-Za-z0-9_-]{1,100}$/;
const READ_BYTES = 65_536;

export function openFileContents(directory: string): FileContents {
  const pathOf = (id: string) => {
    if (!ID.test(id)) throw new RangeError(`"${id.slice(0, 100)}" is no id of a file`);
    return join(directory, id);
  };
  return {
    stage: (chunks) => stage(directory, pathOf, chunks),
    open: async (id) => {
      if (!ID.test(id)) return null;
      try {
        const handle = await open(pathOf(id), 'r');
        return new OpenDiskFile(handle, (await handle.stat()).size);
      } catch (error) {
        if (isMissing(error)) return null;
        throw explain(error, directory);
      }
    },
    remove: async (id) => {
      await rm(pathOf(id), { force: true }).catch((error) => {
        throw explain(error, directory);
      });
    },
    sweep: (olderThanAtMs) => sweep(directory, olderThanAtMs),
  };
}

async function stage(
  directory: string,
  pathOf: (id: string) => string,
  chunks: AsyncIterable<Uint8Array>,
): Promise<StagedFile> {
  const temporary = join(directory, `${STAGED_PREFIX}${randomUUID()}`);
  const discard = () => rm(temporary, { force: true });
  let bytes = 0;
  let file: FileHandle | null = null;
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    file = await open(temporary, 'wx', 0o600);
    for await (const chunk of chunks) {
      await file.writeFile(chunk);
      bytes += chunk.length;
    }
    await file.sync();
  } catch (error) {
    await file?.close().catch(() => {});
    file = null;
    await discard();
    throw explain(error, directory);
  } finally {
    await file?.close();
  }
  return {
    bytes,
    discard,
    keep: async (id) => {
      try {
        await rename(temporary, pathOf(id));
        await syncDirectory(directory);
      } catch (error) {
        await discard();
        throw explain(error, directory);
      }
    },
  };
}

class OpenDiskFile implements OpenFile {
  readonly bytes: number;
  readonly #handle: FileHandle;

  constructor(handle: FileHandle, bytes: number) {
    this.#handle = handle;
    this.bytes = bytes;
  }

  async *chunks(from = 0, to = this.bytes): AsyncGenerator<Buffer> {
    for (let at = from; at < to; ) {
      const chunk = await this.read(at, Math.min(READ_BYTES, to - at));
      if (chunk.length === 0) return;
      at += chunk.length;
      yield chunk;
    }
  }

  async read(from: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await this.#handle.read(buffer, filled, length - filled, from + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

async function sweep(directory: string, olderThanAtMs: number): Promise<{ id: string; keptAtMs: number }[]> {
  const old: { id: string; keptAtMs: number }[] = [];
  const names = await readdir(directory).catch((error) => {
    if (isMissing(error)) return [];
    throw explain(error, directory);
  });
  for (const name of names) {
    const found = await stat(join(directory, name)).catch(() => null);
    if (found === null || !found.isFile() || found.mtimeMs > olderThanAtMs) continue;
    if (name.startsWith(STAGED_PREFIX)) await rm(join(directory, name), { force: true });
    else if (ID.test(name)) old.push({ id: name, keptAtMs: found.mtimeMs });
  }
  return old;
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

/** Errors of the disk become `storage_full` or `storage_unavailable`; what the source of the bytes threw stays what it is. */
function explain(error: unknown, directory: string): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (error instanceof PlatformError || code === undefined || syscall === undefined) return error;
  if (isNoRoom(error)) {
    return new PlatformError('storage_full', `the disk is full (${code}); the file was not kept`, {
      cause: error,
    });
  }
  const message = `files cannot be used in ${directory}: ${(error as Error).message}`;
  return new PlatformError('storage_unavailable', message, { cause: error, retryAfterS: 30 });
}
