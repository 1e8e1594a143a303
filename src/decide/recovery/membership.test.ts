import { describe, expect, it } from 'vitest';
import { NO_ADJUSTMENT } from '../../contract/remedies.ts';
import { createFleetState, type FleetState } from './fleet-state.ts';
import type { RecoveryEvent } from './recovery-event.ts';
import { DEFAULT_RECOVERY_SETTINGS } from './recovery-settings.ts';
import { NO_MEANS } from './replica.ts';
import type { ReplicaMemory } from './replica-memory.ts';
import { step } from './step.ts';

const NOW_MS = 1_000_000;
const { stableAfterMs } = DEFAULT_RECOVERY_SETTINGS;
const settings = {
  ...DEFAULT_RECOVERY_SETTINGS,
  backoff: { initialMs: 500, maxMs: 30_000, jitterRatio: 0 },
};

const SPEC = {
  id: 'demo/0',
  pool: 'demo',
  managed: true,
  launchHash: 'a',
  url: null,
  startTimeoutMs: 5_000,
  standby: false,
  means: NO_MEANS,
};

/** What is remembered of a replica that became ready after four failures. */
function memory(readyForMs: number): ReplicaMemory {
  return {
    id: 'demo/0',
    generation: 5,
    process: { pid: 100, startTicks: 1 },
    url: 'http://engine',
    launchHash: 'a',
    state: 'ready',
    reason: 'all probes passed',
    sinceMs: NOW_MS - readyForMs,
    provenHash: '',
    goal: 'run',
    failing: null,
    attempt: 4,
    restarts: 4,
    failures: [],
    lastIncident: null,
    standby: false,
    adjustment: NO_ADJUSTMENT,
    ladders: [],
    incident: null,
    windowShare: 1,
  };
}

function play(events: RecoveryEvent[], state = createFleetState(settings, 1, NOW_MS)): FleetState {
  return events.reduce((before, event) => step(before, event).state, state);
}

/** How long it waits before it is started again. */
function waitMs(state: FleetState): number {
  const phase = state.replicas['demo/0']?.phase;
  return phase?.name === 'waiting' ? phase.untilMs - state.nowMs : Number.NaN;
}

const adopted = (readyForMs: number): RecoveryEvent => ({
  type: 'adopted',
  replica: 'demo/0',
  generation: 5,
  process: { pid: 100, startTicks: 1 },
  url: 'http://engine',
  launchHash: 'a',
  memory: memory(readyForMs),
});
const configured: RecoveryEvent = { type: 'configured', replicas: [SPEC] };
const exited: RecoveryEvent = {
  type: 'exited',
  replica: 'demo/0',
  generation: 5,
  exit: { kind: 'exited', code: 1 },
  lastWords: null,
  verdict: null,
};

describe('a replica of a former supervisor', () => {
  it('begins its backoff anew when it was ready long enough, although nobody watched it all the time', () => {
    const state = play([adopted(stableAfterMs), configured, { type: 'ticked', nowMs: NOW_MS + 10 }, exited]);
    expect(waitMs(state)).toBe(500);
  });

  it('keeps its backoff when it was not, and counts the time under both supervisors', () => {
    const short = [adopted(1_000), configured];
    expect(waitMs(play([...short, exited]))).toBe(500 * 2 ** 4);
    expect(play(short).replicas['demo/0']?.sinceMs).toBe(NOW_MS - 1_000);
    const later = { type: 'ticked', nowMs: NOW_MS + stableAfterMs - 1_000 } as const;
    expect(waitMs(play([...short, later, exited]))).toBe(500);
  });

  it('begins its backoff anew also when it ended while no supervisor lived', () => {
    expect(waitMs(play([{ type: 'recalled', memory: memory(stableAfterMs) }]))).toBe(500);
    expect(waitMs(play([{ type: 'recalled', memory: memory(1_000) }]))).toBe(500 * 2 ** 4);
  });
});
