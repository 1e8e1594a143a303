import { createParser } from 'eventsource-parser';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mustEqual } from '../../../tests/support/must.ts';
import { SseFrameSplitter } from './frame-splitter.ts';
import { parseSseEvents } from './parse-event.ts';

/** Cuts bytes at the given places. */
function cutAt(bytes: Buffer, cuts: number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...places]
    .map((from, index) => bytes.subarray(from, places[index] ?? bytes.length))
    .filter((piece) => piece.length > 0);
}

function split(pieces: Buffer[]): { whole: Buffer[]; rest: Buffer | null } {
  const splitter = new SseFrameSplitter();
  const whole = pieces.map((piece) => splitter.push(piece)).filter((frames) => frames !== null);
  return { whole, rest: splitter.flush() };
}

const lineEnd = fc.constantFrom('\n', '\r\n', '\r');
const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.constantFrom('🙂é語', '{"a":"\\n"}', '', ' lead', '[DONE]'),
);
const field = fc.oneof(
  text.map((value) => `data: ${value.replace(/[\r\n]/g, '')}`),
  text.map((value) => `: ${value.replace(/[\r\n]/g, '')}`),
  fc.constantFrom('event: error', 'id: 7', 'retry: 10', 'data', 'data:'),
);
const event = fc
  .tuple(fc.array(field, { maxLength: 4 }), lineEnd)
  .map(([fields, end]) => fields.map((line) => line + end).join('') + end);
const streamText = fc.array(event, { maxLength: 8 }).map((events) => events.join(''));

describe('SseFrameSplitter', () => {
  it('loses and adds nothing, whatever the chunking (10,000 cases)', () => {
    fc.assert(
      fc.property(streamText, fc.array(fc.nat(2000), { maxLength: 12 }), (text, cuts) => {
        const bytes = Buffer.from(text);
        const { whole, rest } = split(cutAt(bytes, cuts));
        mustEqual(Buffer.concat([...whole, ...(rest === null ? [] : [rest])]).equals(bytes), true);
      }),
      { numRuns: 10_000 },
    );
  });

  it('gives the same events for every chunking, and each piece ends at an event border', () => {
    fc.assert(
      fc.property(streamText, fc.array(fc.nat(2000), { maxLength: 12 }), (text, cuts) => {
        const { whole } = split(cutAt(Buffer.from(text), cuts));
        const apart = whole.flatMap((frames) => parseSseEvents(frames.toString('utf8')));
        const together = split([Buffer.from(text)]).whole.flatMap((frames) =>
          parseSseEvents(frames.toString('utf8')),
        );
        mustEqual(apart, together);
      }),
      { numRuns: 10_000 },
    );
  });

  it('cuts at every single byte without a difference', () => {
    const bytes = Buffer.from(
      'data: {"t":"é🙂"}\r\n\r\n: ping\n\nevent: error\ndata: a\ndata: b\n\ndata: [DONE]\r\r',
    );
    const expected = parseSseEvents(bytes.toString('utf8'));
    for (let cut = 1; cut < bytes.length; cut++) {
      const { whole } = split([bytes.subarray(0, cut), bytes.subarray(cut)]);
      expect(whole.flatMap((frames) => parseSseEvents(frames.toString('utf8')))).toEqual(expected);
    }
  });

  it('keeps an incomplete event back', () => {
    const splitter = new SseFrameSplitter();
    expect(splitter.push(Buffer.from('data: a'))).toBeNull();
    expect(splitter.push(Buffer.from('b\n'))).toBeNull();
    expect(splitter.push(Buffer.from('\ndata: c'))?.toString()).toBe('data: ab\n\n');
    expect(splitter.pendingBytes).toBe(7);
    expect(splitter.flush()?.toString()).toBe('data: c');
  });

  it('refuses an event that never ends', () => {
    const splitter = new SseFrameSplitter(100);
    expect(() => splitter.push(Buffer.alloc(101, 'x'))).toThrow(/more than 100 bytes/);
  });
});

describe('parseSseEvents', () => {
  it('reads what the reference parser reads (eventsource-parser)', () => {
    fc.assert(
      fc.property(streamText, (text) => {
        const expected: { data: string; event: string | undefined }[] = [];
        const parser = createParser({
          onEvent: (found) => expected.push({ data: found.data, event: found.event }),
        });
        parser.feed(text);
        // A lone CR at the very end may be half of a CRLF for a parser that waits for more.
        fc.pre(!text.endsWith('\r'));
        const found = parseSseEvents(text).map(({ data, event }) => ({ data, event }));
        mustEqual(found, expected);
      }),
      { numRuns: 10_000 },
    );
  });

  it('ignores a byte order mark, comments and blocks without data', () => {
    expect(parseSseEvents('\ufeff: hi\n\ndata: x\n\nevent: y\n\n')).toEqual([{ data: 'x' }]);
  });
});
