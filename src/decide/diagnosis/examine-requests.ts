/** What requests and earlier incidents say: a request that is present at every crash, worthless answers, a loop of starts. */
import type { Evidence } from '../../contract/diagnosis.ts';
import type { FaultClass } from '../../contract/faults.ts';
import { type Inquiry, span } from './inquiry.ts';
import type { SignalWindow } from './signals.ts';

/** Ends whose cause lies outside the engine: who was in flight has nothing to do with them. */
const OUTSIDE: readonly string[] = [
  'killed-from-outside',
  'gpu-lost',
  'driver-not-ready',
  'network-transient',
  'shared-memory-too-small',
  'gateway-fault',
  'none',
];
/** They never go away by a restart, and are named as they are. */
const NEVER_LOOPED: readonly FaultClass[] = [
  'no-memory-at-start',
  'driver-not-ready',
  'shared-memory-too-small',
];
const STARTS_MIN = 3;
const SLOW_LOG_START_MS = 300_000;

export function examineRequests(window: SignalWindow, inquiry: Inquiry): void {
  examineSuspects(window, inquiry);
  examineAnswers(window, inquiry);
  examineStart(window, inquiry);
}

/** Each attempt counts once, whatever it printed. */
function examineSuspects({ exit, inFlight, incidents }: SignalWindow, inquiry: Inquiry): void {
  if (exit === undefined || exit.asked || inFlight === undefined || inFlight.length === 0) return;
  const earlier = (incidents ?? []).filter(
    ({ class: fault, fingerprints }) => !OUTSIDE.includes(fault) && fingerprints !== undefined,
  );
  if (earlier.length === 0) return;
  const counted = inFlight.map(({ fingerprint }) => ({
    fingerprint,
    crashes: 1 + earlier.filter(({ fingerprints }) => fingerprints?.includes(fingerprint)).length,
  }));
  const most = Math.max(...counted.map(({ crashes }) => crashes));
  if (most < 2)
    return inquiry.ruleOut(
      'poison-request',
      `none of the ${inFlight.length} requests in flight was present at an earlier crash`,
    );
  const suspects = counted.filter(({ crashes }) => crashes === most);
  const evidence: Evidence[] = suspects.map(({ fingerprint, crashes }) => ({
    signal: 'requests',
    text: `request ${fingerprint} was in flight at ${crashes} crashes`,
  }));
  const confidence = Math.min(
    0.95,
    0.5 + 0.15 * most + 0.15 / suspects.length - 0.05 * (suspects.length - 1),
  );
  inquiry.suspect('poison-request', 'witness', { confidence: Math.max(0.5, confidence), evidence });
}

function examineAnswers({ answers, exit }: SignalWindow, inquiry: Inquiry): void {
  if (answers === undefined || exit !== undefined) return;
  const { emptySuccesses = 0, refusedAfterReady = 0, corrupted = 0, canary } = answers;
  if (corrupted > 0 || canary === 'wrong') {
    const evidence: Evidence[] = [];
    if (corrupted > 0)
      evidence.push({ signal: 'answers', text: `${corrupted} answers of NaN or of one token repeated` });
    if (canary === 'wrong') evidence.push({ signal: 'answers', text: 'the canary was answered wrongly' });
    inquiry.suspect('corrupt-output', 'root', { confidence: evidence.length === 2 ? 0.95 : 0.8, evidence });
  }
  if (emptySuccesses > 0) {
    const text = `${emptySuccesses} answers with status 200, no token and no reason to finish`;
    inquiry.suspect('empty-success', 'symptom', {
      confidence: emptySuccesses > 1 ? 0.85 : 0.7,
      evidence: [{ signal: 'answers', text }],
    });
  }
  if (refusedAfterReady > 0) {
    const text = `${refusedAfterReady} requests were answered 404 or 503 after it said that it was ready`;
    inquiry.suspect('ready-too-early', 'symptom', {
      confidence: 0.8,
      evidence: [{ signal: 'answers', text }],
    });
  }
}

function examineStart(window: SignalWindow, inquiry: Inquiry): void {
  examineLoop(window, inquiry);
  const { exit, start, phase, log } = window;
  if (exit !== undefined) return;
  const shown = log?.lastPhase ?? null;
  const evidence: Evidence[] =
    shown === null ? [] : [{ signal: 'log', text: `it goes on: ${shown.text}`, line: shown.number }];
  if (phase === 'starting' && start !== undefined && start.elapsedMs > start.budgetMs && shown !== null) {
    evidence.unshift({
      signal: 'start',
      text: `the start has taken ${span(start.elapsedMs)} of ${span(start.budgetMs)}`,
    });
    inquiry.ruleOut('hung', 'its log goes on');
    return inquiry.suspect('slow-start', 'confirmation', { confidence: 0.75, evidence });
  }
  if (
    phase !== undefined ||
    log === undefined ||
    !log.sawStart ||
    log.ready !== null ||
    shown === null ||
    log.stop !== null
  )
    return;
  const elapsedMs = (log.lastMs ?? 0) - (log.firstMs ?? 0);
  if (log.lastWork !== null || elapsedMs < SLOW_LOG_START_MS) return;
  evidence.unshift({ signal: 'start', text: `the log shows ${span(elapsedMs)} of a start that is not over` });
  inquiry.ruleOut('hung', 'the start goes on');
  inquiry.suspect('slow-start', 'confirmation', { confidence: 0.7, evidence });
}

/** The same end at each start. Lines that repeat within one attempt are no recurrence. */
function examineLoop({ incidents, phase, exit, log }: SignalWindow, inquiry: Inquiry): void {
  const failing = exit !== undefined ? phase === 'starting' : log?.sawStart === true && log.ready === null;
  if (!failing || exit?.asked === true) return;
  const tail = (incidents ?? []).slice(-(STARTS_MIN - 1));
  const [first] = tail;
  if (first === undefined || tail.length < STARTS_MIN - 1 || tail.some(({ duringStart }) => !duringStart))
    return;
  const now = inquiry.suspects.toSorted((a, b) => b.weight - a.weight)[0]?.class;
  if (now !== undefined && NEVER_LOOPED.includes(now)) return;
  // A loop that was seen before is the same one.
  const alike = [now ?? first.class, 'bad-configuration', 'unknown'];
  const same = tail.every(({ class: fault }) => alike.includes(fault));
  if (!same) return;
  const text = `the last ${tail.length + 1} starts ended alike (${now ?? first.class}) before the engine was ready`;
  inquiry.suspect('bad-configuration', 'witness', {
    confidence: 0.85,
    evidence: [{ signal: 'history', text }],
  });
}
