/**
 * Cuts JSON Lines into lines while the bytes arrive. Ends of lines are LF or CRLF; a byte order mark at the start and lines
 * of white space alone are left out, but counted, so that numbers are those that editors show. Each line comes with its place
 * in the file.
 */
export interface ScannedLine {
  /** From 1. */
  number: number;
  /** Offset of its first byte in the file. */
  from: number;
  /** Without the end of the line. */
  length: number;
  /** Null when the line is longer than may be; its bytes were not kept. */
  bytes: Buffer | null;
}

const LF = 0x0a;
const CR = 0x0d;
const MARK = Buffer.from([0xef, 0xbb, 0xbf]);

export class LineScanner {
  readonly #lineBytesMax: number;
  /** Pieces of the line that has not ended. */
  #pieces: Buffer[] = [];
  #length = 0;
  #from = 0;
  #number = 1;

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax;
  }

  /** The lines that end in this chunk. */
  push(chunk: Buffer): ScannedLine[] {
    const lines: ScannedLine[] = [];
    let at = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, at)) {
      this.#take(chunk.subarray(at, end));
      this.#endLine(lines);
      this.#from++;
      at = end + 1;
    }
    this.#take(chunk.subarray(at));
    return lines;
  }

  /** The last line, when no end of a line follows it. */
  end(): ScannedLine[] {
    const lines: ScannedLine[] = [];
    this.#endLine(lines);
    return lines;
  }

  #take(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#length += piece.length;
    // A carriage return may still go.
    if (this.#length <= this.#lineBytesMax + MARK.length + 1) this.#pieces.push(piece);
    else this.#pieces = [];
  }

  #endLine(lines: ScannedLine[]): void {
    const number = this.#number++;
    const kept = this.#length <= this.#lineBytesMax + MARK.length + 1;
    let from = this.#from;
    let length = this.#length;
    this.#from += this.#length;
    const bytes = kept ? (this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces)) : null;
    this.#pieces = [];
    this.#length = 0;
    if (bytes === null) {
      lines.push({ number, from, length, bytes });
      return;
    }
    let start = 0;
    if (from === 0 && bytes.subarray(0, MARK.length).equals(MARK)) start = MARK.length;
    const end = bytes.at(-1) === CR ? bytes.length - 1 : bytes.length;
    from += start;
    length = Math.max(0, end - start);
    const line = bytes.subarray(start, start + length);
    if (isBlank(line)) return;
    lines.push({ number, from, length, bytes: length > this.#lineBytesMax ? null : line });
  }
}

function isBlank(bytes: Buffer): boolean {
  for (const byte of bytes) if (byte !== 0x20 && byte !== 0x09 && byte !== CR) return false;
  return true;
}
