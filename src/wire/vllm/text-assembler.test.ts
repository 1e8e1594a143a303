import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyText } from '../../../tests/support/hostile-json.ts';
import { mustEqual } from '../../../tests/support/must.ts';
import type { GeneratedToken } from '../../contract/ports/engine-core.ts';
import { type AssemblerOptions, incompleteBytes, TextAssembler } from './text-assembler.ts';

const token = (bytes: Uint8Array | string, id = 0): GeneratedToken => ({
  id,
  bytes: typeof bytes === 'string' ? Buffer.from(bytes) : bytes,
});

const plain: AssemblerOptions = { stop: [], includeStop: false, minTokens: 0 };

function run(options: Partial<AssemblerOptions>, pieces: readonly (Uint8Array | string)[]) {
  const assembler = new TextAssembler({ ...plain, ...options });
  const events = pieces.flatMap((piece, index) => assembler.push([token(piece, index)]));
  events.push(...assembler.finish());
  return { text: events.map((event) => event.text).join(''), events, assembler };
}

/** Cuts bytes at the given places. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const borders = [...new Set([0, ...places.map((place) => place % (bytes.length + 1)), bytes.length])].sort(
    (a, b) => a - b,
  );
  return borders.slice(1).map((end, index) => bytes.subarray(borders[index], end));
}

describe('text assembler', () => {
  it('emits each token at once when it is whole text', () => {
    expect(run({}, ['Hel', 'lo', ' you']).events.map((event) => event.text)).toEqual(['Hel', 'lo', ' you']);
  });

  it('waits until a character split over tokens is complete, and then reports all of them', () => {
    const bytes = Buffer.from('é🙂');
    const { events } = run(
      {},
      [...bytes].map((byte) => Uint8Array.of(byte)),
    );
    expect(events.map((event) => [event.text, event.tokens.map((t) => t.id)])).toEqual([
      ['é', [0, 1]],
      ['🙂', [2, 3, 4, 5]],
    ]);
  });

  it('keeps a byte order mark', () => {
    expect(run({}, ['\ufeffa']).text).toBe('\ufeffa');
  });

  it('reports special tokens, which have no text', () => {
    expect(run({}, ['', 'a']).events.map((event) => event.text)).toEqual(['', 'a']);
  });

  it('drops a character that the end left incomplete, but reports its tokens', () => {
    const { text, events } = run({}, ['a', Uint8Array.of(0xf0, 0x9f)]);
    expect(text).toBe('a');
    expect(events.at(-1)?.tokens.map((t) => t.id)).toEqual([1]);
  });

  it('cuts before the stop string and drops later tokens of the same step', () => {
    const assembler = new TextAssembler({ ...plain, stop: ['STOP'] });
    const events = assembler.push(['one S', 'TO', 'P two', ' three'].map((text) => token(text)));
    expect(events.map((event) => event.text).join('')).toBe('one ');
    expect(assembler.stoppedBy).toBe('STOP');
    expect(assembler.tokenCount).toBe(3);
    expect(assembler.finish()).toEqual([]);
  });

  it('includes the stop string when asked to, and nothing after it', () => {
    expect(run({ stop: ['.'], includeStop: true }, ['One', '. Two']).text).toBe('One.');
  });

  it('holds back whole tokens that could begin a stop string, and lets them go when they do not', () => {
    const assembler = new TextAssembler({ ...plain, stop: ['\n\n'] });
    expect(assembler.push([token('a\n')])).toEqual([]);
    expect(assembler.push([token('b')]).map((event) => event.text)).toEqual(['a\n', 'b']);
  });

  it('does not stop within minTokens, and does after', () => {
    expect(run({ stop: ['x'], minTokens: 2 }, ['x', 'x', 'a', 'x', 'b']).text).toBe('xxa');
    expect(run({ stop: ['xy'], minTokens: 1 }, ['x', 'y', 'b']).text).toBe('');
  });

  it('prefers the stop string that begins first', () => {
    expect(run({ stop: ['bc', 'abc'] }, ['zabc']).text).toBe('z');
  });

  it('knows how many bytes of a character are missing exactly as the platform decoder does', () => {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 8 }), (bytes) => {
        const shown = decoder.decode(bytes, { stream: true });
        decoder.decode(); // ends the stream
        mustEqual(shown, decoder.decode(bytes.subarray(0, bytes.length - incompleteBytes(bytes))));
      }),
      { numRuns: 20_000 },
    );
  });

  it('gives the decoded text whatever the token borders are', () => {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    fc.assert(
      fc.property(
        fc.oneof(
          anyText(20).map((text) => Uint8Array.from(Buffer.from(text))),
          fc.uint8Array({ maxLength: 20 }),
        ),
        fc.array(fc.nat(80), { maxLength: 12 }),
        (bytes, places) => {
          const { text, events } = run({}, cut(bytes, places));
          const whole = bytes.subarray(0, bytes.length - incompleteBytes(bytes));
          mustEqual(text, decoder.decode(whole));
          const ids = events.flatMap(({ tokens }) => tokens.map(({ id }) => id));
          mustEqual(ids, [...ids.keys()]);
        },
      ),
      { numRuns: 10_000 },
    );
  });

  it('finds stop strings as a search of the growing text does, whatever the token borders are', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'é'), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'é'), maxLength: 3 }), { maxLength: 15 }),
        fc.array(letters, { minLength: 1, maxLength: 3 }),
        fc.nat(6),
        fc.boolean(),
        (pieces, stop, minTokens, includeStop) => {
          const { text, assembler } = run({ stop, minTokens, includeStop }, pieces);
          const expected = searchGrowing(pieces, stop, minTokens, includeStop);
          mustEqual([text, assembler.stoppedBy], [expected.text, expected.stop]);
        },
      ),
      { numRuns: 20_000 },
    );
  });

  it('never emits text that a later stop string takes back', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 3 }), {
          maxLength: 20,
        }),
        fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 2, maxLength: 5 }),
        (pieces, stop) => {
          const assembler = new TextAssembler({ ...plain, stop: [stop] });
          let emitted = '';
          for (const piece of pieces) {
            for (const event of assembler.push([token(piece)])) emitted += event.text;
            mustEqual(emitted.includes(stop), false);
          }
        },
      ),
      { numRuns: 10_000 },
    );
  });
});

/** The plain statement of what stop strings mean: after each token, look at all text. */
function searchGrowing(
  pieces: readonly string[],
  stops: readonly string[],
  minTokens: number,
  include: boolean,
) {
  let text = '';
  for (const [index, piece] of pieces.entries()) {
    const before = text.length;
    text += piece;
    if (index + 1 <= minTokens) continue;
    let best: { start: number; stop: string } | null = null;
    for (const stop of stops) {
      for (let start = 0; start + stop.length <= text.length; start++) {
        if (!text.startsWith(stop, start) || start + stop.length <= before) continue;
        if (best === null || start < best.start || (start === best.start && stop.length > best.stop.length))
          best = { start, stop };
        break;
      }
    }
    if (best !== null) {
      return { text: text.slice(0, include ? best.start + best.stop.length : best.start), stop: best.stop };
    }
  }
  return { text, stop: null };
}
