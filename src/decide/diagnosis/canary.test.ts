import { expect, it } from 'vitest';
import { judgeCanary, type KnownAnswer } from './canary.ts';

const known = (text: string, times: number, varies = false): KnownAnswer => ({ text, times, varies });

it('knows worthless answers without knowing the right one', () => {
  for (const text of ['!!!!!!!!!!!!', '! ! ! ! ! !', 'the the the the the the', '\n!!!!!!!!\n'])
    expect(judgeCanary(text, undefined, true).ok, text).toBe(false);
  for (const text of ['', ' red, yellow and blue', '4, 5, 6, 7', '...', 'no no no'])
    expect(judgeCanary(text, undefined, true).ok, text).toBe(true);
});

it('takes another answer than the known one for wrong, and leaves the known one as it is', () => {
  const verdict = judgeCanary('red, green', known('red, yellow', 3), true);
  expect(verdict).toMatchObject({ ok: false, known: known('red, yellow', 3) });
  expect(verdict.why).toBe('"red, green" instead of "red, yellow", which equal engines gave 3 times');
});

it('learns that engines vary while no answer is established, and never calls one wrong then', () => {
  const first = judgeCanary('a b', undefined, true);
  const second = judgeCanary('a c', first.known, true);
  expect(second).toMatchObject({ ok: true, known: { varies: true } });
  let state = second.known;
  for (let time = 0; time < 5; time++) state = judgeCanary('a b', state, true).known;
  expect(judgeCanary('a d', state, true).ok).toBe(true);
});

it('does not compare answers of engines that are not deterministic', () => {
  expect(judgeCanary('other', known('one', 10), false).ok).toBe(true);
});
