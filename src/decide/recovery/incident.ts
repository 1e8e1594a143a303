/**
 * The incident of a replica: opened when it fails or a fault is found, closed when it serves again or is given up. At most one
 * is open per replica, and at most one remedy is tried at a time. All that happens is told by `incident` notices.
 */
import { mix32 } from '../../base/random.ts';
import type { LadderPlace, RecordedIncident } from '../../contract/ports/replica-records.ts';
import type { PolicyClass } from '../../contract/recovery-policy.ts';
import type { Remedy } from '../../contract/remedies.ts';
import type { Draft } from './draft.ts';
import type { IncidentNews } from './recovery-effect.ts';
import { type Replica, stateOf } from './replica.ts';
import type { Verdict } from './verdict.ts';

const ID_LETTERS = 'abcdefghijkmnpqrstuvwxyz23456789';
const ID_LETTERS_AFTER_TIME = 4;
const LADDERS_MAX = 8;

/** Opens an incident, or gives the open one what was found out since. `isolated`: it takes no traffic from here on. */
export function noteFault(
  draft: Draft,
  replica: Replica,
  verdict: Verdict,
  isolated = stateOf(replica) !== 'ready',
): RecordedIncident {
  const found = verdict.class === 'none' ? 'unknown' : verdict.class;
  const { incident } = replica;
  if (incident === null) return open(draft, replica, { found, isolated }, verdict);
  // What is known is not replaced by a shrug.
  if (found === 'unknown' || found === incident.class) return incident;
  replica.incident = { ...incident, class: found, summary: verdict.summary };
  replica.unwritten = replica.spec.managed && !replica.stray;
  tell(draft, replica, { kind: 'diagnosed', incident: incident.id, diagnosis: verdict.diagnosis });
  return replica.incident;
}

function open(
  draft: Draft,
  replica: Replica,
  { found, isolated }: { found: PolicyClass; isolated: boolean },
  verdict: Verdict,
): RecordedIncident {
  const incident: RecordedIncident = {
    id: newId(draft),
    class: found,
    summary: verdict.summary,
    openedAtMs: draft.nowMs,
    remedy: null,
  };
  replica.incident = incident;
  replica.unwritten = replica.spec.managed && !replica.stray;
  tell(draft, replica, {
    kind: 'opened',
    incident: incident.id,
    generation: replica.generation,
    summary: verdict.summary,
    diagnosis: verdict.diagnosis,
    isolated,
  });
  return incident;
}

export interface TrialBegin {
  remedy: Remedy;
  step: number;
  because: string;
  /** False: it is no step of the ladder. Default: true. */
  counts?: boolean;
}

/** A remedy begins; the ladder of its class counts it. */
export function beginTrial(
  draft: Draft,
  replica: Replica,
  { remedy, step, because, counts = true }: TrialBegin,
): void {
  const { incident } = replica;
  if (incident === null) return;
  if (incident.remedy !== null) endTrial(draft, replica, false, 'the next remedy is tried');
  replica.incident = { ...incident, remedy: { remedy, step, startedAtMs: draft.nowMs } };
  if (counts) replica.ladders = counted(replica.ladders, incident.class, draft.nowMs);
  replica.unwritten = replica.spec.managed && !replica.stray;
  tell(draft, replica, { kind: 'remedyStarted', incident: incident.id, remedy, step, because });
}

function counted(ladders: readonly LadderPlace[], fault: PolicyClass, nowMs: number): LadderPlace[] {
  const known = ladders.find((place) => place.class === fault);
  const others = ladders.filter((place) => place.class !== fault).slice(-(LADDERS_MAX - 1));
  return [...others, { class: fault, tries: (known?.tries ?? 0) + 1, lastAtMs: nowMs }];
}

export function endTrial(draft: Draft, replica: Replica, helped: boolean, detail: string): void {
  const { incident } = replica;
  if (incident === null || incident.remedy === null) return;
  const { remedy } = incident.remedy;
  replica.incident = { ...incident, remedy: null };
  replica.unwritten = replica.spec.managed && !replica.stray;
  tell(draft, replica, { kind: 'remedyEnded', incident: incident.id, remedy, helped, detail });
}

export function closeIncident(
  draft: Draft,
  replica: Replica,
  outcome: 'recovered' | 'given-up' | 'stood-down',
  text: string,
): void {
  if (replica.incident === null) return;
  endTrial(draft, replica, outcome === 'recovered', text);
  tell(draft, replica, { kind: 'closed', incident: replica.incident.id, outcome, text });
  replica.incident = null;
  replica.unwritten = replica.spec.managed && !replica.stray;
}

/** Remedies of the class that were tried lately; those of long ago say nothing about this incident. */
export function triesOf({ ladders }: Replica, fault: PolicyClass, sinceMs: number): number {
  const place = ladders.find((known) => known.class === fault);
  return place === undefined || place.lastAtMs < sinceMs ? 0 : place.tries;
}

function tell(draft: Draft, replica: Replica, news: IncidentNews): void {
  draft.emit({ type: 'incident', replica: replica.spec.id, news });
}

/** In the order of time, as long as the wall clock goes forward; the rest keeps two of one moment apart. */
function newId({ state }: Draft): string {
  const wallMs = Math.max(0, Math.round(state.nowMs + state.wallOffsetMs));
  let rest = mix32(state.nextEffectId, wallMs);
  let letters = '';
  for (let count = 0; count < ID_LETTERS_AFTER_TIME; count++) {
    letters += ID_LETTERS[rest % ID_LETTERS.length];
    rest = Math.floor(rest / ID_LETTERS.length);
  }
  return `inc_${wallMs.toString(36).padStart(9, '0')}${letters}`;
}
