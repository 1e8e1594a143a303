import { describe, expect, it } from 'vitest';
import { simulateHours, traceHours } from './hours.ts';
import { hoursHelp, hoursOptions, parseHoursArgs } from './hours-options.ts';

const run = (...options: string[]) =>
  simulateHours(parseHoursArgs(['--seeds', '1', '--hours', '2', '--start-s', '20', ...options]).figures);

const NO_TROUBLE = ['crash', 'hang', 'stall', 'prefill', 'supervisor'].flatMap((name) => [
  `--${name}-every`,
  '0',
]);

describe('simulateHours', () => {
  it('has nothing to do where nothing happens', () => {
    const { availability, restarts, untilServing, violations } = run(
      ...[...NO_TROUBLE, '--bad-start', '0', '--never-ready', '0', '--answer-lost', '0'],
    );
    expect(availability).toBe(1);
    expect(restarts).toBe(0);
    expect(untilServing.count).toBe(0);
    expect(violations).toEqual([]);
  });

  it('brings back what crashes, in about the time of a start', () => {
    const { restarts, falseRestarts, untilServing, untilDetected, availability } = run(
      ...[
        ...NO_TROUBLE,
        '--crash-every',
        '1',
        '--bad-start',
        '0',
        '--never-ready',
        '0',
        '--answer-lost',
        '0',
      ],
    );
    expect(restarts).toBeGreaterThan(2);
    expect(falseRestarts).toBe(0);
    expect(untilDetected.maxMs).toBeLessThan(1_000);
    expect(untilServing.p50Ms).toBeGreaterThan(20_000);
    expect(untilServing.p50Ms).toBeLessThan(35_000);
    expect(availability).toBeLessThan(1);
  });

  it('finds hangs, and takes no long prompt for one', () => {
    const { restarts, falseRestarts, untilDetected } = run(
      ...[...NO_TROUBLE, '--hang-every', '2', '--prefill-every', '0.05', '--hours', '4'],
    );
    expect(restarts).toBeGreaterThan(1);
    expect(falseRestarts).toBe(0);
    expect(untilDetected.p50Ms).toBeLessThan(30_000);
  });

  it('is the same again for the same seed, and names the worst', () => {
    const options = ['--seeds', '3', '--hours', '1', '--crash-every', '0.5'];
    const first = run(...options);
    expect(run(...options)).toEqual(first);
    expect(Math.min(...first.seeds.map(({ availability }) => availability))).toBe(first.worst.availability);
  });

  it('tells what happened', () => {
    const { figures } = parseHoursArgs(['--hours', '0.5', '--crash-every', '0.1', '--start-s', '5']);
    const trace = traceHours(figures);
    expect(trace.some((line) => line.includes('generation 1 starts'))).toBe(true);
    expect(trace.join('\n')).not.toContain('"probed"');
  });
});

describe('parseHoursArgs', () => {
  it('reads values after a blank or a sign, and keeps what a replay needs', () => {
    const { figures, others, json } = parseHoursArgs([
      '--hours=2',
      '--seed',
      '7',
      '--hang-every',
      '3',
      '--json',
    ]);
    expect(figures).toMatchObject({ hours: 2, seed: 7, 'hang-every': 3, seeds: hoursOptions.seeds.default });
    expect(others).toEqual(['--hours 2', '--hang-every 3']);
    expect(json).toBe(true);
  });

  it.each([
    [['--hourz', '1'], "unknown option '--hourz'; did you mean --hours?"],
    [['--hours', 'many'], '--hours: found "many"; would be right: a number from 0.05 to 8760'],
    [['--seeds', '1.5'], '--seeds: found "1.5"; would be right: an integer from 1 to 100000'],
    [['--hours'], '--hours: found ""; would be right'],
  ])('says what is wrong: %j', (argv, message) => {
    expect(() => parseHoursArgs(argv)).toThrow(message);
  });

  it('explains every option', () => {
    for (const name of Object.keys(hoursOptions)) expect(hoursHelp()).toContain(`--${name} `);
  });
});
