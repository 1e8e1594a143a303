/**
 * Appends lines to a file in batches: one write per 100 ms or 64 KiB, off the request path. The file is opened for append, so
 * that several threads and a copy-truncate rotation can share it. What can not be written is counted and dropped: a full disk
 * must not stop requests.
 */
import { closeSync, openSync, writeSync } from 'node:fs';

const FLUSH_MS = 100;
const BATCH_CHARS_MAX = 65_536;

export interface LineLog {
  write(line: string): void;
  /** Writes what is pending and closes the file. */
  close(): void;
  /** Lines lost because the file could not be written. */
  readonly dropped: number;
}

export function openLineLog(path: string): LineLog {
  let fd: number | null = openSync(path, 'a', 0o600);
  let batch = '';
  let lines = 0;
  let dropped = 0;
  let timer: NodeJS.Timeout | null = null;
  const flush = () => {
    timer = null;
    if (batch === '' || fd === null) return;
    try {
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
      if (batch.length >= BATCH_CHARS_MAX) flush();
      else timer ??= setTimeout(flush, FLUSH_MS).unref();
    },
    close: () => {
      if (timer !== null) clearTimeout(timer);
      flush();
      if (fd !== null) closeSync(fd);
      fd = null;
    },
    get dropped() {
      return dropped;
    },
  };
}
