/**
 * The lines of a file or of standard input, one after the other and in bounded memory: of a line only its beginning is kept, and of
 * the file never more than a chunk. Gzip is unpacked. Progress bars, which write over their line, are several lines with one number.
 */
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { PlatformError } from '../../contract/errors.ts';
import { LINE_CHARACTERS_MAX } from '../../decide/diagnosis/plain-line.ts';
import { readFault } from '../config/file-fault.ts';

const CHUNK_BYTES = 1 << 18;

export interface NumberedLine {
  number: number;
  text: string;
}

export interface LogSource {
  /** A path, or `-` for `stdin`. */
  file: string;
  /** What the file is called in messages. */
  name: string;
  stdin: Readable;
}

/** Batches of lines, for a generator that yields each line alone would take most of the time. */
export async function* linesOf({ file, name, stdin }: LogSource): AsyncGenerator<NumberedLine[]> {
  const source = file === '-' ? stdin : createReadStream(file, { highWaterMark: CHUNK_BYTES });
  try {
    const splitter = new LineSplitter();
    const decoder = new TextDecoder();
    for await (const chunk of unpacked(source, name))
      yield splitter.push(decoder.decode(chunk, { stream: true }));
    yield splitter.end();
  } catch (error) {
    if (error instanceof PlatformError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const why = code?.startsWith('Z_') ? 'its gzip is broken or cut' : readFault(error);
    throw PlatformError.from(error, 'invalid_request', `${name}: ${why}`);
  }
}

const GZIP_MAGIC = [0x1f, 0x8b];

/** By what stands at the beginning, not by its name. */
async function* unpacked(source: Readable, name: string): AsyncGenerator<Uint8Array> {
  const chunks = (source as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  const first = await chunks.next();
  if (first.done === true) return;
  const rest = async function* () {
    yield first.value;
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
  };
  if (!GZIP_MAGIC.every((byte, at) => first.value[at] === byte)) {
    refuseBinary(first.value, name);
    yield* rest();
    return;
  }
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  const packed = Readable.from(rest());
  packed.on('error', (error) => gunzip.destroy(error));
  let looked = false;
  for await (const chunk of packed.pipe(gunzip) as AsyncIterable<Uint8Array>) {
    if (!looked) refuseBinary(chunk, name);
    looked = true;
    yield chunk;
  }
}

function refuseBinary(chunk: Uint8Array, name: string): void {
  if (chunk.subarray(0, 8_192).includes(0))
    throw new PlatformError(
      'invalid_request',
      `${name}: this is no text; a log in UTF-8 is wanted, or one packed with gzip`,
    );
}

class LineSplitter {
  #carry = '';
  #number = 1;

  push(text: string): NumberedLine[] {
    const lines: NumberedLine[] = [];
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      this.#emit(lines, this.#carry + text.slice(start, Math.min(end, start + LINE_CHARACTERS_MAX * 4)));
      this.#carry = '';
      this.#number++;
      start = end + 1;
    }
    // What is beyond the beginning of a line is not looked at, so it need not be kept.
    if (this.#carry.length < LINE_CHARACTERS_MAX)
      this.#carry += text.slice(start, start + LINE_CHARACTERS_MAX * 4);
    return lines;
  }

  end(): NumberedLine[] {
    const lines: NumberedLine[] = [];
    if (this.#carry !== '') this.#emit(lines, this.#carry);
    return lines;
  }

  #emit(lines: NumberedLine[], line: string): void {
    if (!line.includes('\r')) lines.push({ number: this.#number, text: line });
    else for (const text of line.split('\r')) if (text !== '') lines.push({ number: this.#number, text });
  }
}
