/** What workers and the main thread of a gateway say to each other of suspect requests; nothing while no engine dies. */
import type { SuspectEvent, Verdict } from '../../../decide/suspects/suspect-state.ts';

export type FromDesk = Exclude<SuspectEvent, { type: 'ticked' | 'released' | 'heard' }>;

export type ToDesk =
  | { type: 'verdict'; ask: number; verdict: Verdict }
  /** Fingerprints of which something is known now, and those of which nothing is any more. */
  | { type: 'listed'; added: readonly string[]; removed: readonly string[] };

/** Asks are numbered by their worker, which is found by them. */
const ASKS_PER_WORKER = 2 ** 40;

export function firstAskOf(worker: number): number {
  return worker * ASKS_PER_WORKER;
}

export function workerOf(ask: number): number {
  return Math.floor(ask / ASKS_PER_WORKER);
}
