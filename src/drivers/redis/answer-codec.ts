/**
 * Answers as bytes: a mark, the length of a JSON head, the head, the lengths of the pieces, the pieces. What can not be read, or
 * says what no answer of ours says, is nothing: whoever can write into the store must not be able to write into our headers.
 */
import type { CachedAnswer } from '../../contract/cached-answer.ts';
import type { StoredAnswer } from '../../contract/ports/answer-store.ts';

/** Changes with the layout, so that releases do not read each other's. */
const MARK = 0x41_47_41_01;
const PREFIX_BYTES = 8;
const LENGTH_BYTES = 4;

type Head = Omit<CachedAnswer, 'chunks'> & { expiresAtMs: number; pieces: number };

export function encodeAnswer({ answer, ttlMs }: StoredAnswer, nowMs: number): Buffer {
  const { chunks, ...rest } = answer;
  const head: Head = { ...rest, expiresAtMs: nowMs + ttlMs, pieces: chunks.lengths.length };
  const text = Buffer.from(JSON.stringify(head));
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(MARK, 0);
  prefix.writeUInt32BE(text.length, 4);
  const lengths = Buffer.alloc(chunks.lengths.length * LENGTH_BYTES);
  for (const [index, length] of chunks.lengths.entries()) lengths.writeUInt32BE(length, index * LENGTH_BYTES);
  return Buffer.concat([prefix, text, lengths, chunks.bytes]);
}

/** Null when it is none, or has expired. */
export function decodeAnswer(bytes: Buffer, nowMs: number): StoredAnswer | null {
  if (bytes.length < PREFIX_BYTES || bytes.readUInt32BE(0) !== MARK) return null;
  const headEnd = PREFIX_BYTES + bytes.readUInt32BE(4);
  const head = readHead(bytes.subarray(PREFIX_BYTES, headEnd));
  if (head === null || head.expiresAtMs <= nowMs) return null;
  const lengthsEnd = headEnd + head.pieces * LENGTH_BYTES;
  if (lengthsEnd > bytes.length) return null;
  const lengths = new Uint32Array(head.pieces);
  for (let index = 0; index < head.pieces; index++)
    lengths[index] = bytes.readUInt32BE(headEnd + index * LENGTH_BYTES);
  const body = Uint8Array.from(bytes.subarray(lengthsEnd));
  if (lengths.reduce((sum, length) => sum + length, 0) !== body.length) return null;
  const { status, headers, streamed, storedAtMs, usage, expiresAtMs } = head;
  return {
    answer: { status, headers, streamed, storedAtMs, usage, chunks: { lengths, bytes: body } },
    ttlMs: expiresAtMs - nowMs,
  };
}

function readHead(bytes: Buffer): Head | null {
  try {
    const head = JSON.parse(bytes.toString('utf8')) as Head;
    return isHead(head) ? head : null;
  } catch {
    return null;
  }
}

function isHead(head: Head): boolean {
  const { status, headers, streamed, storedAtMs, expiresAtMs, pieces, usage } = head;
  return (
    status === 200 &&
    typeof streamed === 'boolean' &&
    [storedAtMs, expiresAtMs, pieces].every((value) => Number.isSafeInteger(value) && value >= 0) &&
    Object.entries(headers).every(
      ([name, value]) => /^[a-z-]{1,60}$/.test(name) && /^[\x20-\x7e]{0,200}$/.test(value),
    ) &&
    [usage.promptTokens, usage.completionTokens, usage.estimatedTokens].every(
      (value) => value === null || Number.isSafeInteger(value),
    )
  );
}
