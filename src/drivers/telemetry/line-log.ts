/**
 * Appends lines to a file: at once, or in batches (one write per 100 ms or 64 KiB) off the request path. The file is opened for append, so
 * that several threads and a copy-truncate rotation can share it, and opened anew when it was deleted. What can not be written
 * is counted and dropped: a full disk must not stop requests.
 */
import { closeSync, fstatSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

const FLUSH_MS = 100;
const BATCH_CHARS_MAX = 65_536;

export interface LineLog {
  write(line: string): void;
  /** Writes what is pending and closes the file. */
  close(): void;
  /** Lines lost because the file could not be written. */
  readonly dropped: number;
}

export function openLineLog(path: string, { batched }: { batched: boolean }): LineLog {
  let fd: number | null = openIfPossible(path);
  let batch = '';
  let lines = 0;
  let dropped = 0;
  let closed = false;
  let timer: NodeJS.Timeout | null = null;
  const flush = () => {
    timer = null;
    if (batch === '' || closed) return;
    try {
      if (fd !== null && isDeleted(fd)) {
        closeSync(fd);
        fd = null;
      }
      fd ??= open(path);
      writeSync(fd, batch);
    } catch {
      dropped += lines;
    }
    batch = '';
    lines = 0;
  };
  return {
    write: (line) => {
      batch += line;
      lines++;
      if (!batched || batch.length >= BATCH_CHARS_MAX) flush();
      else timer ??= setTimeout(flush, FLUSH_MS).unref();
    },
    close: () => {
      if (timer !== null) clearTimeout(timer);
      flush();
      closed = true;
      if (fd !== null) closeSync(fd);
      fd = null;
    },
    get dropped() {
      return dropped;
    },
  };
}

function open(path: string): number {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  return openSync(path, 'a', 0o600);
}

/** A log that can not be opened, on a full or read-only disk, is tried again with each write. */
function openIfPossible(path: string): number | null {
  try {
    return open(path);
  } catch {
    return null;
  }
}

/** No name leads to the file any more: what is written there nobody can read. */
function isDeleted(fd: number): boolean {
  return fstatSync(fd).nlink === 0;
}
