import { describe, expect, it } from 'vitest';
import type { BatchEffect, BatchEvent, BatchState } from './batch-state.ts';
import { type RecordedBatch, startBatch, step } from './step.ts';

const LIMITS = { attemptsMax: 3, lossesMax: 2, backoffInitialMs: 100, backoffMaxMs: 1_000 };

function begin(change: Partial<RecordedBatch> = {}) {
  let { state, effects } = startBatch({
    status: 'validating',
    ending: null,
    answered: [],
    expiresAtMs: 10_000,
    inFlightMax: 2,
    nowMs: 0,
    seed: 1,
    limits: LIMITS,
    ...change,
  });
  const all: BatchEffect[] = [...effects];
  return {
    all,
    get state(): BatchState {
      return state;
    },
    hear(...events: BatchEvent[]): BatchEffect[] {
      effects = events.flatMap((event) => {
        const decision = step(state, event);
        state = decision.state;
        return decision.effects;
      });
      all.push(...effects);
      return effects;
    },
  };
}

const ended = (line: number, kind: 'ok' | 'wrong' | 'failed' | 'refused' | 'lost'): BatchEvent => ({
  type: 'lineEnded',
  line,
  result: kind === 'ok' || kind === 'wrong' ? { kind: 'answered', ok: kind === 'ok' } : { kind },
});
const recorded = (line: number): BatchEvent => ({ type: 'lineRecorded', line });
const at = (nowMs: number): BatchEvent => ({ type: 'ticked', nowMs });
const sends = (effects: BatchEffect[]) => effects.flatMap((one) => (one.type === 'send' ? [one.line] : []));

describe('a batch', () => {
  it('reads its input, sends as many lines as may be under way, records each answer, writes files, and is completed', () => {
    const batch = begin();
    expect(batch.all).toEqual([{ type: 'readInput', check: true }]);
    expect(batch.hear({ type: 'inputRead', lines: 3 })).toEqual([
      { type: 'setStatus', status: 'in_progress' },
      { type: 'send', line: 0 },
      { type: 'send', line: 1 },
    ]);
    expect(batch.hear(ended(1, 'ok'))).toEqual([{ type: 'record', line: 1, ok: true }]);
    expect(batch.hear(recorded(1))).toEqual([{ type: 'send', line: 2 }]);
    batch.hear(ended(0, 'wrong'), recorded(0), ended(2, 'ok'));
    expect(batch.hear(recorded(2))).toEqual([
      { type: 'setStatus', status: 'finalizing' },
      { type: 'writeFiles', ending: 'completed' },
    ]);
    expect(batch.hear({ type: 'filesWritten' })).toEqual([{ type: 'finish', ending: 'completed' }]);
    expect(batch.hear(at(99_999), { type: 'cancelAsked' })).toEqual([]);
  });

  it('fails as a whole when its input is refused', () => {
    const batch = begin();
    batch.hear({ type: 'inputRefused' }, { type: 'filesWritten' });
    expect(batch.all.slice(1)).toEqual([
      { type: 'writeFiles', ending: 'failed' },
      { type: 'finish', ending: 'failed' },
    ]);
  });

  it('is completed at once when it has no lines that are not answered', () => {
    const batch = begin({ status: 'in_progress', answered: [[0, 5]] });
    expect(batch.all).toEqual([{ type: 'readInput', check: false }]);
    expect(batch.hear({ type: 'inputRead', lines: 5 })).toContainEqual({
      type: 'writeFiles',
      ending: 'completed',
    });
  });

  it('never sends a line again that was recorded by a former life, or by somebody else meanwhile', () => {
    const batch = begin({
      status: 'in_progress',
      answered: [
        [0, 2],
        [3, 4],
      ],
    });
    expect(sends(batch.hear({ type: 'inputRead', lines: 6 }))).toEqual([2, 4]);
    batch.hear(ended(2, 'failed'));
    // Another owner recorded 2 while it waited here.
    batch.hear(recorded(2), at(5_000));
    expect(sends(batch.all)).toEqual([2, 4, 5]);
  });
});

describe('a line', () => {
  it('is tried again after an engine failed it, with growing waits, and its last failure is its answer', () => {
    const batch = begin({ inFlightMax: 1 });
    batch.hear({ type: 'inputRead', lines: 1 });
    expect(batch.hear(ended(0, 'failed'))).toEqual([]);
    expect(batch.hear(at(40))).toEqual([]);
    expect(sends(batch.hear(at(101)))).toEqual([0]);
    expect(batch.hear(ended(0, 'failed'), at(190))).toEqual([]);
    expect(sends(batch.hear(at(400)))).toEqual([0]);
    expect(batch.hear(ended(0, 'failed'))).toEqual([{ type: 'record', line: 0, ok: false }]);
  });

  it('waits as long as it takes when it is refused, and keeps its place: no other line is opened meanwhile', () => {
    const batch = begin({ expiresAtMs: 1e9 });
    batch.hear({ type: 'inputRead', lines: 1_000 });
    for (let turn = 1; turn <= 50; turn++) {
      const { sent } = batch.state;
      batch.hear(...sent.map(({ line }) => ended(line, 'refused')), at(turn * 2_000));
    }
    expect(new Set(sends(batch.all))).toEqual(new Set([0, 1]));
    expect(sends(batch.all).length).toBeGreaterThan(50);
  });

  it('is given up when the gateway vanishes under it too often', () => {
    const batch = begin({ inFlightMax: 1 });
    batch.hear({ type: 'inputRead', lines: 1 });
    batch.hear(ended(0, 'lost'), at(200));
    expect(batch.hear(ended(0, 'lost'))).toEqual([{ type: 'record', line: 0, ok: false }]);
  });

  it('has one answer: a second one is not heard', () => {
    const batch = begin({ inFlightMax: 1 });
    batch.hear({ type: 'inputRead', lines: 2 });
    batch.hear(ended(0, 'ok'));
    expect(batch.hear(ended(0, 'wrong'), ended(0, 'lost'))).toEqual([]);
  });
});

describe('an end before the last line', () => {
  it.each([
    ['cancelled', { type: 'cancelAsked' } as BatchEvent],
    ['expired', at(10_000)],
  ])('%s: what is under way is given up, what is being recorded is kept, the rest is written as unanswered', (ending, event) => {
    const batch = begin();
    batch.hear({ type: 'inputRead', lines: 9 });
    batch.hear(ended(0, 'ok'));
    expect(batch.hear(event)).toEqual([{ type: 'abort', lines: [1] }]);
    expect(batch.hear(ended(1, 'ok'), at(20_000))).toEqual([]);
    expect(batch.hear(recorded(0))).toEqual([
      { type: 'setStatus', status: 'finalizing' },
      { type: 'writeFiles', ending },
    ]);
    expect(batch.hear({ type: 'filesWritten' })).toEqual([{ type: 'finish', ending }]);
  });

  it('waits for the input, which the error file needs', () => {
    const batch = begin({ status: 'cancelling' });
    expect(batch.all).toEqual([{ type: 'readInput', check: false }]);
    expect(batch.hear({ type: 'inputRead', lines: 3 })).toContainEqual({
      type: 'writeFiles',
      ending: 'cancelled',
    });
  });

  it('goes on to the ending that was decided before a restart', () => {
    const batch = begin({ status: 'finalizing', ending: 'expired', answered: [[0, 1]] });
    expect(batch.hear({ type: 'inputRead', lines: 3 })).toContainEqual({
      type: 'writeFiles',
      ending: 'expired',
    });
  });
});
