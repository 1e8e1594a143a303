/**
 * The end of another process's log file. Read at once and bounded, so that whoever hears of an exit can say with it what the
 * process said last.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';

const TAIL_BYTES_MAX = 16_384;

export interface LogTail {
  /** Bytes; 0 where there is no such file. */
  sizeOf(file: string): number;
  /** The last whole lines behind byte `from`, 16 KiB at most; none where the file cannot be read. */
  lines(file: string, from: number): string[];
}

export const logTail: LogTail = {
  sizeOf: (file) => statSync(file, { throwIfNoEntry: false })?.size ?? 0,
  lines: (file, from) => {
    let fd: number;
    try {
      fd = openSync(file, 'r');
    } catch {
      return [];
    }
    try {
      const { size } = fstatSync(fd);
      // A file that is shorter than it was has been set aside meanwhile.
      const begin = from > size ? 0 : from;
      const start = Math.max(begin, size - TAIL_BYTES_MAX);
      const bytes = Buffer.alloc(size - start);
      const read = readSync(fd, bytes, 0, bytes.length, start);
      const lines = bytes.toString('utf8', 0, read).split('\n');
      return start > begin ? lines.slice(1) : lines;
    } catch {
      return [];
    } finally {
      closeSync(fd);
    }
  },
};
