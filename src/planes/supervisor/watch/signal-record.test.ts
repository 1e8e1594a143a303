import { beforeEach, describe, expect, it } from 'vitest';
import type { FlowReading } from '../../../contract/flow.ts';
import { DEFAULT_RECOVERY_POLICY } from '../../../contract/recovery-defaults.ts';
import { diagnose } from '../../../decide/diagnosis/diagnose.ts';
import type { SignalWindow } from '../../../decide/diagnosis/signals.ts';
import { SignalRecord } from './signal-record.ts';

const flow = (more: Partial<FlowReading> = {}): FlowReading => ({
  inFlight: 1,
  sinceProgressMs: null,
  waiting: 1,
  waitingBytesMax: 200_000,
  stepMs: null,
  ...more,
});

let record: SignalRecord;
beforeEach(() => {
  const readLine = () => ({ rule: null, markers: [], figures: null, speaksOfEnd: false });
  record = new SignalRecord(1, 0, 0, {
    engine: 'vllm',
    contextLength: undefined,
    readLine,
    readKernelLine: readLine,
  });
});

const windowAt = (nowMs: number): SignalWindow =>
  record.window({
    nowMs,
    phase: 'serving',
    startBudgetMs: 0,
    monitoring: DEFAULT_RECOVERY_POLICY.monitoring,
    incidents: [],
    peerStepsMs: [],
    host: { replicas: 1, notReady: 0 },
  });

describe('the speed of reading prompts', () => {
  const read = {
    progressCount: 9,
    promptTokensTotal: 100_000,
    timeToFirstTokenSecondsSum: 10,
    timeToFirstTokenCount: 50,
  };

  it('counts the tokens that were computed, and not those that were found in the cache', () => {
    record.addMetrics(0, { ...read, prefixCacheHitsTotal: 95_000 });
    expect(windowAt(0).capacity?.prefillTokensPerS).toBe(500);
  });

  it('is not known where every token was found', () => {
    record.addMetrics(0, { ...read, prefixCacheHitsTotal: 100_000 });
    expect(windowAt(0).capacity?.prefillTokensPerS).toBeUndefined();
  });

  it('lets an engine read a long prompt for as long as that takes, though most prompts were cached', () => {
    // 100,000 tokens at 500 a second, twice.
    for (let nowMs = 0; nowMs <= 60_000; nowMs += 2_000) {
      record.addMetrics(nowMs, { ...read, prefixCacheHitsTotal: 95_000, running: 1, waiting: 0 });
      record.addFlow(nowMs, flow(), 2_000);
    }
    expect(diagnose(windowAt(60_000)).class).toBe('none');
  });
});

it('forgets empty answers that came long ago', () => {
  record.countEmptySuccess(0);
  record.countEmptySuccess(1_000);
  expect(windowAt(2_000).answers?.emptySuccesses).toBe(2);
  expect(windowAt(120_000).answers?.emptySuccesses).toBe(0);
});

describe('whether it may hang', () => {
  it('is not said of an engine that has no counter, as long as gateways see tokens', () => {
    for (const nowMs of [0, 2_000]) {
      record.addMetrics(nowMs, { running: 3, waiting: 0 });
      record.addFlow(nowMs, flow({ sinceProgressMs: 50 }), 2_000);
    }
    expect(record.mayHang).toBe(false);
  });

  it('is said of one that has work and whose counter stands', () => {
    for (const nowMs of [0, 2_000]) record.addMetrics(nowMs, { running: 3, waiting: 0, progressCount: 7 });
    expect(record.mayHang).toBe(true);
  });
});
