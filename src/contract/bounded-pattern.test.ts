import { expect, it } from 'vitest';
import { readPattern } from './bounded-pattern.ts';

it.each([
  ['Killed process \\d{1,9}', ['Killed process ']],
  ['(torch|cuda)\\.OutOfMemoryError: ', ['.OutOfMemoryError: ']],
  ['error 80[24]: x|SYSTEM_NOT_READY', ['error 80', 'SYSTEM_NOT_READY']],
  ['a (first|second) b', ['first', 'second']],
  ['[Ww]atchdog timeout', ['atchdog timeout']],
  ['^Killed$', ['Killed']],
  ['colou?rs are (very )?fine', ['rs are ']],
])('knows what %s needs', (pattern, literals) => {
  expect(readPattern(pattern)).toEqual({ fault: null, literals });
});

it.each([
  ['(a+)+b', /upper bound/],
  ['failed .* again', /upper bound: \*/],
  ['failed \\w{3,} again', /upper bound/],
  ['failed .{0,999} again', /above 300/],
  ['(failed){2}', /group repeats/],
  ['failed (?=again)', /looks around/],
  ['(failed) \\1', /looks back/],
  ['a.{0,300}b.{0,300}failed.{0,300}c', /too many steps/],
  ['abc|failed', /literal text of 4/],
  ['\\d{1,3}', /literal text of 4/],
  ['failed (again', /not a regular expression/],
])('refuses %s', (pattern, fault) => {
  expect(readPattern(pattern).fault).toMatch(fault);
});
