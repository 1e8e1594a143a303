/** What becomes of verdicts about engines that live, and of ends, where time and the rest of the pool matter. */
import { expect, it } from 'vitest';
import { createFleetState, type FleetState } from './fleet-state.ts';
import type { RecoveryEffect } from './recovery-effect.ts';
import type { RecoveryEvent } from './recovery-event.ts';
import { DEFAULT_RECOVERY_SETTINGS } from './recovery-settings.ts';
import { NO_MEANS, stateOf } from './replica.ts';
import { step } from './step.ts';
import type { Verdict } from './verdict.ts';

/** Nobody probes, so that only what is told happens. */
const settings = { ...DEFAULT_RECOVERY_SETTINGS, probeIntervalMs: 1e9, restartsMax: 1_000 };
const VERIFY_MS = settings.policy.verifyMs;

class Stage {
  state: FleetState = createFleetState(settings, 1, 0);
  effects: RecoveryEffect[] = [];

  constructor(replicas: number) {
    const specOf = (ordinal: number) => ({
      id: `demo/${ordinal}`,
      pool: 'demo',
      managed: true,
      launchHash: 'a',
      url: null,
      startTimeoutMs: 60_000,
      standby: false,
      means: NO_MEANS,
    });
    this.tell({ type: 'configured', replicas: Array.from({ length: replicas }, (_, at) => specOf(at)) });
    for (const id of Object.keys(this.state.replicas)) this.bringUp(id);
    this.effects = [];
  }

  tell(event: RecoveryEvent): void {
    const { state, effects } = step(this.state, event);
    this.state = state;
    this.effects.push(...effects);
    for (const effect of effects) {
      const answer = { effect: effect.id, replica: 'replica' in effect ? effect.replica : '' };
      if (effect.type === 'persist') this.tell({ type: 'persisted', ...answer, ok: true });
      if (effect.type === 'probe') this.tell({ type: 'probed', ...answer, ok: true, detail: '' });
    }
  }

  at(nowMs: number): void {
    this.tell({ type: 'ticked', nowMs });
  }

  find(id: string, found: Verdict['class'], confidence: number): void {
    const generation = this.state.replicas[id]?.generation ?? 0;
    this.tell({ type: 'diagnosed', replica: id, generation, verdict: verdict(found, confidence) });
  }

  /** It ends; where it is to be started again, it is. */
  end(id: string, found: Verdict['class']): void {
    const generation = this.state.replicas[id]?.generation ?? 0;
    const exit = { kind: 'exited', code: 1 } as const;
    this.tell({
      type: 'exited',
      replica: id,
      generation,
      exit,
      lastWords: null,
      verdict: verdict(found, 0.9),
    });
    if (this.stateOf(id) !== 'backing-off') return;
    this.at(this.state.nowMs + 40_000);
    this.bringUp(id);
  }

  bringUp(id: string): void {
    const effect = this.state.replicas[id]?.acting?.id ?? 0;
    const process = { pid: 100 + effect, startTicks: 1 };
    this.tell({ type: 'spawned', effect, replica: id, process, url: 'http://engine' });
  }

  stateOf(id: string): string {
    const replica = this.state.replicas[id];
    return replica === undefined ? 'absent' : stateOf(replica);
  }

  get pages(): number {
    return this.effects.filter((effect) => effect.type === 'tell' && effect.level === 'page').length;
  }

  get remedies(): string[] {
    return this.effects.flatMap((effect) =>
      effect.type === 'incident' && effect.news.kind === 'remedyStarted' ? [effect.news.remedy] : [],
    );
  }
}

function verdict(found: Verdict['class'], confidence: number): Verdict {
  const diagnosis = { class: found, confidence, evidence: [], ruledOut: [] };
  return { class: found, confidence, summary: `it is ${found}`, diagnosis };
}

it('tells people once of what nothing can be done about, however long it lasts', () => {
  const stage = new Stage(2);
  for (let look = 0; look < 200; look++) {
    stage.at(look * 2_000);
    stage.find('demo/0', look % 2 === 0 ? 'hung' : 'unknown', 0.3);
  }
  expect(stage.pages).toBe(1);
  expect(stage.remedies).toEqual(['page']);
});

it('sheds load in steps, each after the time in which the one before may help', () => {
  const stage = new Stage(2);
  const { means } = stage.state.replicas['demo/0']!.spec;
  stage.state.replicas['demo/0']!.spec = {
    ...stage.state.replicas['demo/0']!.spec,
    means: { ...means, window: 8 },
  };
  for (const atMs of [0, 2_000, VERIFY_MS - 1, VERIFY_MS + 1, VERIFY_MS + 2_000]) {
    stage.at(atMs);
    stage.find('demo/0', 'kv-exhausted', 0.9);
  }
  expect(stage.remedies).toEqual(['shed_load', 'shed_load']);
  expect(stage.state.replicas['demo/0']?.windowShare).toBe(1 / 4);
});

it('shuts a replica down that goes on to end for unknown causes, but only while another one serves', () => {
  const pair = new Stage(2);
  for (let end = 0; end < 11; end++) pair.end('demo/0', 'unknown');
  expect(pair.stateOf('demo/0')).toBe('quarantined');
  const alone = new Stage(1);
  for (let end = 0; end < 15; end++) alone.end('demo/0', 'unknown');
  expect(alone.stateOf('demo/0')).toBe('ready');
});
