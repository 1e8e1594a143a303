/**
 * The decider of one batch: which line is sent next, whether a failed one is tried again, when the batch is over and how.
 * `step(state, event)` gives the next state and the effects that the runner carries out and reports back.
 *
 * Invariants: a line that is recorded is never sent again; at most one attempt of a line is under way; no more than
 * `inFlightMax` lines are sent or recording; files are written once nothing is under way any more.
 */
import { nextRandom } from '../../base/random.ts';
import type {
  BatchEffect,
  BatchEnding,
  BatchEvent,
  BatchLimits,
  BatchState,
  LineResult,
  OpenLine,
} from './batch-state.ts';
import { addLine, countLines, firstMissing, type LineRanges } from './line-ranges.ts';

export interface Decision {
  state: BatchState;
  effects: BatchEffect[];
}

export interface RecordedBatch {
  status: 'validating' | 'in_progress' | 'cancelling' | 'finalizing';
  /** What `finalizing` leads to. */
  ending: BatchEnding | null;
  answered: LineRanges;
  expiresAtMs: number;
  inFlightMax: number;
  nowMs: number;
  seed: number;
  limits: BatchLimits;
}

/** The state of a batch that this process takes over, from what is recorded of it. */
export function startBatch(recorded: RecordedBatch): Decision {
  const { status, answered, expiresAtMs, inFlightMax, nowMs, seed, limits } = recorded;
  const ending = status === 'cancelling' ? 'cancelled' : status === 'finalizing' ? recorded.ending : null;
  const state: BatchState = {
    phase: 'reading',
    ending,
    lines: 0,
    answered,
    cursor: 0,
    sent: [],
    waiting: [],
    recording: [],
    inFlightMax,
    expiresAtMs,
    nowMs,
    seed,
    limits,
  };
  return { state, effects: [{ type: 'readInput', check: status === 'validating' }] };
}

export function step(state: BatchState, event: BatchEvent): Decision {
  if (state.phase === 'over') return { state, effects: [] };
  const { state: changed, effects } = hear(state, event);
  return goOn(changed, effects);
}

/** What the event itself changes. */
function hear(state: BatchState, event: BatchEvent): Decision {
  switch (event.type) {
    case 'ticked':
      return expire({ ...state, nowMs: Math.max(state.nowMs, event.nowMs) });
    case 'limitChanged':
      return keep({ ...state, inFlightMax: event.inFlightMax });
    case 'inputRead':
      return inputRead(state, event.lines);
    case 'inputRefused':
      return inputRefused(state);
    case 'lineEnded':
      return lineEnded(state, event.line, event.result);
    case 'lineRecorded':
      return lineRecorded(state, event.line);
    case 'cancelAsked':
      return end(state, 'cancelled');
    case 'filesWritten':
      return state.phase === 'writing' && state.ending !== null
        ? keep({ ...state, phase: 'over' }, [{ type: 'finish', ending: state.ending }])
        : keep(state);
  }
}

function inputRead(state: BatchState, lines: number): Decision {
  if (state.phase !== 'reading') return keep(state);
  const read: BatchState = { ...state, lines };
  if (state.ending !== null) return keep({ ...read, phase: 'settling' });
  return keep({ ...read, phase: 'running' }, [{ type: 'setStatus', status: 'in_progress' }]);
}

function inputRefused(state: BatchState): Decision {
  if (state.phase !== 'reading') return keep(state);
  const ending = state.ending ?? 'failed';
  return keep({ ...state, phase: 'writing', ending }, [{ type: 'writeFiles', ending }]);
}

function expire(state: BatchState): Decision {
  return state.nowMs < state.expiresAtMs ? keep(state) : end(state, 'expired');
}

/** No more is sent. What was under way is given up, what is being recorded is waited for. */
function end(state: BatchState, ending: 'expired' | 'cancelled'): Decision {
  if (state.ending !== null || state.phase === 'settling' || state.phase === 'writing') return keep(state);
  const lines = state.sent.map(({ line }) => line);
  const effects: BatchEffect[] = lines.length > 0 ? [{ type: 'abort', lines }] : [];
  const phase = state.phase === 'reading' ? 'reading' : 'settling';
  return keep({ ...state, phase, ending, sent: [], waiting: [] }, effects);
}

function lineEnded(state: BatchState, line: number, result: LineResult): Decision {
  const open = state.sent.find((one) => one.line === line);
  // Given up, or answered already: a late answer changes nothing.
  if (open === undefined) return keep(state);
  const rest = { ...state, sent: state.sent.filter((one) => one !== open) };
  const { attemptsMax, lossesMax } = state.limits;
  switch (result.kind) {
    case 'answered':
      return record(rest, line, result.ok);
    case 'failed':
      return open.attempts + 1 >= attemptsMax
        ? record(rest, line, false)
        : wait(rest, { ...open, attempts: open.attempts + 1 }, open.attempts + 1);
    case 'lost':
      return open.losses + 1 >= lossesMax
        ? record(rest, line, false)
        : wait(rest, { ...open, losses: open.losses + 1 }, open.losses + 1);
    case 'refused':
      return wait(rest, { ...open, refusals: open.refusals + 1 }, open.refusals + 1);
  }
}

function record(state: BatchState, line: number, ok: boolean): Decision {
  return keep({ ...state, recording: [...state.recording, line] }, [{ type: 'record', line, ok }]);
}

function wait(state: BatchState, open: OpenLine, turn: number): Decision {
  const { backoffInitialMs, backoffMaxMs } = state.limits;
  const [chance, seed] = nextRandom(state.seed);
  const fullMs = Math.min(backoffMaxMs, backoffInitialMs * 2 ** Math.min(turn - 1, 20));
  const dueMs = state.nowMs + fullMs * (0.5 + chance / 2);
  return keep({ ...state, seed, waiting: [...state.waiting, { ...open, dueMs }] });
}

function lineRecorded(state: BatchState, line: number): Decision {
  return keep({
    ...state,
    answered: addLine(state.answered, line),
    recording: state.recording.filter((one) => one !== line),
    sent: state.sent.filter((one) => one.line !== line),
    waiting: state.waiting.filter((one) => one.line !== line),
  });
}

/** What follows from the state: more lines are sent, or the batch comes to its end. */
function goOn(state: BatchState, effects: BatchEffect[]): Decision {
  if (state.phase === 'running') {
    if (countLines(state.answered) < state.lines) return sendMore(state, effects);
    return write({ ...state, ending: 'completed' }, effects);
  }
  if (state.phase === 'settling' && state.recording.length === 0) return write(state, effects);
  return { state, effects };
}

function write(state: BatchState, effects: BatchEffect[]): Decision {
  const ending = state.ending ?? 'completed';
  return {
    state: { ...state, phase: 'writing' },
    effects: [...effects, { type: 'setStatus', status: 'finalizing' }, { type: 'writeFiles', ending }],
  };
}

/** Lines whose wait is over go first, then new ones in order. A line that waits keeps its place: refusals open no others. */
function sendMore(state: BatchState, effects: BatchEffect[]): Decision {
  const more = [...effects];
  const sent = [...state.sent];
  const send = (open: OpenLine) => {
    sent.push(open);
    more.push({ type: 'send', line: open.line });
  };
  const waiting = state.waiting.filter(({ dueMs, ...open }) => {
    if (dueMs > state.nowMs || sent.length + state.recording.length >= state.inFlightMax) return true;
    send(open);
    return false;
  });
  let { cursor } = state;
  while (sent.length + waiting.length + state.recording.length < state.inFlightMax) {
    const next = firstMissing(state.answered, cursor);
    if (next >= state.lines) break;
    cursor = next + 1;
    send({ line: next, attempts: 0, losses: 0, refusals: 0 });
  }
  return { state: { ...state, sent, waiting, cursor }, effects: more };
}

function keep(state: BatchState, effects: BatchEffect[] = []): Decision {
  return { state, effects };
}
