import { expect, it } from 'vitest';
import { NO_ADJUSTMENT } from '../../contract/remedies.ts';
import { type LivingProcess, planAdoption } from './adoption-plan.ts';
import type { ReplicaMemory } from './replica-memory.ts';

const memory = (more: Partial<ReplicaMemory> = {}): ReplicaMemory => ({
  id: 'demo/0',
  generation: 3,
  process: { pid: 100, startTicks: 7 },
  url: 'http://127.0.0.1:1',
  launchHash: 'a',
  state: 'ready',
  reason: 'all probes passed',
  sinceMs: 0,
  provenHash: '',
  goal: 'run',
  failing: null,
  attempt: 0,
  restarts: 0,
  failures: [],
  lastIncident: null,
  standby: false,
  adjustment: NO_ADJUSTMENT,
  ladders: [],
  incident: null,
  windowShare: 1,
  ...more,
});

const living = (more: Partial<LivingProcess> = {}): LivingProcess => ({
  replica: 'demo/0',
  generation: 3,
  launchHash: 'a',
  process: { pid: 100, startTicks: 7 },
  url: null,
  ...more,
});

const kinds = (...parameters: Parameters<typeof planAdoption>) =>
  planAdoption(...parameters).map((event) =>
    event.type === 'adopted'
      ? `adopted ${event.process.pid} as ${event.memory?.state ?? 'unknown'}`
      : event.type === 'strayFound'
        ? `stray ${event.process.pid}`
        : event.type,
  );

it('adopts the process of the record, with what the record knows', () => {
  expect(planAdoption([memory()], [living()])).toEqual([
    {
      type: 'adopted',
      replica: 'demo/0',
      generation: 3,
      process: { pid: 100, startTicks: 7 },
      url: 'http://127.0.0.1:1',
      launchHash: 'a',
      memory: memory(),
    },
  ]);
});

it('does not take another process of the same pid for it', () => {
  const reused = living({ replica: 'demo/1', process: { pid: 100, startTicks: 8 } });
  expect(kinds([memory()], [reused])).toEqual(['recalled', 'adopted 100 as unknown']);
  expect(kinds([memory()], [])).toEqual(['recalled']);
});

it('finds the process that was started just before its record would have been written', () => {
  const written = memory({ process: null, state: 'starting', generation: 4 });
  const started = living({ generation: 4, process: { pid: 101, startTicks: 9 } });
  expect(kinds([written], [started])).toEqual(['adopted 101 as starting']);
});

it('trusts no word of a record about a newer process', () => {
  const newer = living({ generation: 5, process: { pid: 105, startTicks: 9 } });
  expect(kinds([memory()], [newer])).toEqual(['adopted 105 as starting']);
  const [event] = planAdoption([memory({ goal: 'restart' })], [newer]);
  expect(event).toMatchObject({ memory: { goal: 'run', process: null } });
});

it('ends what is older than the record, and all but one of several', () => {
  const older = living({ generation: 2, process: { pid: 90, startTicks: 1 } });
  expect(kinds([memory()], [older, living()])).toEqual(['adopted 100 as ready', 'stray 90']);
  expect(kinds([memory()], [older])).toEqual(
    ['recalled', 'adopted 90 as unknown'].slice(0, 1).concat('stray 90'),
  );
  const twins = [
    living({ process: { pid: 1, startTicks: 1 } }),
    living({ generation: 4, process: { pid: 2, startTicks: 2 } }),
  ];
  expect(kinds([], twins)).toEqual(['adopted 2 as unknown', 'stray 1']);
});
