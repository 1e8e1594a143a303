import { describe, expect, it } from 'vitest';
import { type AnomalyInput, anomaliesIn } from './anomalies.ts';

const quiet: AnomalyInput = {
  cpu: [],
  computesInMain: false,
  hasWork: true,
  processes: { wrapperAlive: true, missing: [], orphans: [] },
  container: undefined,
  cpuRatio: 0.9,
  cpuForMs: 30_000,
};
/** One look every two seconds. */
const cpu = (...values: number[]) => values.map((value, index) => ({ atMs: index * 2_000, value }));
const full = (looks: number) => cpu(...Array.from({ length: looks }, () => 0.97));

describe('a full processor', () => {
  it('is told after its time, and not before', () => {
    expect(anomaliesIn({ ...quiet, cpu: full(15) })).toEqual([]);
    expect(anomaliesIn({ ...quiet, cpu: full(16) })).toEqual([
      { kind: 'cpu', text: 'its main process has used 97 % of a processor for 30 s' },
    ]);
  });

  it('is not told when it was let go in between', () => {
    expect(anomaliesIn({ ...quiet, cpu: [...full(10), { atMs: 20_000, value: 0.2 }] })).toEqual([]);
    const again = [...full(10), { atMs: 20_000, value: 0.2 }, { atMs: 60_000, value: 1 }];
    expect(anomaliesIn({ ...quiet, cpu: again })).toHaveLength(1);
  });

  it('is work where the engine computes in its main process, as long as there is some', () => {
    const engine = { ...quiet, computesInMain: true, cpu: full(20) };
    expect(anomaliesIn(engine)).toEqual([]);
    expect(anomaliesIn({ ...engine, hasWork: false })[0]?.text).toMatch(/without work$/);
  });
});

it('tells of programs that an engine has no business to start, of missing ones, and of restarts by others', () => {
  const found = anomaliesIn({
    ...quiet,
    processes: {
      wrapperAlive: true,
      missing: ['VLLM::EngineCore'],
      orphans: [],
      unexpected: [{ pid: 7, name: 'sh', command: 'sh -c id' }],
    },
    container: { id: 'abcdef0123456789', state: 'running', oomKilled: false, exitCode: null, restarts: 2 },
  });
  expect(found.map(({ kind }) => kind)).toEqual([
    'unexpected-process',
    'process-missing',
    'container-restarted',
  ]);
  expect(found[0]?.text).toBe('the engine started sh (pid 7): sh -c id');
});
