/**
 * From "shall end" to gone: finish what runs, SIGTERM, SIGKILL, and what the goal says comes after. Also every end that
 * nobody asked for, with whatever status: those are failures.
 */
import { exhaustive } from '../../base/invariant.ts';
import type { ProcessExit } from '../../contract/ports/process-host.ts';
import type { Draft } from './draft.ts';
import { exitText } from './exit-text.ts';
import { failed, quarantine } from './failing.ts';
import { closeIncident } from './incident.ts';
import { type Goal, type Phase, type Replica, stateOf } from './replica.ts';
import { start } from './start.ts';
import type { Verdict } from './verdict.ts';

/** SIGKILLs without effect after which somebody should look at the machine. */
const KILLS_BEFORE_PAGE = 3;

/** Takes the replica out of rotation and ends it; `goal` says what comes after. */
export function end(
  draft: Draft,
  replica: Replica,
  goal: Extract<Goal, { kind: 'restart' | 'stop' | 'remove' }>,
  reason: string,
  byRemedy = false,
): void {
  if (!byRemedy) closeIncident(draft, replica, 'stood-down', reason);
  // A replica that is to be forgotten stays so until the configuration names it again.
  replica.goal = goal;
  replica.unwritten = replica.spec.managed && !replica.stray;
  switch (replica.phase.name) {
    case 'serving':
    case 'ailing':
    case 'mending': {
      const { settleMs, drainTimeoutMs } = draft.settings;
      const deadlineMs = draft.nowMs + drainTimeoutMs;
      const settledAtMs = draft.nowMs + settleMs;
      replica.inFlight = unheardOf(draft);
      return draft.enter(replica, { name: 'draining', settledAtMs, deadlineMs }, reason);
    }
    case 'climbing':
      return replica.spec.managed ? terminate(draft, replica, reason) : arrive(draft, replica, reason);
    case 'spawning':
    case 'searching':
      // Whether there is a process is known when the order is answered; the goal is looked at then.
      replica.reason = reason;
      return;
    case 'draining':
      if (draft.state.ending !== null) replica.inFlight = 0;
      replica.reason = reason;
      return;
    case 'terminating':
      replica.reason = reason;
      return;
    case 'recording':
      // It is just being started, which is all that a restart wants.
      if (goal.kind !== 'restart') return arrive(draft, replica, reason);
      replica.goal = { kind: 'run' };
      return;
    case 'waiting':
    case 'quarantined':
    case 'stopped':
      return arrive(draft, replica, reason);
    default:
      return exhaustive(replica.phase);
  }
}

/** Sends SIGTERM as soon as no other order is under way. */
export function terminate(draft: Draft, replica: Replica, reason: string): void {
  const signal = draft.state.ending === 'kill' ? 'KILL' : 'TERM';
  draft.enter(replica, { name: 'terminating', signal, sent: 0, deadlineMs: null }, reason);
}

/** Ends at once what is not yet killed. */
export function kill(draft: Draft, replica: Replica): void {
  if (replica.phase.name === 'terminating') {
    if (replica.phase.signal === 'TERM')
      replica.phase = { name: 'terminating', signal: 'KILL', sent: 0, deadlineMs: null };
  } else if (replica.process !== null) {
    terminate(draft, replica, 'is ended at once on request');
  }
}

/** No process is left, or none is ours: what the goal says comes now. */
function arrive(draft: Draft, replica: Replica, reason: string): void {
  replica.process = null;
  replica.inFlight = 0;
  switch (replica.goal.kind) {
    case 'stop':
      closeIncident(draft, replica, 'given-up', reason);
      return draft.enter(replica, { name: 'stopped' }, reason);
    case 'remove':
      return draft.remove(replica.spec.id);
    case 'restart':
    case 'run':
      return start(draft, replica, reason);
    case 'fail':
      return failed(draft, replica, { kind: replica.goal.failure, summary: replica.goal.summary });
    case 'quarantine':
      return quarantine(draft, replica, replica.goal.summary);
    default:
      return exhaustive(replica.goal);
  }
}

/** What is in flight before a gateway has said so. When everything ends, gateways have ended before. */
function unheardOf({ state }: Draft): number | null {
  return state.ending === null ? null : 0;
}

/** When a drain is over, as things are now. */
export function drainedAtMs(
  { settledAtMs, deadlineMs }: Extract<Phase, { name: 'draining' }>,
  inFlight: number | null,
): number {
  return inFlight === 0 ? Math.min(settledAtMs, deadlineMs) : deadlineMs;
}

/** Gateways said how many requests they have on the replica. */
export function onInFlight(draft: Draft, replica: Replica, count: number): void {
  const { phase } = replica;
  const isEarly = phase.name === 'draining' && draft.nowMs < phase.settledAtMs;
  replica.inFlight = isEarly && count === 0 ? unheardOf(draft) : count;
  onDraining(draft, replica);
}

/** In a drain: time has passed, or what is known of the requests in flight has changed. */
export function onDraining(draft: Draft, replica: Replica): void {
  if (replica.phase.name !== 'draining') return;
  if (draft.nowMs < drainedAtMs(replica.phase, replica.inFlight)) return;
  if (!replica.spec.managed) return arrive(draft, replica, replica.reason);
  terminate(draft, replica, replica.reason + cutText(replica.inFlight));
}

function cutText(inFlight: number | null): string {
  if (inFlight === null) return '; the gateways did not say what was in flight';
  return inFlight > 0 ? `; ${inFlight} requests cut` : '';
}

/** The grace after a signal is over. */
export function onTerminating(draft: Draft, replica: Replica): void {
  if (replica.phase.name !== 'terminating') return;
  const { signal, sent } = replica.phase;
  if (signal === 'KILL' && sent === KILLS_BEFORE_PAGE) {
    const text = `pid ${replica.process?.pid} does not end on SIGKILL; it hangs in the kernel`;
    draft.tell('page', replica.spec.id, text);
  }
  replica.phase = {
    name: 'terminating',
    signal: 'KILL',
    sent: signal === 'KILL' ? sent : 0,
    deadlineMs: null,
  };
}

/** The process of the present generation is gone. */
export function ended(
  draft: Draft,
  replica: Replica,
  { exit, lastWords, verdict }: { exit: ProcessExit; lastWords: string | null; verdict: Verdict | null },
): void {
  const { name } = replica.phase;
  if (name === 'terminating') return arrive(draft, replica, endedText(replica, exit));
  const mayHaveProcess = replica.process !== null || name === 'spawning' || name === 'searching';
  if (!mayHaveProcess) return;
  const words = lastWords === null ? '' : `: ${lastWords}`;
  const summary = `${exitText(exit)} while ${stateOf(replica)}${words}`;
  failed(draft, replica, { kind: 'exited', summary, verdict });
}

function endedText({ goal, reason }: Replica, exit: ProcessExit): string {
  return goal.kind === 'stop' ? `${reason}; ${exitText(exit)}` : reason;
}
