/**
 * Reads what has come to the kernel log since the last time: from /dev/kmsg record by record, from a plain file by its growth, or
 * from the output of `dmesg --follow`. Reading never waits. What was there before the reader is not told again, except the records
 * of /dev/kmsg, which carry their own time.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type KernelLine, parseKmsgRecord, parsePlainLine } from './kernel-lines.ts';

export interface KernelLogReader {
  /** Lines that have come, oldest first; at most `LINES_MAX` at a time, the rest the next time. */
  take(): KernelLine[];
  /** The time of its lines is that of this machine. */
  readonly hasMachineTime: boolean;
  /** Why nothing can be read; null: it can. */
  readonly problem: string | null;
  close(): void;
}

const LINES_MAX = 2_000;
/** Records of the kernel have at most 8 KiB; a smaller buffer is refused. */
const RECORD_BYTES_MAX = 16_384;
const FILE_BYTES_MAX = 1_048_576;

/** A device is read as /dev/kmsg is, anything else as a text file that grows and may come later. */
export function openKernelLog(file: string): KernelLogReader {
  return isDevice(file) ? new KmsgReader(file) : new GrowingFile(file);
}

function isDevice(file: string): boolean {
  try {
    return statSync(file).isCharacterDevice();
  } catch {
    return file.startsWith('/dev/');
  }
}

class KmsgReader implements KernelLogReader {
  readonly hasMachineTime = true;
  problem: string | null = null;
  readonly #buffer = Buffer.alloc(RECORD_BYTES_MAX);
  #fd: number | null = null;

  constructor(file: string) {
    try {
      this.#fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      this.problem = `${file} may not be read (${codeOf(error)})`;
    }
  }

  take(): KernelLine[] {
    const lines: KernelLine[] = [];
    for (let read = 0; this.#fd !== null && read < LINES_MAX; read++) {
      const record = this.#next(this.#fd);
      if (record === null) break;
      const line = record === '' ? undefined : parseKmsgRecord(record);
      if (line !== undefined) lines.push(line);
    }
    return lines;
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }

  /** Null: there is no more. Empty: records were overwritten before they were read. */
  #next(fd: number): string | null {
    try {
      const bytes = readSync(fd, this.#buffer);
      return bytes === 0 ? null : this.#buffer.toString('utf8', 0, bytes);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'EPIPE') return '';
      if (code !== 'EAGAIN') {
        this.problem = `the kernel log cannot be read (${code})`;
        this.close();
      }
      return null;
    }
  }
}

class GrowingFile implements KernelLogReader {
  readonly hasMachineTime = false;
  readonly problem = null;
  readonly #file: string;
  #fd: number | null = null;
  #inode = 0;
  #offset: number;
  #rest = '';

  constructor(file: string) {
    this.#file = file;
    const stat = statSync(file, { throwIfNoEntry: false });
    this.#offset = stat?.size ?? 0;
    this.#inode = stat?.ino ?? 0;
  }

  take(): KernelLine[] {
    const text = this.#growth();
    if (text === '') return [];
    const lines = `${this.#rest}${text}`.split('\n');
    this.#rest = (lines.pop() ?? '').slice(-FILE_BYTES_MAX);
    return lines
      .filter((line) => line !== '')
      .slice(-LINES_MAX)
      .map(parsePlainLine);
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }

  #growth(): string {
    try {
      this.#reopen();
      if (this.#fd === null) return '';
      const { size } = fstatSync(this.#fd);
      if (size < this.#offset) this.#offset = 0;
      const from = Math.max(this.#offset, size - FILE_BYTES_MAX);
      const buffer = Buffer.alloc(size - from);
      const bytes = buffer.length === 0 ? 0 : readSync(this.#fd, buffer, 0, buffer.length, from);
      this.#offset = from + bytes;
      return buffer.toString('utf8', 0, bytes);
    } catch {
      return '';
    }
  }

  /** It may come later, and be put anew under its name. */
  #reopen(): void {
    const stat = statSync(this.#file, { throwIfNoEntry: false });
    if (stat === undefined || (this.#fd !== null && stat.ino === this.#inode)) return;
    this.close();
    if (stat.ino !== this.#inode) this.#offset = 0;
    this.#fd = openSync(this.#file, 'r');
    this.#inode = stat.ino;
  }
}

/** Where /dev/kmsg may not be read, `dmesg` often may, by its own rights. */
export class DmesgFollower implements KernelLogReader {
  readonly hasMachineTime = true;
  problem: string | null = null;
  readonly #child: ChildProcess | null;
  readonly #lines: KernelLine[] = [];

  constructor(command: readonly [string, ...string[]] = ['dmesg', '--follow']) {
    const [program, ...args] = command;
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#child = child;
    child.on('error', (error) => {
      this.problem = `${command.join(' ')} could not be started (${codeOf(error)})`;
    });
    child.on('exit', (code, signal) => {
      this.problem ??= `${command.join(' ')} ended with ${signal ?? `status ${code}`}`;
    });
    // It must not keep the process alive that asked for it.
    child.unref();
    (child.stdout as unknown as { unref?(): void } | null)?.unref?.();
    if (child.stdout === null) return;
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (this.#lines.length === LINES_MAX) this.#lines.shift();
      this.#lines.push(parsePlainLine(line));
    });
  }

  take(): KernelLine[] {
    return this.#lines.splice(0);
  }

  close(): void {
    this.#child?.kill('SIGKILL');
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}
