/**
 * Reads server-sent events as a client does: bytes in, data payloads out, whatever the chunking. Written apart from
 * `src/wire/sse` on purpose, so that the load client is an independent witness of what the gateway sends.
 */
const LF = 10;
const CR = 13;

export class SseReader {
  readonly #onData: (data: string) => void;
  #rest: Buffer = Buffer.alloc(0);
  #data: string[] = [];

  /** @param onData called with the payload of each complete event that has one (comments and empty events have none). */
  constructor(onData: (data: string) => void) {
    this.#onData = onData;
  }

  /** Bytes of a line, or lines of an event, that the stream has not finished. Zero when it ended cleanly. */
  get pending(): number {
    return this.#rest.length + this.#data.length;
  }

  push(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let start = 0;
    for (;;) {
      const end = lineEnd(bytes, start);
      if (end < 0) break;
      // A CR in last place may be the first half of CRLF: wait for the next byte.
      if (bytes[end] === CR && end + 1 === bytes.length) break;
      this.#line(bytes.toString('utf8', start, end));
      start = bytes[end] === CR && bytes[end + 1] === LF ? end + 2 : end + 1;
    }
    this.#rest = start === bytes.length ? Buffer.alloc(0) : bytes.subarray(start);
  }

  #line(line: string): void {
    if (line === '') {
      if (this.#data.length > 0) {
        const data = this.#data.length === 1 ? (this.#data[0] as string) : this.#data.join('\n');
        this.#data = [];
        this.#onData(data);
      }
      return;
    }
    if (!line.startsWith('data:')) return;
    this.#data.push(line.startsWith('data: ') ? line.slice(6) : line.slice(5));
  }
}

/** Offset of the next CR or LF at or after `start`, -1 when there is none. */
function lineEnd(bytes: Buffer, start: number): number {
  const lf = bytes.indexOf(LF, start);
  const cr = bytes.subarray(start, lf < 0 ? bytes.length : lf).indexOf(CR);
  return cr >= 0 ? start + cr : lf;
}
