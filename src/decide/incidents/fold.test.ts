import { describe, expect, it } from 'vitest';
import type { Fact } from '../../contract/facts.ts';
import { type Incident, incidentSchema } from '../../contract/incidents.ts';
import { foldFact, foldTime, incidentsFrom } from './fold.ts';
import { INCIDENTS_MAX, type IncidentsState } from './incidents-state.ts';
import { summaryOf } from './report.ts';
import { timesOf } from './times.ts';

type FactOf<Type extends Fact['type']> = Extract<Fact, { type: Type }>;

const T = 1_800_000_000_000;
const hung = {
  class: 'hung',
  confidence: 0.9,
  evidence: [{ signal: 'metrics', text: 'no step for 4.2 s while 3 requests run' }],
  ruledOut: [{ class: 'busy', why: 'it makes no step' }],
};

function opened(over: Partial<FactOf<'incidentOpened'>> = {}): Fact {
  return {
    type: 'incidentOpened',
    atMs: T,
    incident: 'inc_a',
    replica: 'org/m/0',
    generation: 3,
    summary: 'it hangs',
    diagnosis: hung,
    lastGoodAtMs: T - 4_200,
    isolated: false,
    ...over,
  };
}

function failed(over: Partial<FactOf<'attemptFailed'>> = {}): Fact {
  return {
    type: 'attemptFailed',
    atMs: T + 10,
    replica: 'org/m/0',
    generation: 3,
    failure: 'connection-lost',
    requestId: 'req-1',
    ...over,
  };
}

function closed(over: Partial<FactOf<'incidentClosed'>> = {}): Fact {
  return {
    type: 'incidentClosed',
    atMs: T + 3_000,
    incident: 'inc_a',
    replica: 'org/m/0',
    outcome: 'recovered',
    text: 'it is ready again',
    ...over,
  };
}

const continued = (atMs: number, gapMs: number): Fact => ({
  type: 'streamContinued',
  atMs,
  from: 'org/m/0',
  to: 'org/m/1',
  tier: 'A',
  requestId: 'req-2',
  gapMs,
});

function fold(facts: readonly Fact[], from: IncidentsState = incidentsFrom([], 0)): IncidentsState {
  return facts.reduce(foldFact, from);
}

function only(state: IncidentsState): Incident {
  const [incident, ...more] = state.incidents.values();
  expect(more).toEqual([]);
  return incidentSchema.parse(incident);
}

describe('an incident', () => {
  it('is what its facts say, from the last sign of life to its end', () => {
    const incident = only(
      fold([
        opened(),
        {
          type: 'replicaStateChanged',
          atMs: T + 5,
          replica: 'org/m/0',
          generation: 3,
          from: 'ready',
          to: 'unready',
          reason: 'it hangs',
        },
        {
          type: 'evidenceTaken',
          atMs: T + 200,
          incident: 'inc_a',
          replica: 'org/m/0',
          folder: 'incidents/inc_a/evidence',
          tookMs: 180,
        },
        {
          type: 'remedyStarted',
          atMs: T + 210,
          incident: 'inc_a',
          replica: 'org/m/0',
          remedy: 'restart_process',
          step: 1,
          because: 'hung',
        },
        failed(),
        failed({ failure: 'stall-timeout' }),
        failed(),
        continued(T + 150, 140),
        continued(T + 400, 390),
        {
          type: 'requestFailed',
          atMs: T + 20,
          replica: 'org/m/0',
          generation: 3,
          outcome: 'failed-upstream',
          requestId: 'req-9',
        },
        {
          type: 'remedyEnded',
          atMs: T + 2_900,
          incident: 'inc_a',
          replica: 'org/m/0',
          remedy: 'restart_process',
          helped: true,
          detail: 'canary passed',
        },
        closed(),
      ]),
    );
    expect(incident).toMatchObject({
      state: 'recovered',
      pool: 'org/m',
      evidence: 'incidents/inc_a/evidence',
      isolatedAtMs: T + 5,
      clients: {
        attemptsFailed: { 'connection-lost': 2, 'stall-timeout': 1 },
        streamsContinued: { A: 2 },
        gapMaxMs: 390,
        requestsFailed: 1,
      },
      remedies: [{ remedy: 'restart_process', helped: true, endedAtMs: T + 2_900, detail: 'canary passed' }],
    });
    expect(timesOf(incident)).toEqual({ detectMs: 4_200, isolateMs: 5, recoverMs: 3_000 });
    expect(incident.timeline.map(({ source }) => source)).toEqual([
      'replica',
      'diagnosis',
      'replica',
      'gateway',
      'gateway',
      'gateway',
      'gateway',
      'evidence',
      'remedy',
      'remedy',
      'incident',
    ]);
    expect(incident.timeline.filter(({ source }) => source === 'gateway').map(({ text }) => text)).toEqual([
      '2 attempts failed there: connection-lost',
      '1 attempt failed there: stall-timeout',
      '1 request failed for good; the first: req-9, failed-upstream',
      '2 streams went on elsewhere (tier A)',
    ]);
    expect(summaryOf(incident)).toMatchObject({ class: 'hung', requestsFailed: 1, hasEvidence: true });
  });

  it('has what clients felt shortly before it was opened, and nothing of another start, replica or time', () => {
    const state = fold([
      failed({ atMs: T - 20_000 }),
      failed({ atMs: T - 9_000 }),
      failed({ atMs: T - 50, generation: 2 }),
      failed({ atMs: T - 50, replica: 'org/m/1' }),
      failed({ atMs: T - 60 }),
      continued(T - 10, 40),
      opened({ lastGoodAtMs: T - 100, isolated: true }),
    ]);
    const { clients, isolatedAtMs } = only(state);
    expect(clients.attemptsFailed).toEqual({ 'connection-lost': 1 });
    expect(clients.streamsContinued).toEqual({ A: 1 });
    expect(isolatedAtMs).toBe(T);
    expect(state.unclaimed).toHaveLength(3);
  });

  it('takes what arrives after its end and broke off before it, and not what broke off later', () => {
    const { clients } = only(
      fold([
        opened(),
        closed(),
        continued(T + 9_000, 8_990),
        continued(T + 9_000, 1_000),
        failed({ atMs: T + 3_500 }),
        failed({ atMs: T + 3_500, generation: 4 }),
        failed({ atMs: T + 4_500 }),
      ]),
    );
    expect(clients).toMatchObject({
      attemptsFailed: { 'connection-lost': 1 },
      streamsContinued: { A: 1 },
      gapMaxMs: 8_990,
    });
  });

  it('that was given up has no time to recover, and its last remedy did not help', () => {
    const incident = only(
      fold([
        opened(),
        {
          type: 'remedyStarted',
          atMs: T,
          incident: 'inc_a',
          replica: 'org/m/0',
          remedy: 'restart_process',
          step: 1,
          because: 'x',
        },
        closed({ outcome: 'given-up', text: 'restarted too often' }),
      ]),
    );
    expect(incident.state).toBe('given-up');
    expect(incident.remedies[0]).toMatchObject({ helped: false, detail: 'restarted too often' });
    expect(timesOf(incident).recoverMs).toBeNull();
  });

  it('hears of a request that was judged after the crash', () => {
    const { timeline } = only(
      fold([
        opened(),
        closed(),
        {
          type: 'suspectJudged',
          atMs: T + 60_000,
          fingerprint: '0123456789abcdef',
          model: 'org/m',
          status: 'convicted',
          replicas: ['org/m/0', 'org/m/1'],
          requestId: 'req-7',
        },
      ]),
    );
    expect(timeline.at(-1)?.text).toBe('request 0123456789ab that was in flight (req-7) is convicted');
  });

  it('is bounded however much happens in it, and keeps beginning and end', () => {
    const states = Array.from({ length: 400 }, (_, index): Fact[] => [
      {
        type: 'replicaStateChanged',
        atMs: T + index,
        replica: 'org/m/0',
        generation: 3,
        from: 'backing-off',
        to: 'starting',
        reason: `start ${index}`,
      },
      {
        type: 'remedyStarted',
        atMs: T + index,
        incident: 'inc_a',
        replica: 'org/m/0',
        remedy: 'restart_process',
        step: 1,
        because: 'x'.repeat(10_000),
      },
    ]);
    const incident = only(fold([opened(), ...states.flat(), closed()]));
    expect(incident.timeline).toHaveLength(200);
    expect(incident.remedies).toHaveLength(50);
    expect(incident.timeline[0]?.text).toBe('last sign of life');
    expect(incident.timeline[60]?.text).toBe('604 lines are left out here');
    expect(incident.timeline.at(-1)?.text).toBe('recovered: it is ready again');
    expect(JSON.stringify(incident).length).toBeLessThan(600_000);
  });
});

describe('what a former node process left open', () => {
  const left = [...fold([opened()]).incidents.values()];

  it('is taken up by the facts of the next one', () => {
    const state = foldTime(fold([closed()], incidentsFrom(left, T + 1_000)), T + 100_000);
    expect(only(state)).toMatchObject({ state: 'recovered', closedAtMs: T + 3_000 });
    expect(only(state).timeline.map(({ source }) => source)).toContain('node');
  });

  it('is over when the replica serves and nobody says anything else', () => {
    const ready: Fact = {
      type: 'replicaStateChanged',
      atMs: T + 5_000,
      replica: 'org/m/0',
      generation: 3,
      from: 'starting',
      to: 'ready',
      reason: 'adopted',
    };
    const state = fold([ready], incidentsFrom(left, T + 1_000));
    expect(only(foldTime(state, T + 9_000)).state).toBe('open');
    expect(only(foldTime(state, T + 16_000))).toMatchObject({ state: 'stood-down', closedAtMs: T + 5_000 });
  });

  it('is over when another one of the replica is opened, or after a day', () => {
    const next = fold([opened({ incident: 'inc_b', atMs: T + 9_000 })], incidentsFrom(left, T + 1_000));
    expect([...next.incidents.values()].map(({ state }) => state)).toEqual(['stood-down', 'open']);
    const later = foldTime(incidentsFrom(left, T + 1_000), T + 90_000_000);
    expect(only(later).state).toBe('stood-down');
  });

  it('says so when its beginning is not known', () => {
    const incident = only(fold([closed()]));
    expect(incident).toMatchObject({ state: 'recovered', replica: 'org/m/0' });
    expect(incident.summary).toContain('its beginning was not kept');
  });
});

describe('the list of incidents', () => {
  it('is bounded: the oldest that is closed goes first, one that is open stays', () => {
    const many = Array.from({ length: INCIDENTS_MAX + 20 }, (_, index): Fact[] => {
      const about = { incident: `inc_${index}`, replica: `m/${index}` };
      return index === 0 ? [opened(about)] : [opened(about), closed(about)];
    });
    const { incidents } = fold(many.flat());
    expect(incidents.size).toBe(INCIDENTS_MAX);
    expect(incidents.has('inc_0')).toBe(true);
    expect(incidents.has('inc_1')).toBe(false);
  });

  it('does not open one twice', () => {
    const state = fold([opened(), opened({ summary: 'again' })]);
    expect(only(state).summary).toBe('it hangs');
  });
});
