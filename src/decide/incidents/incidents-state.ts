/** What is known of incidents: the values themselves, and what waits for one to belong to. */
import type { Fact } from '../../contract/facts.ts';
import type { Incident } from '../../contract/incidents.ts';

export type ClientFact = Extract<Fact, { type: 'attemptFailed' | 'streamContinued' | 'requestFailed' }>;

export interface IncidentsState {
  /** By id, in the order in which they were opened. */
  readonly incidents: ReadonlyMap<string, Incident>;
  /** Opened under a node process that has ended, and not heard of since; with the time at which the replica was seen to serve. */
  readonly leftOver: ReadonlyMap<string, number | null>;
  /** What clients felt lately and no incident explains so far, oldest first. */
  readonly unclaimed: readonly ClientFact[];
}

/** Kept at most; the oldest that are closed go first. */
export const INCIDENTS_MAX = 200;

export function isOpen({ state }: Pick<Incident, 'state'>): boolean {
  return state === 'open' || state === 'healing';
}

/** The newest incident of a replica of which `fits` is true. */
export function newestOf(
  { incidents }: IncidentsState,
  replica: string,
  fits: (incident: Incident) => boolean,
): Incident | undefined {
  return [...incidents.values()].findLast((incident) => incident.replica === replica && fits(incident));
}
