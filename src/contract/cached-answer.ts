/** An answer that is given to more than one request, in a shape that travels between threads and processes. */

/** Pieces of an answer one after another, and where each ends. */
export interface PackedChunks {
  /** Of each piece, in order. */
  lengths: Uint32Array<ArrayBuffer>;
  /** Alone in its buffer: what is sent to another thread is copied with its whole buffer. */
  bytes: Uint8Array<ArrayBuffer>;
}

export interface AnswerUsage {
  promptTokens: number | null;
  completionTokens: number | null;
  /** Where the engine did not report usage. */
  estimatedTokens: number | null;
}

export interface CachedAnswer {
  status: number;
  headers: Record<string, string>;
  /** It was sent in these pieces; otherwise it is one whole body. */
  streamed: boolean;
  chunks: PackedChunks;
  /** Wall time at which it was whole. */
  storedAtMs: number;
  usage: AnswerUsage;
}

export function packChunks(chunks: readonly Uint8Array[]): PackedChunks {
  const lengths = Uint32Array.from(chunks, ({ length }) => length);
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return { lengths, bytes };
}

/** Views of the packed bytes. */
export function* unpackChunks({ lengths, bytes }: PackedChunks): Generator<Uint8Array<ArrayBuffer>> {
  let at = 0;
  for (const length of lengths) {
    yield bytes.subarray(at, at + length);
    at += length;
  }
}
