/**
 * The whole state of the recovery machine: plain data, replaced by each step. Time is `nowMs`, moved by `ticked` only;
 * chance is `random`.
 */
import type { RandomState } from '../../base/random.ts';
import type { RecoverySettings } from './recovery-settings.ts';
import type { Replica } from './replica.ts';

/** A restart of several replicas of a pool, one at a time. */
export interface Rolling {
  /** Replicas to come, in no particular order. */
  queue: readonly string[];
  /** The one that is out, and how it was when it was taken out. */
  current: { replica: string; generation: number; wasReady: boolean } | null;
  /** Ready replicas when it began, drained ones that come back with it included: capacity is never taken below one less. */
  readyAtStart: number;
  because: string;
  /** The present replica must be back, or the next one be allowed out, by then. */
  deadlineMs: number;
}

export interface FleetState {
  settings: RecoverySettings;
  nowMs: number;
  /** Wall clock less `nowMs`, as it was at the start; for the names of incidents alone. */
  wallOffsetMs: number;
  random: RandomState;
  nextEffectId: number;
  /** No replica that is gone had a higher one: a late word about it cannot be taken for one about its successor. */
  lastGeneration: number;
  /** By replica id. */
  replicas: Readonly<Record<string, Replica>>;
  /** By pool. */
  rolling: Readonly<Record<string, Rolling>>;
  /** Everything is being ended; nothing is started any more. */
  ending: 'drain' | 'kill' | null;
}

export function createFleetState(
  settings: RecoverySettings,
  seed: number,
  nowMs: number,
  wallOffsetMs = 0,
): FleetState {
  return {
    settings,
    nowMs,
    wallOffsetMs,
    random: seed | 0,
    nextEffectId: 1,
    lastGeneration: 0,
    replicas: {},
    rolling: {},
    ending: null,
  };
}
