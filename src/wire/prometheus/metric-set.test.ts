import { describe, expect, it } from 'vitest';
import { type Family, MetricSet } from './metric-set.ts';

const families: Family[] = [
  { name: 'requests_total', type: 'counter', help: 'Requests.' },
  { name: 'seconds', type: 'histogram', help: 'Time.', bounds: [0.1, 1] },
];

describe('MetricSet', () => {
  it('renders counters and cumulative histograms with common labels and escaped values', () => {
    const set = new MetricSet(families);
    set.add('requests_total', { model: 'a"b\\c\n' });
    set.add('requests_total', { model: 'a"b\\c\n' }, 2);
    for (const value of [0.05, 0.1, 0.5, 7]) set.observe('seconds', {}, value);
    expect(set.render({ gateway: 'g' })).toBe(
      [
        '# HELP requests_total Requests.',
        '# TYPE requests_total counter',
        'requests_total{gateway="g",model="a\\"b\\\\c\\n"} 3',
        '# HELP seconds Time.',
        '# TYPE seconds histogram',
        'seconds_bucket{gateway="g",le="0.1"} 2',
        'seconds_bucket{gateway="g",le="1"} 3',
        'seconds_bucket{gateway="g",le="+Inf"} 4',
        'seconds_sum{gateway="g"} 7.65',
        'seconds_count{gateway="g"} 4',
        '',
      ].join('\n'),
    );
  });

  it('hands deltas over once, and merging them loses nothing', () => {
    const worker = new MetricSet(families);
    const main = new MetricSet(families);
    for (let turn = 0; turn < 3; turn++) {
      worker.add('requests_total', {});
      worker.observe('seconds', {}, 0.5);
      main.merge(structuredClone(worker.takeDeltas()));
    }
    expect(worker.render()).toBe('');
    expect(main.render()).toContain('requests_total 3');
    expect(main.render()).toContain('seconds_bucket{le="1"} 3');
  });
});
