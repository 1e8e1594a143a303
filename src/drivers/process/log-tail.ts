/**
 * Another process's log file, read at once and bounded, so that whoever hears of an exit can say with it what the process said
 * last, and whoever looks at an interval reads each line once. A file that cannot be read has no lines.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';

const TAIL_BYTES_MAX = 16_384;
const READ_BYTES_MAX = 256 * 1024;

export interface LogTail {
  /** Bytes; 0 where there is no such file. */
  sizeOf(file: string): number;
  /** The last whole lines behind byte `from`, 16 KiB at most. */
  lines(file: string, from: number): string[];
  /** Whole lines from byte `from` on, the last 256 KiB at most, and where to go on. */
  linesFrom(file: string, from: number): { lines: string[]; next: number };
}

export const logTail: LogTail = {
  sizeOf: (file) => statSync(file, { throwIfNoEntry: false })?.size ?? 0,
  lines: (file, from) => {
    const part = readPart(file, from, TAIL_BYTES_MAX);
    if (part === null) return [];
    const lines = part.bytes.toString('utf8').split('\n');
    return part.isCut ? lines.slice(1) : lines;
  },
  linesFrom: (file, from) => {
    const part = readPart(file, from, READ_BYTES_MAX);
    if (part === null) return { lines: [], next: from };
    const { bytes, start, isCut } = part;
    // What has no end yet is read again when it has one.
    const whole = bytes.lastIndexOf('\n') + 1;
    const lines = whole === 0 ? [] : bytes.toString('utf8', 0, whole - 1).split('\n');
    return { lines: isCut ? lines.slice(1) : lines, next: start + whole };
  },
};

/** The last bytes behind `from`; `isCut`: there were more than `bytesMax`, so they begin in the midst of a line. */
function readPart(
  file: string,
  from: number,
  bytesMax: number,
): { bytes: Buffer; start: number; isCut: boolean } | null {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch {
    return null;
  }
  try {
    const { size } = fstatSync(fd);
    // A file that is shorter than it was has been set aside meanwhile.
    const begin = from > size ? 0 : from;
    const start = Math.max(begin, size - bytesMax);
    const bytes = Buffer.alloc(size - start);
    const read = readSync(fd, bytes, 0, bytes.length, start);
    return { bytes: bytes.subarray(0, read), start, isCut: start > begin };
  } catch {
    return null;
  } finally {
    closeSync(fd);
  }
}
