/**
 * Reads the head of a GGUF file (versions 2 and 3, little-endian) as far as needed to tell whether the file is whole: key-value
 * pairs are skipped but for alignment and file type, tensor records give the place where the last tensor ends.
 * Format: ggml docs/gguf.md. Called by model-file.ts before anything native touches the file, and by tests.
 */
import { closeSync, openSync, readSync } from 'node:fs';

export interface GgufHead {
  version: number;
  tensorCount: number;
  /** `general.file_type`: the quantization of most tensors. Undefined when the file does not say. */
  fileType: number | undefined;
  /** The size that the file must have at least, bytes. */
  bytesNeeded: number;
}

/** The file is not a GGUF file, or ends within its head. The message says what was found and what was expected. */
export class GgufFault extends Error {}

const MAGIC = 0x46554747;
const WINDOW_BYTES = 1 << 20;
const STRING_BYTES_MAX = 1 << 26;
const COUNT_MAX = 1 << 24;
const ALIGNMENT_DEFAULT = 32;

/** Bytes of a value by GGUF type number; 8 is a string and 9 an array. */
const VALUE_BYTES: Record<number, number> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};
const STRING = 8;
const ARRAY = 9;
const UINT32 = 4;

/** [values per block, bytes per block] by ggml type number (ggml.h, ggml-common.h). */
const TENSOR_BLOCKS: Record<number, readonly [number, number]> = {
  0: [1, 4],
  1: [1, 2],
  2: [32, 18],
  3: [32, 20],
  6: [32, 22],
  7: [32, 24],
  8: [32, 34],
  9: [32, 36],
  10: [256, 84],
  11: [256, 110],
  12: [256, 144],
  13: [256, 176],
  14: [256, 210],
  15: [256, 292],
  16: [256, 66],
  17: [256, 74],
  18: [256, 98],
  19: [256, 50],
  20: [32, 18],
  21: [256, 110],
  22: [256, 82],
  23: [256, 136],
  24: [1, 1],
  25: [1, 2],
  26: [1, 4],
  27: [1, 8],
  28: [1, 8],
  29: [256, 56],
  30: [1, 2],
  34: [256, 54],
  35: [256, 66],
  39: [32, 17],
};

/** Throws GgufFault, or the error of the file system. */
export function readGgufHead(path: string): GgufHead {
  const descriptor = openSync(path, 'r');
  try {
    return parseHead(new Cursor(descriptor));
  } finally {
    closeSync(descriptor);
  }
}

function parseHead(cursor: Cursor): GgufHead {
  const magic = cursor.u32();
  if (magic !== MAGIC) {
    const shown = Buffer.alloc(4);
    shown.writeUInt32LE(magic);
    throw new GgufFault(
      `begins with ${JSON.stringify(shown.toString('latin1'))}; a GGUF file begins with "GGUF"`,
    );
  }
  const version = cursor.u32();
  if (version !== 2 && version !== 3) throw new GgufFault(`has GGUF version ${version}; expected 2 or 3`);
  const tensorCount = cursor.count('tensors');
  const pairCount = cursor.count('key-value pairs');
  let alignment = ALIGNMENT_DEFAULT;
  let fileType: number | undefined;
  for (let pair = 0; pair < pairCount; pair++) {
    const key = cursor.text();
    const type = cursor.u32();
    if (key === 'general.alignment' && type === UINT32) alignment = cursor.u32();
    else if (key === 'general.file_type' && type === UINT32) fileType = cursor.u32();
    else skipValue(cursor, type, 0);
  }
  if (alignment < 1 || alignment > 1 << 20) throw new GgufFault(`has an alignment of ${alignment} bytes`);
  let tensorEnd = 0;
  for (let tensor = 0; tensor < tensorCount; tensor++) tensorEnd = Math.max(tensorEnd, readTensorEnd(cursor));
  const dataStart = Math.ceil(cursor.position / alignment) * alignment;
  return { version, tensorCount, fileType, bytesNeeded: dataStart + tensorEnd };
}

function skipValue(cursor: Cursor, type: number, depth: number): void {
  const bytes = VALUE_BYTES[type];
  if (bytes !== undefined) return cursor.skip(bytes);
  if (type === STRING) return cursor.skipText();
  if (type !== ARRAY || depth > 4) throw new GgufFault(`has a value of unknown type ${type}`);
  const itemType = cursor.u32();
  const count = cursor.count('array items');
  const itemBytes = VALUE_BYTES[itemType];
  if (itemBytes !== undefined) return cursor.skip(itemBytes * count);
  for (let item = 0; item < count; item++) skipValue(cursor, itemType, depth + 1);
}

/** Where a tensor ends, counted from the start of the tensor data. */
function readTensorEnd(cursor: Cursor): number {
  cursor.skipText();
  const dimensions = cursor.u32();
  if (dimensions > 8) throw new GgufFault(`has a tensor with ${dimensions} dimensions`);
  let values = 1;
  for (let dimension = 0; dimension < dimensions; dimension++) values *= cursor.u64();
  const block = TENSOR_BLOCKS[cursor.u32()];
  const offset = cursor.u64();
  // Of an unknown type only the beginning is known; the native loader knows the rest.
  return block === undefined ? offset : offset + (values / block[0]) * block[1];
}

/** Reads forward through a window, so that heads of many megabytes need no such buffer. */
class Cursor {
  readonly #descriptor: number;
  readonly #window = Buffer.allocUnsafe(WINDOW_BYTES);
  #windowStart = 0;
  #windowLength = 0;
  position = 0;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  u32(): number {
    return this.#window.readUInt32LE(this.#take(4));
  }

  u64(): number {
    const value = this.#window.readBigUInt64LE(this.#take(8));
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new GgufFault(`has the number ${value} in its head`);
    return Number(value);
  }

  count(what: string): number {
    const count = this.u64();
    if (count > COUNT_MAX) throw new GgufFault(`says that it has ${count} ${what}`);
    return count;
  }

  text(): string {
    const length = this.#textLength();
    if (length > 65_535) throw new GgufFault(`has a key of ${length} bytes`);
    const start = this.#take(length);
    return this.#window.toString('utf8', start, start + length);
  }

  skipText(): void {
    this.skip(this.#textLength());
  }

  skip(bytes: number): void {
    this.position += bytes;
  }

  #textLength(): number {
    const length = this.u64();
    if (length > STRING_BYTES_MAX) throw new GgufFault(`has a text of ${length} bytes in its head`);
    return length;
  }

  /** Makes `bytes` at the position available and moves past them; returns where they begin in the window. */
  #take(bytes: number): number {
    const offset = this.position - this.#windowStart;
    if (offset < 0 || offset + bytes > this.#windowLength) this.#fill(bytes);
    const start = this.position - this.#windowStart;
    this.position += bytes;
    return start;
  }

  #fill(bytes: number): void {
    this.#windowStart = this.position;
    this.#windowLength = 0;
    while (this.#windowLength < WINDOW_BYTES) {
      const read = readSync(
        this.#descriptor,
        this.#window,
        this.#windowLength,
        WINDOW_BYTES - this.#windowLength,
        this.position + this.#windowLength,
      );
      if (read === 0) break;
      this.#windowLength += read;
    }
    if (this.#windowLength < bytes) {
      throw new GgufFault(
        `ends after ${this.position + this.#windowLength} bytes, within its head: the file is truncated`,
      );
    }
  }
}
