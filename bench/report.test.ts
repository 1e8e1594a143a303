import { describe, expect, it } from 'vitest';
import { chart } from './chart.ts';
import { parseSchedstat } from './cpu-time.ts';
import { figures, type Repetition, table } from './report.ts';

const repetition = (changes: Partial<Repetition>): Repetition => ({
  scenario: 'U2',
  target: 'gateway',
  repetition: 1,
  requests: 1000,
  failed: 0,
  errors: {},
  events: 0,
  elapsedMs: 2000,
  cpuUsPerRequest: 60,
  cpuUsPerChunk: null,
  latencyMs: { p50: 3, p99: 9 },
  rssMb: 100,
  ...changes,
});

const run: Repetition[] = [
  repetition({ target: 'direct', cpuUsPerRequest: null, rssMb: null, latencyMs: { p50: 1, p99: 4 } }),
  repetition({ target: 'nginx', cpuUsPerRequest: 20, rssMb: 10 }),
  repetition({ target: 'nginx', cpuUsPerRequest: 30, rssMb: 12 }),
  repetition({ cpuUsPerRequest: 60 }),
  repetition({ cpuUsPerRequest: 50, failed: 2, latencyMs: { p50: 2, p99: 8 } }),
];

describe('figures', () => {
  it('takes the least CPU, the ratio to nginx of the same run, and what is added over direct', () => {
    const gateway = figures(run).find(({ target }) => target === 'gateway');
    expect(gateway).toMatchObject({
      unit: 'request',
      cpuUs: { min: 50, median: 50 },
      ratioToNginx: 2.5,
      p50Ms: 2,
      addedP50Ms: 1,
      addedP99Ms: 4,
      perSecond: 500,
      failed: 2,
    });
  });

  it('counts per chunk where there are streams, and has no ratio without nginx', () => {
    const [figure] = figures([repetition({ scenario: 'S', events: 4000, cpuUsPerChunk: 2 })]);
    expect(figure).toMatchObject({ unit: 'chunk', cpuUs: { min: 2 }, ratioToNginx: null, perSecond: 2000 });
  });
});

describe('table and chart', () => {
  it('show each target once', () => {
    expect(table(figures(run)).split('\n')).toHaveLength(4);
    expect(table(figures(run))).toMatch(/U2 +gateway +50\.0 +50\.0 +request +2\.50/);
    const svg = chart(figures(run), 'a <machine>');
    expect(svg.match(/<rect x/g)).toHaveLength(2);
    expect(svg).toContain('50.0 µs/request (2.50 × nginx)');
    expect(svg).toContain('a &lt;machine&gt;');
  });
});

describe('parseSchedstat', () => {
  it('reads nanoseconds on a processor', () => {
    expect(parseSchedstat('5000000 123 45\n')).toBe(5000);
  });
});
