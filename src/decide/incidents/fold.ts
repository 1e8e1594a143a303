/**
 * Facts become incidents: `foldFact(state, fact)` gives the state after the fact. It invents nothing: what no fact said is null.
 * A fact about an incident that is not known, because the disk had lost its beginning, begins one that says so.
 */
import type { Fact } from '../../contract/facts.ts';
import type { Incident, RemedyTrial } from '../../contract/incidents.ts';
import { poolOf } from '../../contract/replica-id.ts';
import { claimFor, incidentOf, unclaimedWith, withClientFact } from './client-facts.ts';
import { type ClientFact, INCIDENTS_MAX, type IncidentsState, isOpen, newestOf } from './incidents-state.ts';
import { shortened, withLine } from './time-line.ts';

type FactOf<Type extends Fact['type']> = Extract<Fact, { type: Type }>;
type IncidentFact = Extract<Fact, { incident: string }>;

const REMEDIES_MAX = 50;
/** How long a replica serves before an incident that nobody closes counts as over. */
const SERVES_MS = 10_000;
/** An open incident of a former node process that nothing was heard of for so long is over. */
const FORGOTTEN_MS = 86_400_000;
/** A request may be judged so long after the crash. */
const JUDGED_MS = 600_000;

/** `kept`: oldest first, as a former node process left them. */
export function incidentsFrom(kept: readonly Incident[], nowMs: number): IncidentsState {
  const open = kept.filter(isOpen).map(({ id }) => id);
  const incidents = kept.slice(-INCIDENTS_MAX).map((incident): [string, Incident] => [
    incident.id,
    isOpen(incident)
      ? withLine(incident, {
          atMs: nowMs,
          source: 'node',
          text: 'the node process that dealt with it has ended, and another one has taken over',
        })
      : incident,
  ]);
  return {
    incidents: new Map(incidents),
    leftOver: new Map(open.map((id) => [id, null])),
    unclaimed: [],
  };
}

export function foldFact(state: IncidentsState, fact: Fact): IncidentsState {
  switch (fact.type) {
    case 'incidentOpened':
      return opened(state, fact);
    case 'incidentDiagnosed':
    case 'remedyStarted':
    case 'remedyEnded':
    case 'evidenceTaken':
    case 'incidentClosed':
      return onIncident(state, fact);
    case 'attemptFailed':
    case 'streamContinued':
    case 'requestFailed':
      return felt(state, fact);
    case 'replicaStateChanged':
      return stateChanged(state, fact);
    case 'suspectJudged':
      return judged(state, fact);
    case 'anomalySeen':
      return noted(state, fact);
    case 'workerReplaced':
      return state;
  }
}

/** Ends what a former node process left open and nobody took up. */
export function foldTime(state: IncidentsState, nowMs: number): IncidentsState {
  let next = state;
  for (const [id, servesSinceMs] of state.leftOver) {
    const incident = state.incidents.get(id);
    if (incident === undefined || !isOpen(incident)) continue;
    if (servesSinceMs !== null && nowMs - servesSinceMs > SERVES_MS) {
      next = replace(
        next,
        endedAs(incident, servesSinceMs, 'the replica serves, and no node process says anything else of it'),
      );
    } else if (nowMs - (incident.timeline.at(-1)?.atMs ?? incident.openedAtMs) > FORGOTTEN_MS) {
      next = replace(next, endedAs(incident, nowMs, 'nothing was heard of it for a day'));
    }
  }
  return next;
}

function opened(state: IncidentsState, fact: FactOf<'incidentOpened'>): IncidentsState {
  if (state.incidents.has(fact.incident)) return state;
  const former = newestOf(state, fact.replica, isOpen);
  const before =
    former === undefined
      ? state
      : replace(state, endedAs(former, fact.atMs, 'another incident of the replica was opened'));
  const { incident, unclaimed } = claimFor(newIncident(fact), before.unclaimed);
  return bounded(replace({ ...before, unclaimed }, incident));
}

function newIncident(fact: FactOf<'incidentOpened'>): Incident {
  const incident: Incident = {
    id: fact.incident,
    state: 'open',
    replica: fact.replica,
    pool: poolOf(fact.replica),
    generation: fact.generation,
    summary: shortened(fact.summary),
    diagnosis: fact.diagnosis,
    lastGoodAtMs: fact.lastGoodAtMs,
    openedAtMs: fact.atMs,
    isolatedAtMs: fact.isolated ? fact.atMs : null,
    closedAtMs: null,
    remedies: [],
    clients: { attemptsFailed: {}, streamsContinued: {}, gapMaxMs: null, requestsFailed: 0 },
    timeline: [],
    evidence: null,
    drill: null,
  };
  const begun = withLine(incident, {
    atMs: fact.atMs,
    source: 'diagnosis',
    text: `found: ${fact.summary}${fact.isolated ? '; it gets no new requests' : ''}`,
  });
  if (fact.lastGoodAtMs === null) return begun;
  return withLine(begun, { atMs: fact.lastGoodAtMs, source: 'replica', text: 'last sign of life' });
}

/** Of an incident whose beginning is not known. */
function unknownBeginning({ incident, replica, atMs }: IncidentFact): Incident {
  return newIncident({
    type: 'incidentOpened',
    atMs,
    incident,
    replica,
    generation: 0,
    summary: 'opened under a former node process; its beginning was not kept',
    diagnosis: { class: 'unknown', confidence: 0, evidence: [], ruledOut: [] },
    lastGoodAtMs: null,
    isolated: false,
  });
}

function onIncident(
  state: IncidentsState,
  fact: Exclude<IncidentFact, { type: 'incidentOpened' }>,
): IncidentsState {
  const known = state.incidents.get(fact.incident);
  const incident = told(known ?? unknownBeginning(fact), fact);
  const leftOver = new Map(state.leftOver);
  leftOver.delete(fact.incident);
  const next = replace({ ...state, leftOver }, incident);
  return known === undefined ? bounded(next) : next;
}

function told(incident: Incident, fact: Exclude<IncidentFact, { type: 'incidentOpened' }>): Incident {
  const { atMs } = fact;
  switch (fact.type) {
    case 'incidentDiagnosed': {
      const { class: found, confidence } = fact.diagnosis;
      const text = `taken for ${found}, with confidence ${confidence.toFixed(2)}`;
      return withLine({ ...incident, diagnosis: fact.diagnosis }, { atMs, source: 'diagnosis', text });
    }
    case 'remedyStarted': {
      const { remedy, step } = fact;
      const because = shortened(fact.because);
      const trial = { remedy, step, because, startedAtMs: atMs, endedAtMs: null, helped: null, detail: null };
      const remedies = [...incident.remedies, trial].slice(-REMEDIES_MAX);
      const state = isOpen(incident) ? 'healing' : incident.state;
      const text = `step ${step}, ${remedy}: ${because}`;
      return withLine({ ...incident, state, remedies }, { atMs, source: 'remedy', text });
    }
    case 'remedyEnded': {
      const { remedy, helped, detail } = fact;
      const text = `${remedy} ${helped ? 'helped' : 'did not help'}: ${detail}`;
      const remedies = withResult(incident.remedies, { remedy, atMs, helped, detail: shortened(detail) });
      return withLine({ ...incident, remedies }, { atMs, source: 'remedy', text });
    }
    case 'evidenceTaken': {
      const text = `taken within ${Math.round(fact.tookMs)} ms`;
      return withLine({ ...incident, evidence: fact.folder }, { atMs, source: 'evidence', text });
    }
    case 'incidentClosed': {
      const { outcome } = fact;
      const text = shortened(fact.text);
      const helped = outcome === 'recovered';
      const remedies = incident.remedies.map((trial) =>
        trial.endedAtMs === null ? { ...trial, endedAtMs: atMs, helped, detail: text } : trial,
      );
      return withLine(
        { ...incident, state: outcome, closedAtMs: atMs, remedies },
        { atMs, source: 'incident', text: `${outcome}: ${text}` },
      );
    }
  }
}

function withResult(
  trials: readonly RemedyTrial[],
  result: { remedy: string; atMs: number; helped: boolean; detail: string },
): RemedyTrial[] {
  const { remedy, atMs, helped, detail } = result;
  const index = trials.findLastIndex((trial) => trial.remedy === remedy && trial.endedAtMs === null);
  const trial = trials[index];
  if (trial === undefined) {
    const unheard = { remedy, step: 1, because: 'its beginning was not kept', startedAtMs: atMs };
    return [...trials, { ...unheard, endedAtMs: atMs, helped, detail }].slice(-REMEDIES_MAX);
  }
  return trials.with(index, { ...trial, endedAtMs: atMs, helped, detail });
}

function felt(state: IncidentsState, fact: ClientFact): IncidentsState {
  const incident = incidentOf(state, fact);
  if (incident === undefined) return { ...state, unclaimed: unclaimedWith(state.unclaimed, fact) };
  return replace(state, withClientFact(incident, fact));
}

function stateChanged(state: IncidentsState, fact: FactOf<'replicaStateChanged'>): IncidentsState {
  const incident = newestOf(state, fact.replica, isOpen);
  if (incident === undefined) return state;
  const { atMs, from, to, reason } = fact;
  const isolates = incident.isolatedAtMs === null && from === 'ready' && to !== 'ready';
  const next = replace(
    state,
    withLine(
      { ...incident, ...(isolates && { isolatedAtMs: atMs }) },
      { atMs, source: 'replica', text: `from ${from} to ${to}: ${reason}` },
    ),
  );
  if (to !== 'ready' || !state.leftOver.has(incident.id)) return next;
  return { ...next, leftOver: new Map(state.leftOver).set(incident.id, atMs) };
}

function judged(state: IncidentsState, fact: FactOf<'suspectJudged'>): IncidentsState {
  const { atMs, fingerprint, status, requestId, replicas } = fact;
  const text = `request ${fingerprint.slice(0, 12)} that was in flight (${requestId}) is ${status}`;
  let next = state;
  for (const replica of new Set(replicas)) {
    const incident = newestOf(
      next,
      replica,
      ({ openedAtMs, closedAtMs }) => openedAtMs <= atMs && (closedAtMs ?? atMs) >= atMs - JUDGED_MS,
    );
    if (incident !== undefined) next = replace(next, withLine(incident, { atMs, source: 'suspects', text }));
  }
  return next;
}

function noted(state: IncidentsState, { atMs, replica, text }: FactOf<'anomalySeen'>): IncidentsState {
  const incident = newestOf(state, replica, isOpen);
  return incident === undefined
    ? state
    : replace(state, withLine(incident, { atMs, source: 'signals', text }));
}

/** By no decision of the machine that had opened it. */
function endedAs(incident: Incident, atMs: number, text: string): Incident {
  return told(incident, {
    type: 'incidentClosed',
    atMs,
    incident: incident.id,
    replica: incident.replica,
    outcome: 'stood-down',
    text,
  });
}

function replace(state: IncidentsState, incident: Incident): IncidentsState {
  return { ...state, incidents: new Map(state.incidents).set(incident.id, incident) };
}

function bounded(state: IncidentsState): IncidentsState {
  if (state.incidents.size <= INCIDENTS_MAX) return state;
  const all = [...state.incidents.values()];
  const least = all.find((incident) => !isOpen(incident)) ?? all[0];
  if (least === undefined) return state;
  const incidents = new Map(state.incidents);
  incidents.delete(least.id);
  const leftOver = new Map(state.leftOver);
  leftOver.delete(least.id);
  return { ...state, incidents, leftOver };
}
