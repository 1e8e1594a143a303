/**
 * What an attempt has said, kept until it is known whether others may have it. Bounded for each answer and for all of a worker
 * together; beyond the bound it is let go, and the answer only goes to its own client.
 */
import { type CachedAnswer, type PackedChunks, packChunks } from '../../../contract/cached-answer.ts';

/** Bytes that all recordings of a worker may hold. */
export class RecordingBudget {
  readonly #bytesMax: () => number;
  #bytes = 0;

  constructor(bytesMax: () => number) {
    this.#bytesMax = bytesMax;
  }

  take(bytes: number): boolean {
    if (this.#bytes + bytes > this.#bytesMax()) return false;
    this.#bytes += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#bytes -= bytes;
  }
}

export interface RecordingLimits {
  bytesMax: number;
  budget: RecordingBudget;
}

/** Headers that belong to the answer and not to the request that it was first given to. */
const SHARED_HEADERS = [
  'content-type',
  'cache-control',
  'x-accel-buffering',
  'x-autoglm-fallback',
  'x-should-retry',
];

export function sharedHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => SHARED_HEADERS.includes(name)));
}

export class RecordedAnswer {
  readonly #limits: RecordingLimits;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  /** Chunks that were taken out by `takeNew`. */
  #taken = 0;
  #outgrown = false;

  constructor(limits: RecordingLimits) {
    this.#limits = limits;
  }

  /** It became too large and holds nothing any more. */
  get outgrown(): boolean {
    return this.#outgrown;
  }

  add(chunk: Uint8Array): void {
    if (this.#outgrown) return;
    const { bytesMax, budget } = this.#limits;
    if (this.#bytes + chunk.length > bytesMax || !budget.take(chunk.length)) {
      this.close();
      this.#outgrown = true;
      return;
    }
    this.#bytes += chunk.length;
    this.#chunks.push(chunk);
  }

  /** What was added since the last call; null when there is nothing. */
  takeNew(): PackedChunks | null {
    const fresh = this.#chunks.slice(this.#taken);
    this.#taken = this.#chunks.length;
    return fresh.length === 0 ? null : packChunks(fresh);
  }

  /** Without comments: they told one client what happened at that moment. */
  answer(parts: Omit<CachedAnswer, 'chunks'>): CachedAnswer {
    const chunks = parts.streamed ? this.#chunks.filter((chunk) => !isComment(chunk)) : this.#chunks;
    return { ...parts, chunks: packChunks(chunks) };
  }

  /** Whether the engine itself says that it gave up. */
  saysAborted(): boolean {
    const tail = Buffer.concat(this.#chunks.slice(-TAIL_CHUNKS)).toString('latin1');
    return (
      /"finish_reason"\s*:\s*"(abort|error)/.test(tail.slice(-TAIL_BYTES)) || /^\s*\{\s*"error"/.test(tail)
    );
  }

  close(): void {
    this.#limits.budget.giveBack(this.#bytes);
    this.#bytes = 0;
    this.#chunks = [];
    this.#taken = 0;
  }
}

const TAIL_CHUNKS = 8;
const TAIL_BYTES = 65_536;

/** A read that holds one comment of an event stream and nothing else. */
function isComment(chunk: Uint8Array): boolean {
  if (chunk[0] !== 0x3a) return false;
  return chunk.indexOf(0x0a) >= chunk.length - 2;
}
