import { expect, it } from 'vitest';
import { isDead, parseProcStat } from './proc-stat.ts';

const line = (command: string, state = 'S') =>
  `4242 (${command}) ${state} 1 4242 4242 0 -1 4194560 1 0 0 0 3 1 0 0 20 0 7 0 123456 99 1 18446744073709551615 0 0\n`;

it('reads name, state, parent, group, start time and time on the processor', () => {
  expect(parseProcStat(line('node'))).toEqual({
    pid: 4242,
    name: 'node',
    state: 'S',
    parentId: 1,
    groupId: 4242,
    startTicks: 123456,
    cpuTicks: 4,
  });
});

it('is not fooled by blanks and parentheses in the name of the command', () => {
  for (const command of ['a b', 'x) R 1 1', '((', ') S 9 9 (', '']) {
    expect(parseProcStat(line(command))?.startTicks, command).toBe(123456);
  }
});

it('finds nothing in text of another kind', () => {
  for (const text of ['', 'nonsense', '12 (x', '1 (x) S']) expect(parseProcStat(text)).toBeUndefined();
});

it('counts a zombie as dead', () => {
  expect(isDead(parseProcStat(line('node', 'Z'))!)).toBe(true);
  expect(isDead(parseProcStat(line('node', 'D'))!)).toBe(false);
});
