import { describe, expect, it } from 'vitest';
import { readOptions } from './read-options.ts';

describe('readOptions', () => {
  it('measures all five times, and twice when quick', () => {
    expect(readOptions([])).toMatchObject({ repetitions: 5, only: null, check: false, keep: false });
    expect(readOptions(['--quick'])).toMatchObject({ repetitions: 2, quick: true });
    expect(readOptions(['--quick', '--repetitions', '7', '--only', 'U2,S'])).toMatchObject({
      repetitions: 7,
      only: ['U2', 'S'],
    });
  });

  it('says what is wrong with an option', () => {
    expect(() => readOptions(['--repetitions', 'x'])).toThrow(/found 'x'; expected a whole number/);
    expect(() => readOptions(['--quik'])).toThrow(/--quik/);
  });

  it('keeps full runs only', () => {
    for (const part of [['--quick'], ['--check'], ['--only', 'U2']])
      expect(() => readOptions(['--keep', ...part])).toThrow(/only a full run is kept/);
  });
});
