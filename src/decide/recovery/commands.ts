/** What a person may ask of one replica. One that is leaving stays on its way, whoever asks. */
import type { Draft } from './draft.ts';
import { end } from './ending.ts';
import type { Replica } from './replica.ts';
import { start } from './start.ts';

/** Finish what runs, then end, and stay down. */
export function drain(draft: Draft, replica: Replica): void {
  if (replica.goal.kind !== 'remove') end(draft, replica, { kind: 'stop' }, 'drained on request');
}

/** Finish what runs, end, start again; also the way out of quarantine and out of a stop. */
export function restart(draft: Draft, replica: Replica): void {
  if (replica.goal.kind === 'remove') return;
  const because = 'restarted on request';
  switch (replica.phase.name) {
    case 'recording':
    case 'spawning':
    case 'searching':
      // It is just being started: that is what was asked for, whatever was asked before.
      replica.goal = { kind: replica.startedHash === replica.spec.launchHash ? 'run' : 'restart' };
      return;
    case 'waiting':
    case 'quarantined':
    case 'stopped':
      replica.failures = [];
      replica.attempt = 0;
      return start(draft, replica, because);
    default:
      return end(draft, replica, { kind: 'restart' }, because);
  }
}
