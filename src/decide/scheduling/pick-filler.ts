/**
 * Which replica takes a request that may wait (a line of a batch), if any. Clients come first: while one of them waits nothing
 * is picked, and of the places that clients leave free on a replica only a share is filled, so that the next client finds one
 * at once. Pure; the gateway calls it with what it sees at that moment.
 */
interface Candidate {
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

export interface FillerCandidate extends Candidate {
  /** Of `inFlight`: requests that might have waited. */
  filler: number;
  /** More of them would slow clients down, as far as was measured (filler-ceiling.ts); 0: none is taken for a moment. */
  ceiling: number;
}

export interface PickFillerOptions {
  avoid: readonly string[];
  rotation: number;
  /** Share of the free places that may be filled, 0 to 1. */
  share: number;
}

export function pickFiller(candidates: readonly FillerCandidate[], options: PickFillerOptions): Pick {
  const { avoid, rotation, share } = options;
  const serving = candidates.map((_, index) => index).filter((index) => serves(candidates[index]!));
  if (serving.length === 0) return { kind: 'none-ready' };
  const fresh = serving.filter((index) => !avoid.includes(candidates[index]!.id));
  const pool = fresh.length > 0 ? fresh : serving;
  const room = (index: number) => fillerPlaces(candidates[index]!, share) - candidates[index]!.filler;
  const most = Math.max(...pool.map(room));
  if (most <= 0) return { kind: 'full' };
  const tied = pool.filter((index) => room(index) === most);
  return { kind: 'picked', index: tied[rotation % tied.length]!, reason: `room for ${most} more` };
}

/** How many requests that may wait a replica takes at once. One that no client uses takes at least one. */
export function fillerPlaces(candidate: FillerCandidate, share: number): number {
  const { window, inFlight, filler, ceiling } = candidate;
  if (ceiling === 0) return 0;
  const clients = Math.max(0, inFlight - filler);
  const free = window - clients;
  const least = clients === 0 ? 1 : 0;
  // Nobody to be slowed down: the ceiling is about clients.
  const most = clients === 0 ? free : Math.min(free, ceiling);
  return Math.min(most, Math.max(least, Math.floor(share * free)));
}

function serves(candidate: Candidate): boolean {
  return candidate.ready && !candidate.ejected && candidate.inFlight < candidate.window;
}
