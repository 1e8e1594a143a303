/**
 * The recovery machine: `step(state, event) -> { state, effects }`. Pure: time and chance are in the state, effects are data.
 * The supervisor plane carries effects out and sends what became of them back as events; nothing else talks to the machine.
 *
 * Stages, each in files of its own: what is observed (deadlines, probing, ending's `ended`) leads to a failure; a failure is
 * judged in one place (failing); the remedy is carried out (start, spawning, ending).
 */
import { exhaustive } from '../../base/invariant.ts';
import { drain, restart } from './commands.ts';
import { dueAtMs, onDue } from './deadlines.ts';
import { Draft } from './draft.ts';
import { ended, onInFlight } from './ending.ts';
import type { FleetState } from './fleet-state.ts';
import { onAdopted, onConfigured, onEndRequested, onRecalled, onStrayFound } from './membership.ts';
import { onAttemptFailed, onProbed, probeIfDue } from './probing.ts';
import type { RecoveryEffect } from './recovery-effect.ts';
import type { RecoveryEvent } from './recovery-event.ts';
import { onDiagnosed, onMended } from './remedy.ts';
import type { Replica } from './replica.ts';
import { advanceRolling, onRollingRestartRequested } from './rolling.ts';
import { onFound, onSpawned, onSpawnFailed, proceed } from './spawning.ts';
import { promoteStandbys } from './standby.ts';

export interface StepResult {
  state: FleetState;
  effects: RecoveryEffect[];
}

export function step(state: FleetState, event: RecoveryEvent): StepResult {
  const draft = new Draft(state);
  if (event.type === 'ticked') tick(draft, event.nowMs);
  else handle(draft, event);
  promoteStandbys(draft);
  advanceRolling(draft);
  for (const replica of draft.touched) {
    probeIfDue(draft, replica);
    proceed(draft, replica);
  }
  return draft.finish();
}

function tick(draft: Draft, nowMs: number): void {
  draft.state.nowMs = Math.max(nowMs, draft.state.nowMs);
  for (const [id, known] of Object.entries(draft.state.replicas)) {
    if (dueAtMs(known, draft.settings) > draft.nowMs) continue;
    const replica = draft.replica(id);
    if (replica !== undefined) onDue(draft, replica);
  }
}

function handle(draft: Draft, event: Exclude<RecoveryEvent, { type: 'ticked' }>): void {
  switch (event.type) {
    case 'configured':
      return onConfigured(draft, event);
    case 'adopted':
      return onAdopted(draft, event);
    case 'recalled':
      return onRecalled(draft, event);
    case 'strayFound':
      return onStrayFound(draft, event);
    case 'rollingRestartRequested':
      return onRollingRestartRequested(draft, event.pool, event.because);
    case 'endRequested':
      return onEndRequested(draft, event);
    default: {
      const replica = draft.replica(event.replica);
      if (replica !== undefined) handleOfReplica(draft, replica, event);
    }
  }
}

type ReplicaEvent = Exclude<
  RecoveryEvent,
  {
    type:
      | 'ticked'
      | 'configured'
      | 'adopted'
      | 'recalled'
      | 'strayFound'
      | 'rollingRestartRequested'
      | 'endRequested';
  }
>;

function handleOfReplica(draft: Draft, replica: Replica, event: ReplicaEvent): void {
  switch (event.type) {
    case 'persisted':
      if (replica.writing?.id === event.effect) replica.writing = null;
      return;
    case 'probed': {
      const { probing } = replica;
      if (probing?.id !== event.effect) return;
      replica.probing = null;
      return onProbed(draft, replica, probing.rung, event);
    }
    case 'spawned':
      if (answersActing(replica, event.effect)) onSpawned(draft, replica, event);
      return;
    case 'spawnFailed':
      if (answersActing(replica, event.effect)) onSpawnFailed(draft, replica, event);
      return;
    case 'found':
      if (answersActing(replica, event.effect)) onFound(draft, replica, event);
      return;
    case 'signalled':
      if (answersActing(replica, event.effect) && event.gone)
        ended(draft, replica, { exit: { kind: 'unknown' }, lastWords: null, verdict: null });
      return;
    case 'captured':
      answersActing(replica, event.effect);
      return;
    case 'mended':
      if (answersActing(replica, event.effect)) onMended(draft, replica, event);
      return;
    case 'diagnosed':
      if (event.generation === replica.generation) onDiagnosed(draft, replica, event.verdict);
      return;
    case 'exited':
      if (event.generation === replica.generation) ended(draft, replica, event);
      return;
    case 'attemptFailed':
      if (event.generation === replica.generation) onAttemptFailed(draft, replica);
      return;
    case 'inFlightReported':
      return onInFlight(draft, replica, event.count);
    case 'drainRequested':
      return drain(draft, replica);
    case 'restartRequested':
      return restart(draft, replica);
    default:
      return exhaustive(event);
  }
}

/** Orders that change the process are answered at most once; a late answer belongs to none that is under way. */
function answersActing(replica: Replica, effect: number): boolean {
  if (replica.acting?.id !== effect) return false;
  replica.acting = null;
  return true;
}
