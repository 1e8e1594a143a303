import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SseReader } from './sse-reader.ts';

function read(chunks: Buffer[]): { payloads: string[]; pending: number } {
  const payloads: string[] = [];
  const reader = new SseReader((data) => payloads.push(data));
  for (const chunk of chunks) reader.push(chunk);
  return { payloads, pending: reader.pending };
}

/** Cuts `bytes` at the given places. */
function cut(bytes: Buffer, places: number[]): Buffer[] {
  const borders = [0, ...[...places].sort((a, b) => a - b), bytes.length];
  return borders.slice(1).map((end, i) => bytes.subarray(borders[i], end));
}

describe('SseReader', () => {
  const stream = Buffer.from(
    'data: {"a":"é"}\n\n: ping\n\ndata:no space\r\n\r\nevent: x\ndata: one\ndata: two\n\ndata: 🙂\r\rdata: [DONE]\n\n',
  );
  const expected = ['{"a":"é"}', 'no space', 'one\ntwo', '🙂', '[DONE]'];

  it('gives the same payloads for every chunking, also inside characters and line ends', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(stream.length), { maxLength: 30 }), (places) => {
        expect(read(cut(stream, places))).toEqual({ payloads: expected, pending: 0 });
      }),
      { numRuns: 2000 },
    );
  });

  it('says that something is left when the stream ends inside an event', () => {
    expect(read([Buffer.from('data: a\n\ndata: b\n')])).toEqual({ payloads: ['a'], pending: 1 });
    expect(read([Buffer.from('data: a\n\ndata: b')]).pending).toBe(7);
  });
});
