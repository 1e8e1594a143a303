import { describe, expect, it } from 'vitest';
import { chart } from './chart.ts';
import { compare } from './compare.ts';
import { parseSchedstat } from './cpu-time.ts';
import { verdicts } from './goals.ts';
import { type Figure, figures, type Repetition } from './report.ts';
import { table } from './table.ts';

const repetition = (changes: Partial<Repetition>): Repetition => ({
  scenario: 'U2',
  target: 'gateway',
  repetition: 1,
  requests: 1000,
  failed: 0,
  errors: {},
  events: 0,
  elapsedMs: 2000,
  cpuUs: 60,
  latencyMs: { p50: 3, p99: 9 },
  residentMb: 100,
  addedMbPer1000: null,
  ...changes,
});

const U2 = { name: 'U2', subject: 'cpu', stream: false } as const;
const R500 = { name: 'R500', subject: 'latency', stream: false } as const;
const M1000 = { name: 'M1000', subject: 'memory', stream: true } as const;

const run: Repetition[] = [
  repetition({ target: 'nginx', cpuUs: 20 }),
  repetition({ target: 'nginx', cpuUs: 30, repetition: 2 }),
  repetition({ cpuUs: 60 }),
  repetition({ cpuUs: 50, repetition: 2, failed: 2 }),
  repetition({ target: 'portkey', cpuUs: 1000 }),
];

const find = (list: readonly Figure[], target: string) => list.find((figure) => figure.target === target);

describe('figures', () => {
  it('take the least CPU, and two ratios to nginx in the same run', () => {
    expect(find(figures(run, [U2]), 'gateway')).toMatchObject({
      unit: 'request',
      cpuUs: { least: 50, median: 50 },
      // 50 / 20, and the median of 60 / 20 and 50 / 30.
      ratioToNginx: { least: 2.5, median: 50 / 30 },
      perSecond: 500,
      failed: 2,
    });
  });

  it('say what is added to a direct connection', () => {
    const list = figures(
      [
        repetition({
          scenario: 'R500',
          target: 'direct',
          cpuUs: null,
          residentMb: null,
          latencyMs: { p50: 1, p99: 4 },
        }),
        repetition({ scenario: 'R500' }),
        repetition({ scenario: 'R500', repetition: 2, latencyMs: { p50: 2, p99: 8 } }),
      ],
      [R500],
    );
    expect(find(list, 'gateway')).toMatchObject({
      p50Ms: 2,
      addedP50Ms: 1,
      addedP99Ms: 4,
      ratioToNginx: null,
    });
    expect(find(list, 'direct')).toMatchObject({ cpuUs: null, addedP50Ms: null, residentMb: null });
  });

  it('count chunks where there are streams, and memory by the least of what was added', () => {
    const memory = (addedMbPer1000: number) =>
      repetition({ scenario: 'M1000', events: 4000, addedMbPer1000, residentMb: 100 + addedMbPer1000 });
    expect(figures([memory(70), memory(60)], [M1000])).toMatchObject([
      { unit: 'chunk', perSecond: 2000, addedMbPer1000: 60, residentMb: 170 },
    ]);
  });
});

describe('table and chart', () => {
  it('show each target once', () => {
    const list = figures(run, [U2]);
    expect(table(list).split('\n')).toHaveLength(4);
    expect(table(list)).toMatch(/U2 +gateway +50\.0 +50\.0 +request +2\.50/);
    const svg = chart(list, 'a <machine>');
    expect(svg.match(/<rect class="(?:nginx|gateway|portkey)"/g)).toHaveLength(3);
    expect(svg).toContain('2.50 × (50.0 µs)');
    expect(svg).toContain('a &lt;machine&gt;');
    // A peer that costs twenty times as much does not shrink the others to nothing.
    expect(svg).toContain('… 50.00 ×');
  });
});

describe('verdicts', () => {
  it('hold the figures against the goals that the run says something about', () => {
    expect(verdicts(figures(run, [U2]))).toEqual([
      'met     CPU per unary request of 2 KB: 2.50 × nginx, goal at most 2.8',
      'met     CPU per unary request of 2 KB: 0.05 × Portkey, goal at most 0.1',
    ]);
    const slow = figures([repetition({ target: 'nginx', cpuUs: 10 }), repetition({})], [U2]);
    expect(verdicts(slow)).toEqual(['missed  CPU per unary request of 2 KB: 6.00 × nginx, goal at most 2.8']);
  });
});

describe('compare', () => {
  const of = (cpuUs: number[], changes: Partial<Repetition> = {}) =>
    figures(
      cpuUs.flatMap((own, repetitionIndex) => [
        repetition({ target: 'nginx', cpuUs: 20, repetition: repetitionIndex }),
        repetition({ cpuUs: own, repetition: repetitionIndex, ...changes }),
      ]),
      [U2],
    );

  it('finds CPU that grew by more than 15 %, in both ratios', () => {
    expect(compare(of([60, 60, 60]), of([70, 70, 70]))).toMatchObject({
      compared: 1,
      worse: [expect.stringMatching(/^U2: CPU per request is 3\.50 × nginx .* 17 % worse$/)],
    });
    expect(compare(of([60, 60, 60]), of([68, 68, 68])).worse).toEqual([]);
    // One quiet repetition shows what the program can do; the others were disturbed.
    expect(compare(of([60, 60, 60]), of([61, 90, 90])).worse).toEqual([]);
    expect(compare(of([60, 60, 60]), of([30, 30, 30])).worse).toEqual([]);
  });

  it('finds memory that grew, and failed requests', () => {
    const memory = (addedMbPer1000: number) =>
      figures([repetition({ scenario: 'M1000', events: 4000, addedMbPer1000 })], [M1000]);
    expect(compare(memory(60), memory(70)).worse).toEqual([expect.stringMatching(/^M1000: 70\.0 MB/)]);
    expect(compare(memory(60), memory(68)).worse).toEqual([]);
    expect(compare(of([60]), of([60], { failed: 3 })).worse).toEqual(['U2: 3 requests failed']);
  });

  it('compares nothing that only one run has', () => {
    expect(compare([], of([60]))).toEqual({ compared: 0, worse: [] });
  });
});

describe('parseSchedstat', () => {
  it('reads nanoseconds on a processor', () => {
    expect(parseSchedstat('5000000 123 45\n')).toBe(5000);
  });
});
