/**
 * To which incident belongs what clients felt? Gateways report in batches, so it may come shortly before the incident is opened
 * or after it was closed: what counts is when the answer broke off, and which start of the replica gave it.
 */
import type { Incident } from '../../contract/incidents.ts';
import { type ClientFact, type IncidentsState, isOpen, newestOf } from './incidents-state.ts';
import { withCountedLine } from './time-line.ts';

/** How long before its opening an incident is looked for in what clients felt. */
const BEFORE_MS = 15_000;
/** The last sign of life is known as exactly as engines are looked at. */
const SIGN_SLACK_MS = 2_500;
/** How long after its end something of it may still arrive. */
const AFTER_MS = 1_000;
const UNCLAIMED_MAX = 500;

/** When the client's answer was cut. */
function feltAtMs(fact: ClientFact): number {
  return fact.type === 'streamContinued' ? fact.atMs - fact.gapMs : fact.atMs;
}

function replicaOf(fact: ClientFact): string {
  return fact.type === 'streamContinued' ? fact.from : fact.replica;
}

/** Whether the start that is meant may be the one of the incident; of a continuation it is not known. */
function fitsGeneration(fact: ClientFact, { generation }: Incident, isOver: boolean): boolean {
  if (fact.type === 'streamContinued') return true;
  return isOver ? fact.generation === generation : fact.generation >= generation;
}

/** The incident that explains the fact; undefined: none that is known. */
export function incidentOf(state: IncidentsState, fact: ClientFact): Incident | undefined {
  return newestOf(state, replicaOf(fact), (incident) => explains(incident, fact));
}

function explains(incident: Incident, fact: ClientFact): boolean {
  const isOver = !isOpen(incident);
  if (!fitsGeneration(fact, incident, isOver)) return false;
  const untilMs = incident.closedAtMs === null ? Number.POSITIVE_INFINITY : incident.closedAtMs + AFTER_MS;
  return feltAtMs(fact) >= sinceMs(incident) && feltAtMs(fact) <= untilMs;
}

function sinceMs({ openedAtMs, lastGoodAtMs }: Incident): number {
  const earliestMs = openedAtMs - BEFORE_MS;
  return lastGoodAtMs === null ? earliestMs : Math.max(earliestMs, lastGoodAtMs - SIGN_SLACK_MS);
}

export function unclaimedWith(unclaimed: readonly ClientFact[], fact: ClientFact): ClientFact[] {
  return [...unclaimed.filter(({ atMs }) => atMs >= fact.atMs - BEFORE_MS), fact].slice(-UNCLAIMED_MAX);
}

/** A new incident with what waited for it, and what still waits. */
export function claimFor(
  incident: Incident,
  unclaimed: readonly ClientFact[],
): { incident: Incident; unclaimed: ClientFact[] } {
  const isOwn = (fact: ClientFact) => replicaOf(fact) === incident.replica && explains(incident, fact);
  return {
    incident: unclaimed.filter(isOwn).reduce(withClientFact, incident),
    unclaimed: unclaimed.filter((fact) => !isOwn(fact)),
  };
}

export function withClientFact(incident: Incident, fact: ClientFact): Incident {
  const { clients } = incident;
  switch (fact.type) {
    case 'attemptFailed': {
      const attemptsFailed = counted(clients.attemptsFailed, fact.failure);
      const count = attemptsFailed[fact.failure] ?? 1;
      const what = `failed there: ${fact.failure}`;
      return withCountedLine(
        { ...incident, clients: { ...clients, attemptsFailed } },
        { atMs: fact.atMs, source: 'gateway', text: `${many(count, 'attempt')} ${what}` },
        (text) => text.endsWith(what),
      );
    }
    case 'streamContinued': {
      const streamsContinued = counted(clients.streamsContinued, fact.tier);
      const gapMaxMs = Math.max(clients.gapMaxMs ?? 0, Math.round(fact.gapMs));
      const count = streamsContinued[fact.tier] ?? 1;
      const what = `went on elsewhere (tier ${fact.tier})`;
      return withCountedLine(
        { ...incident, clients: { ...clients, streamsContinued, gapMaxMs } },
        { atMs: fact.atMs, source: 'gateway', text: `${many(count, 'stream')} ${what}` },
        (text) => text.endsWith(what),
      );
    }
    case 'requestFailed': {
      const requestsFailed = clients.requestsFailed + 1;
      const what = 'failed for good; the first:';
      const first = incident.timeline.find(({ text }) => text.includes(what))?.text.split(what)[1];
      return withCountedLine(
        { ...incident, clients: { ...clients, requestsFailed } },
        {
          atMs: fact.atMs,
          source: 'gateway',
          text: `${many(requestsFailed, 'request')} ${what}${first ?? ` ${fact.requestId}, ${fact.outcome}`}`,
        },
        (text) => text.includes(what),
      );
    }
  }
}

function many(count: number, one: string): string {
  return count === 1 ? `1 ${one}` : `${count} ${one}s`;
}

function counted(counts: Readonly<Record<string, number>>, name: string): Record<string, number> {
  return { ...counts, [name]: (counts[name] ?? 0) + 1 };
}
