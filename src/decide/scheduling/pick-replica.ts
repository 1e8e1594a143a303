/**
 * Which replica takes the next attempt: filters drop what can not serve, then the one with the fewest requests in flight
 * wins, ties in rotation. Pure; the gateway calls it with what it sees at that moment.
 */
export interface Candidate {
  /** Names one life of a replica, so that a restarted one is not avoided for what the former did. */
  id: string;
  ready: boolean;
  /** The gateway itself saw it fail a moment ago. */
  ejected: boolean;
  /** Requests in flight, all workers together. */
  inFlight: number;
  /** Requests it takes at once. */
  window: number;
}

export type Pick =
  | { kind: 'picked'; index: number; reason: string }
  /** Serving replicas exist, and all their windows are full. */
  | { kind: 'full' }
  /** None is ready, or all ready ones are ejected. */
  | { kind: 'none-ready' };

export interface PickOptions {
  /** Ids to leave out as long as another will do: replicas that failed this request before. */
  avoid: readonly string[];
  /** Grows with each call; turns ties. */
  rotation: number;
}

export function pickReplica(candidates: readonly Candidate[], { avoid, rotation }: PickOptions): Pick {
  const serving = candidates.map((_, index) => index).filter((index) => serves(candidates[index]!));
  if (serving.length === 0) return { kind: 'none-ready' };
  const fresh = serving.filter((index) => !avoid.includes(candidates[index]!.id));
  const pool = fresh.length > 0 ? fresh : serving;
  const open = pool.filter((index) => candidates[index]!.inFlight < candidates[index]!.window);
  if (open.length === 0) return { kind: 'full' };
  const fewest = Math.min(...open.map((index) => candidates[index]!.inFlight));
  const tied = open.filter((index) => candidates[index]!.inFlight === fewest);
  const index = tied[rotation % tied.length]!;
  return { kind: 'picked', index, reason: `${fewest} in flight, fewest of ${open.length} open` };
}

function serves(candidate: Candidate): boolean {
  return candidate.ready && !candidate.ejected;
}
