/**
 * One attempt for all who ask the same at the same time. The first leads, the others follow; who leads may change, because a
 * leader that leaves does not take the answer from the rest.
 *
 * Invariants: a key has one leader while it has anybody; everybody who joined is told once what becomes of it, unless it left;
 * flights and followers are bounded, and beyond the bounds requests go their own way.
 */
export interface FlightLimits {
  flightsMax: number;
  followersMax: number;
}

/** What a joining request does: ask the engine for all, wait for the answer, or go alone. */
export type Joined = 'lead' | 'follow' | 'alone';

/** What becomes of the attempt when somebody leaves. */
export type Left =
  /** Nobody wants the answer any more. */
  | 'cancel-attempt'
  /** Others wait: it goes on without the client that began it. */
  | 'keep-attempt'
  /** It did not belong to a flight, or only followed. */
  | 'nothing';

interface Flight<R> {
  /** Null: the leader left, and its attempt goes on for the followers. */
  leader: R | null;
  followers: Set<R>;
}

export class SingleFlight<R> {
  readonly #limits: FlightLimits;
  readonly #flights = new Map<string, Flight<R>>();

  constructor(limits: FlightLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#flights.size;
  }

  /** In the order in which they came. */
  followers(key: string): readonly R[] {
    return [...(this.#flights.get(key)?.followers ?? [])];
  }

  join(key: string, request: R): Joined {
    const flight = this.#flights.get(key);
    if (flight !== undefined) {
      if (flight.followers.size >= this.#limits.followersMax) return 'alone';
      flight.followers.add(request);
      return 'follow';
    }
    if (this.#flights.size >= this.#limits.flightsMax) return 'alone';
    this.#flights.set(key, { leader: request, followers: new Set() });
    return 'lead';
  }

  leave(key: string, request: R): Left {
    const flight = this.#flights.get(key);
    if (flight === undefined) return 'nothing';
    const led = flight.leader === request;
    if (led) flight.leader = null;
    else if (!flight.followers.delete(request)) return 'nothing';
    if (flight.followers.size > 0) return led ? 'keep-attempt' : 'nothing';
    if (flight.leader !== null) return 'nothing';
    this.#flights.delete(key);
    return 'cancel-attempt';
  }

  /** The attempt has an answer that all may have: those who followed get it, in the order in which they came. */
  succeeded(key: string): R[] {
    const flight = this.#flights.get(key);
    this.#flights.delete(key);
    return [...(flight?.followers ?? [])];
  }

  /**
   * The attempt failed. The first follower leads and tries for itself, so that one client's bad luck is not everybody's; null:
   * nobody is left. The failed leader is no longer part of it.
   */
  failed(key: string): R | null {
    const flight = this.#flights.get(key);
    if (flight === undefined) return null;
    for (const next of flight.followers) {
      flight.followers.delete(next);
      flight.leader = next;
      return next;
    }
    this.#flights.delete(key);
    return null;
  }
}
