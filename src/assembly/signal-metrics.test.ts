import { expect, it } from 'vitest';
import { pretendSubject } from '../../tests/support/pretend-proc.ts';
import type { SignalReading } from '../contract/signals.ts';
import { SignalMetrics } from './signal-metrics.ts';

const signal = new AbortController().signal;

it('gives samples of what was found last, and none of what is unknown, old or of a former start', async () => {
  let nowMs = 0;
  let reading: SignalReading = {
    processes: {
      wrapperAlive: true,
      missing: ['VLLM::EngineCore'],
      orphans: [],
      rssBytes: 1000,
      treeCpuRatio: 1.5,
    },
    oomKills: null,
    gpus: [{ id: '0', reachable: true, totalBytes: 80, ownBytes: 0, smClockMhz: 1980, throttled: false }],
  };
  const metrics = new SignalMetrics(() => nowMs);
  let closed = false;
  const source = metrics.watch({
    name: 'one',
    metrics: ['processes'],
    look: async () => reading,
    lookLast: () => ({ oomKills: 1 }),
    close: () => {
      closed = true;
    },
  });
  expect(await source.look(pretendSubject(), signal)).toBe(reading);
  expect(source.lookLast?.(pretendSubject())).toEqual({ oomKills: 1 });
  const of = 'model="m",deployment="m/0"';
  const lines = metrics
    .render()
    .split('\n')
    .filter((line) => !line.startsWith('#') && line !== '');
  expect(lines.toSorted()).toEqual(
    [
      `autoglm_replica_process_findings{${of},kind="missing"} 1`,
      `autoglm_replica_process_findings{${of},kind="orphan"} 0`,
      `autoglm_replica_process_findings{${of},kind="stopped"} 0`,
      `autoglm_replica_process_findings{${of},kind="unexpected"} 0`,
      `autoglm_replica_resident_bytes{${of}} 1000`,
      `autoglm_replica_cpu_cores{${of}} 1.5`,
      `autoglm_replica_gpu_reachable{${of},gpu="0"} 1`,
      `autoglm_replica_gpu_memory_bytes{${of},gpu="0",kind="total"} 80`,
      `autoglm_replica_gpu_memory_bytes{${of},gpu="0",kind="own"} 0`,
      `autoglm_replica_gpu_sm_clock_hertz{${of},gpu="0"} 1980000000`,
      `autoglm_replica_gpu_throttled{${of},gpu="0"} 0`,
    ].toSorted(),
  );
  reading = { memoryLimitBytes: 7 };
  await source.look(pretendSubject({ generation: 3 }), signal);
  expect(metrics.render()).toContain(`autoglm_replica_memory_limit_bytes{${of}} 7`);
  expect(metrics.render()).not.toContain('resident_bytes{');
  nowMs = 31_000;
  expect(metrics.render()).not.toContain('m/0');
  source.close();
  expect(closed).toBe(true);
});
