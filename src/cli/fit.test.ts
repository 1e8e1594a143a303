import picocolors from 'picocolors';
import { expect, it } from 'vitest';
import { clipLine, clipRows, shortenStart, wrap } from './fit.ts';

const { red } = picocolors.createColors(true);

it('cuts a line, and ends its colours', () => {
  expect(clipLine('abcdef', 6)).toBe('abcdef');
  expect(clipLine('abcdef', 4)).toBe('abc…');
  expect(clipLine(red('abcdef'), 6)).toBe(red('abcdef'));
  expect(clipLine(`${red('abcdef')} gh`, 4)).toBe(red('abc…'));
  expect(clipLine(`abc${red('def')}`, 4)).toBe(`abc${red('')}…`);
});

it('continues a text below, with whole words', () => {
  expect(wrap('  a/0 is down: one two three', 18)).toEqual(['  a/0 is down: one', '    two three']);
  expect(wrap('a verylongwordindeed b', 8)).toEqual(['a', '    verylongwordindeed', '    b']);
  expect(wrap('', 8)).toEqual([]);
});

it('keeps the end of a path', () => {
  expect(shortenStart('/a/b/model.gguf', 12)).toBe('…/model.gguf'.slice(0, 12));
  expect(shortenStart('short', 12)).toBe('short');
});

it('has no more lines than there is room for', () => {
  expect(clipRows('a\nb\nc', 3)).toBe('a\nb\nc');
  expect(clipRows('a\nb\nc\nd', 3)).toBe('a\nb\n… and 2 lines more');
});
