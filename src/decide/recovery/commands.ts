/** The restart that a person asks for; the other commands are one line each in `step`. */
import type { Draft } from './draft.ts';
import { end } from './ending.ts';
import type { Replica } from './replica.ts';
import { start } from './start.ts';

/** Finish what runs, end, start again; also the way out of quarantine and out of a stop. */
export function restart(draft: Draft, replica: Replica): void {
  const because = 'restarted on request';
  switch (replica.phase.name) {
    case 'recording':
    case 'spawning':
    case 'searching':
      // It is just being started: that is what was asked for, whatever was asked before.
      replica.goal = { kind: 'run' };
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
