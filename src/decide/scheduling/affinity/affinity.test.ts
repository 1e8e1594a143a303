import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ReplicaColumns } from '../pick/replica-columns.ts';
import { ENTRY_BYTES, PrefixIndex } from './prefix-index.ts';
import { addPrompt, BLOCK_CHARS, BLOCKS_MAX, PromptBlocks } from './prompt-blocks.ts';

const blocksOf = (text: string, seed = 0) => new PromptBlocks().start(seed).add(text);
const chain = ({ places, tags, count }: PromptBlocks) =>
  Array.from({ length: count }, (_, block) => [places[block], tags[block]]);

function pool(count: number, life = 1): ReplicaColumns {
  const columns = new ReplicaColumns(count);
  columns.assign(
    Array.from({ length: count }, (_, slot) => ({ id: `m/${slot}`, slot, life, window: 8, weight: 1 })),
  );
  return columns;
}

describe('PromptBlocks', () => {
  it('gives the same chain however the text comes in (property)', () => {
    const pieces = fc.array(fc.string({ maxLength: 400 }), { maxLength: 12 });
    fc.assert(
      fc.property(pieces, (texts) => {
        const inPieces = new PromptBlocks().start(5);
        for (const text of texts) inPieces.add(text);
        expect(chain(inPieces)).toEqual(chain(blocksOf(texts.join(''), 5)));
        expect(inPieces.count).toBe(Math.floor(texts.join('').length / BLOCK_CHARS));
      }),
      { numRuns: 2_000 },
    );
  });

  it('agrees on exactly the blocks before the first difference (property)', () => {
    const text = 'The quick brown fox jumps over the lazy dog. '.repeat(60);
    fc.assert(
      fc.property(fc.nat(text.length - 1), (at) => {
        const changed = `${text.slice(0, at)}#${text.slice(at + 1)}`;
        const [one, other] = [chain(blocksOf(text)), chain(blocksOf(changed))];
        const same = one.findIndex((block, index) => block.join() !== other[index]!.join());
        expect(same === -1 ? one.length : same).toBe(Math.min(one.length, Math.floor(at / BLOCK_CHARS)));
      }),
      { numRuns: 1_000 },
    );
  });

  it('is bounded, reusable, and apart for other seeds', () => {
    const blocks = blocksOf('z'.repeat(BLOCK_CHARS * (BLOCKS_MAX + 9)));
    expect(blocks.count).toBe(BLOCKS_MAX);
    expect(chain(blocks.start(1).add('z'.repeat(BLOCK_CHARS)))).not.toEqual(
      chain(blocksOf('z'.repeat(BLOCK_CHARS), 2)),
    );
    expect(blocks.count).toBe(1);
  });

  it('takes a text part for its text, and the prompts of all dialects', () => {
    const long = 'w'.repeat(BLOCK_CHARS * 3);
    const of = (body: Record<string, unknown>) => chain(addPrompt(new PromptBlocks().start(0), body));
    expect(of({ messages: [{ role: 'user', content: long }] })).toEqual(
      of({ messages: [{ role: 'user', content: [{ type: 'text', text: long }] }] }).slice(0, 3),
    );
    expect(of({ prompt: long })).toHaveLength(3);
    expect(of({ input: [long, long] })).toHaveLength(6);
    expect(of({ system: long, messages: [null, 3, { role: 'user', content: { odd: true } }] })).toHaveLength(
      3,
    );
    expect(of({})).toEqual([]);
    expect(of({ messages: [{ role: 'user', content: long, name: 'x' }] }).length).toBeGreaterThanOrEqual(3);
  });

  it('goes no farther into a body than blocks count, however large or deep it is', () => {
    let deep: unknown = 'bottom';
    for (let level = 0; level < 10_000; level++) deep = [deep];
    const blocks = addPrompt(new PromptBlocks().start(0), { messages: deep, tools: 'z' });
    expect(blocks.count).toBe(0);
    const large = { messages: new Array(100_000).fill({ role: 'user', content: 'v'.repeat(1_000) }) };
    expect(addPrompt(blocks.start(0), large).count).toBe(BLOCKS_MAX);
    expect(blocks.chars).toBeLessThan(BLOCK_CHARS * BLOCKS_MAX + 2_000 + 100_000 * 4);
  });
});

describe('PrefixIndex', () => {
  it('knows how far each replica has seen a prompt (property)', () => {
    const seen = fc.array(fc.nat(12), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(seen, fc.nat(12), (depths, asked) => {
        const text = Array.from({ length: 12 }, (_, block) => String(block % 10).repeat(BLOCK_CHARS)).join(
          '',
        );
        const index = new PrefixIndex(new ArrayBuffer(1 << 16));
        const columns = pool(depths.length);
        depths.forEach((depth, slot) => {
          index.remember(blocksOf(text.slice(0, depth * BLOCK_CHARS)), slot, 1, 0);
        });
        const found = new Int32Array(depths.length);
        index.lookup(blocksOf(text.slice(0, asked * BLOCK_CHARS)), columns, 0, found);
        expect([...found]).toEqual(depths.map((depth) => Math.min(depth, asked)));
      }),
      { numRuns: 2_000 },
    );
  });

  it('never grows, and forgets what was used longest ago', () => {
    const index = new PrefixIndex(new ArrayBuffer(4096));
    const columns = pool(1);
    const found = new Int32Array(1);
    const hot = blocksOf('h'.repeat(BLOCK_CHARS));
    for (let prompt = 0; prompt < 5_000; prompt++) {
      index.remember(hot, 0, 1, prompt * 1000);
      index.remember(blocksOf(String(prompt).padEnd(BLOCK_CHARS, '.')), 0, 1, prompt * 1000);
    }
    expect(index.bytes).toBe(4096);
    expect(index.size).toBeLessThanOrEqual(4096 / ENTRY_BYTES);
    index.lookup(hot, columns, 5_000_000, found);
    expect(found[0]).toBe(1);
    index.lookup(blocksOf('0'.padEnd(BLOCK_CHARS, '.')), columns, 5_000_000, found);
    expect(found[0]).toBe(0);
  });

  it('counts nothing of another life, of another pool or of long ago', () => {
    const index = new PrefixIndex(new ArrayBuffer(4096), 60_000);
    const prompt = blocksOf('p'.repeat(BLOCK_CHARS * 2));
    const found = new Int32Array(2);
    const depths = (columns: ReplicaColumns, nowMs: number) => {
      index.lookup(prompt, columns, nowMs, found);
      return [...found.subarray(0, columns.count)];
    };
    index.remember(prompt, 1, 1, 1_000);
    index.remember(prompt, 300, 1, 1_000);
    expect(depths(pool(2), 2_000)).toEqual([0, 2]);
    expect(depths(pool(2, 2), 2_000)).toEqual([0, 0]);
    expect(depths(pool(1), 2_000)).toEqual([0]);
    expect(depths(pool(2), 62_000)).toEqual([0, 0]);
  });

  it('refuses memory that it cannot divide', () => {
    expect(() => new PrefixIndex(new ArrayBuffer(1000))).toThrow('a power of two');
  });
});
