import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { LogRole, LogRule } from '../../contract/log-rule.ts';
import { lineMatcher, readLog } from './read-log.ts';

const rule = (id: string, pattern: string, role: LogRole): LogRule => ({
  id,
  pattern,
  role,
  class: 'engine-core-dead',
  versions: 'all',
  sources: ['test'],
  examples: [pattern],
});

const match = lineMatcher([
  rule('advice', 'try setting', 'advice'),
  rule('out-of-memory', 'out of memory', 'root'),
  rule('watchdog', 'watchdog', 'cascade'),
  rule('dead', 'is dead', 'confirmation'),
]);

it('takes the earliest root for the cause, however late it comes', () => {
  const reading = readLog(['watchdog', 'it is dead', 'x out of memory', 'out of memory again'], match);
  expect(reading.cause).toMatchObject({ rule: 'out-of-memory', at: 2, times: 2, line: 'x out of memory' });
  expect(reading.findings.map(({ rule }) => rule)).toEqual(['watchdog', 'dead', 'out-of-memory']);
});

it('takes a confirmation before a cascade where there is no root', () => {
  expect(readLog(['watchdog', 'it is dead'], match).cause?.rule).toBe('dead');
  expect(readLog(['watchdog', 'watchdog'], match).cause).toMatchObject({ rule: 'watchdog', times: 2 });
});

it('never takes advice for evidence, though it quotes the fault', () => {
  const reading = readLog(['out of memory? try setting X'], match);
  expect(reading).toMatchObject({ cause: null, findings: [{ rule: 'advice' }] });
});

it('looks at the beginning of a long line and at the end of a long log', () => {
  expect(readLog([`out of memory ${'x'.repeat(1_000_000)}`], match).cause?.line.length).toBe(300);
  expect(readLog([`${'x'.repeat(1_000_000)} out of memory`], match).cause).toBeNull();
  const long = ['out of memory', ...Array<string>(10_000).fill('fine'), 'is dead'];
  expect(readLog(long, match).findings.map(({ rule }) => rule)).toEqual(['dead']);
});

it('reads any lines without an exception (10,000 cases)', () => {
  const line = fc.oneof(fc.string(), fc.constantFrom('out of memory', 'try setting', 'watchdog', 'is dead'));
  fc.assert(
    fc.property(fc.array(line, { maxLength: 8 }), (lines) => {
      const { findings, cause } = readLog(lines, match);
      expect(findings.reduce((sum, { times }) => sum + times, 0)).toBe(
        lines.filter((text) => match(text) !== null).length,
      );
      if (cause !== null) expect(cause.role).not.toBe('advice');
      else expect(findings.every(({ role }) => role === 'advice')).toBe(true);
    }),
    { numRuns: 10_000 },
  );
});
