/**
 * Broken supervisors. Each forgets one rule that the real one keeps; a simulation that does not notice is no test. They are
 * made by wrapping the parts, so that the parts themselves know nothing of it.
 */
import type { FleetState } from '../../src/decide/recovery/fleet-state.ts';
import type { RecoveryEffect } from '../../src/decide/recovery/recovery-effect.ts';
import type { RecoveryEvent } from '../../src/decide/recovery/recovery-event.ts';
import type { StepResult } from '../../src/decide/recovery/step.ts';
import type { Verdict } from '../../src/decide/recovery/verdict.ts';
import { type Found, MACHINE, type Machine } from './machine.ts';

type Step = Machine['step'];

export const MUTATIONS: Record<string, Machine> = {
  'restarts without limit': {
    ...MACHINE,
    step: withSettings((settings) => ({ ...settings, restartsMax: 1_000_000 })),
  },
  'forgets earlier restarts when the supervisor dies': {
    ...MACHINE,
    boot: (found) =>
      MACHINE.boot({ ...found, records: found.records.map((record) => ({ ...record, failures: [] })) }),
  },
  'adopts by pid, without looking at the start time': { ...MACHINE, boot: bootByPid },
  'starts again without looking for the process of an unanswered start': {
    ...MACHINE,
    step: withoutEffects('find', ({ id, replica }) => ({
      type: 'found',
      effect: id,
      replica,
      process: null,
      url: null,
    })),
  },
  'never sends SIGKILL': {
    ...MACHINE,
    step: (state, event) => {
      const { state: next, effects } = MACHINE.step(state, event);
      return { state: next, effects: effects.map(toTerm) };
    },
  },
  'never signals twice': {
    ...MACHINE,
    step: withSettings((settings) => ({
      ...settings,
      termGraceMs: 1_000_000_000,
      killRetryMs: 1_000_000_000,
    })),
  },
  'starts a second process where one is recorded only by its tag': {
    ...MACHINE,
    boot: (found) => MACHINE.boot({ ...found, processHost: { ...found.processHost, findOwned: () => [] } }),
  },
  'does not tell gateways that a replica has ended': {
    ...MACHINE,
    step: (state, event) => {
      const { state: next, effects } = MACHINE.step(state, event);
      const isKept = ({ type }: RecoveryEffect) => type !== 'publish' || event.type !== 'exited';
      return { state: next, effects: effects.filter(isKept) };
    },
  },
  'takes the silence of gateways for nothing in flight': {
    ...MACHINE,
    step: (before, event) => {
      let { state, effects }: StepResult = MACHINE.step(before, event);
      for (const { spec, phase, inFlight } of Object.values(state.replicas)) {
        if (phase.name !== 'draining' || inFlight !== null || state.nowMs < phase.settledAtMs) continue;
        const told = MACHINE.step(state, { type: 'inFlightReported', replica: spec.id, count: 0 });
        state = told.state;
        effects = [...effects, ...told.effects];
      }
      return { state, effects };
    },
  },
  'goes on with what was unloaded': {
    ...MACHINE,
    step: (state, event) => {
      if (event.type !== 'configured') return MACHINE.step(state, event);
      const named = new Set(event.replicas.map(({ id }) => id));
      const former = Object.values(state.replicas)
        .filter(({ spec, stray }) => !named.has(spec.id) && !stray)
        .map(({ spec }) => spec);
      return MACHINE.step(state, { ...event, replicas: [...event.replicas, ...former] });
    },
  },
  'restarts every pool when one comes, goes or changes': {
    ...MACHINE,
    step: (before, event) => {
      const { state, effects } = MACHINE.step(before, event);
      return event.type === 'configured' ? restartAll(state, effects) : { state, effects };
    },
  },
  'is not fenced: orders of one that was paused are carried out after another took over': {
    ...MACHINE,
    refuses: () => false,
  },
  'forgets that reading a prompt takes time': {
    ...MACHINE,
    judge: ({ capacity: _, patience, ...window }) =>
      MACHINE.judge({ ...window, inFlight: [], ...(patience !== undefined && { patience }) }),
  },
  'goes by late answers and not by progress': {
    ...MACHINE,
    judge: (window) => {
      const { flow = [] } = window;
      const silent = flow.slice(-2).every(({ sinceTokenMs }) => sinceTokenMs === undefined);
      return silent && flow.length > 1 ? HUNG : MACHINE.judge(window);
    },
  },
  'takes every engine for well that answers its health check': {
    ...MACHINE,
    judge: (window) => MACHINE.judge({ nowMs: window.nowMs }),
  },
  'takes a process for gone as soon as it was signalled': {
    ...MACHINE,
    step: (state, event) =>
      MACHINE.step(state, event.type === 'signalled' ? { ...event, gone: true } : event),
  },
};

const HUNG: Verdict = {
  class: 'hung',
  confidence: 1,
  summary: 'it is late',
  diagnosis: { class: 'hung', confidence: 1, evidence: [], ruledOut: [] },
};

function restartAll(state: FleetState, before: readonly RecoveryEffect[]): StepResult {
  let result: StepResult = { state, effects: [...before] };
  for (const id of Object.keys(state.replicas)) {
    const told = MACHINE.step(result.state, { type: 'restartRequested', replica: id });
    result = { state: told.state, effects: [...result.effects, ...told.effects] };
  }
  return result;
}

function withSettings(change: (settings: FleetState['settings']) => FleetState['settings']): Step {
  return (state, event) => {
    const { settings } = state;
    const { state: next, effects } = MACHINE.step({ ...state, settings: change(settings) }, event);
    return { state: { ...next, settings }, effects };
  };
}

/** Answers orders of one type at once, without carrying them out. */
function withoutEffects<Type extends RecoveryEffect['type']>(
  type: Type,
  answer: (effect: Extract<RecoveryEffect, { type: Type }>) => RecoveryEvent,
): Step {
  return (before, event) => {
    let { state, effects }: StepResult = MACHINE.step(before, event);
    const isOfType = (effect: RecoveryEffect): effect is Extract<RecoveryEffect, { type: Type }> =>
      effect.type === type;
    for (const effect of effects.filter(isOfType)) {
      const answered = MACHINE.step(state, answer(effect));
      state = answered.state;
      effects = [...effects, ...answered.effects];
    }
    return { state, effects: effects.filter((effect) => !isOfType(effect)) };
  };
}

function bootByPid(found: Found): RecoveryEvent[] {
  const { processHost } = found;
  return MACHINE.boot({
    ...found,
    processHost: { ...processHost, isAlive: ({ pid }) => found.isTaken(pid) },
  });
}

function toTerm(effect: RecoveryEffect): RecoveryEffect {
  return effect.type === 'signal' ? { ...effect, signal: 'TERM' } : effect;
}
