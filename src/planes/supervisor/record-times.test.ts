import { expect, it } from 'vitest';
import type { ReplicaMemory } from '../../decide/recovery/replica-memory.ts';
import { toMemory, toRecord } from './record-times.ts';

const memory: ReplicaMemory = {
  id: 'demo/0',
  generation: 3,
  process: null,
  url: null,
  launchHash: 'a',
  state: 'backing-off',
  reason: 'exit code 1 while ready; starts again in 2.0 s',
  sinceMs: 4_000,
  provenHash: '',
  goal: 'run',
  failing: null,
  attempt: 2,
  restarts: 5,
  failures: [{ atMs: 4_000, kind: 'exited', restartAtMs: 6_000 }],
  lastIncident: { atMs: 4_000, summary: 'exit code 1 while ready' },
  standby: true,
  adjustment: { saferSteps: 1, fallbackPath: false, device: 0 },
  ladders: [{ class: 'hung', tries: 2, lastAtMs: 4_000 }],
  incident: {
    id: 'inc_1',
    class: 'hung',
    summary: 'no step',
    openedAtMs: 3_000,
    remedy: { remedy: 'restart_process', step: 1, startedAtMs: 4_000 },
  },
  windowShare: 0.5,
};

it('keeps ages, whatever the monotonic clock of the next process says', () => {
  const record = toRecord(memory, { wallMs: 1_700_000_000_000, monotonicMs: 5_000 });
  expect(record.stateSinceAtMs).toBe(1_699_999_999_000);
  const later = toMemory(record, { wallMs: 1_700_000_000_500, monotonicMs: 100 }, 60_000);
  expect(later).toEqual({
    ...memory,
    sinceMs: -1_400,
    failures: [{ atMs: -1_400, kind: 'exited', restartAtMs: 600 }],
    lastIncident: { atMs: -1_400, summary: 'exit code 1 while ready' },
    ladders: [{ class: 'hung', tries: 2, lastAtMs: -1_400 }],
    incident: {
      id: 'inc_1',
      class: 'hung',
      summary: 'no step',
      openedAtMs: -2_400,
      remedy: { remedy: 'restart_process', step: 1, startedAtMs: -1_400 },
    },
  });
});

it('waits no longer than the longest backoff when the wall clock was set back', () => {
  const record = toRecord(memory, { wallMs: 1_700_000_000_000, monotonicMs: 5_000 });
  const back = toMemory(record, { wallMs: 1_600_000_000_000, monotonicMs: 100 }, 60_000);
  expect(back.failures).toEqual([{ atMs: 100, kind: 'exited', restartAtMs: 60_100 }]);
  expect(back.sinceMs).toBe(100);
});
