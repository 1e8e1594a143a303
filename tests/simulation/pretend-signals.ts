/** What a supervisor sees of a pretended engine: metrics and the flow of tokens, through the record that the real one keeps. */
import { DEFAULT_RECOVERY_POLICY } from '../../src/contract/recovery-defaults.ts';
import type { SignalWindow } from '../../src/decide/diagnosis/signals.ts';
import { SignalRecord } from '../../src/planes/supervisor/watch/signal-record.ts';
import { PREFILL_TOKENS_PER_S, type PretendProcess, prefillAt, stepsUntil } from './pretend-process.ts';

/** Of a body, for each token of its prompt; the least that the supervisor reckons with. */
const BYTES_PER_TOKEN = 2;
const IN_FLIGHT = 4;
const nothing = { rule: null, markers: [], figures: null, speaksOfEnd: false };

export function newRecord(generation: number, nowMs: number): SignalRecord {
  const readLine = () => nothing;
  return new SignalRecord(generation, nowMs, 0, {
    engine: 'simulator',
    contextLength: 32_768,
    readLine,
    readKernelLine: readLine,
  });
}

export function observe(record: SignalRecord, process: PretendProcess, nowMs: number): void {
  const { steps, lastStepMs } = stepsUntil(process, nowMs);
  const reading = prefillAt(process, nowMs);
  record.addMetrics(nowMs, {
    progressCount: steps,
    running: IN_FLIGHT,
    waiting: 0,
    promptTokensTotal: 100 * PREFILL_TOKENS_PER_S,
    timeToFirstTokenSecondsSum: 100,
    timeToFirstTokenCount: 100,
  });
  record.addFlow(
    nowMs,
    {
      inFlight: IN_FLIGHT,
      sinceProgressMs: Math.max(0, nowMs - lastStepMs),
      waiting: reading === undefined ? 0 : 1,
      waitingBytesMax: (reading?.promptTokens ?? 0) * BYTES_PER_TOKEN,
      stepMs: null,
    },
    LOOKED_BACK_MS,
  );
}

/** Whatever came since the look before, at the longest. */
const LOOKED_BACK_MS = 2_000;

export function windowOf(record: SignalRecord, nowMs: number): SignalWindow {
  return record.window({
    nowMs,
    phase: 'serving',
    startBudgetMs: 0,
    monitoring: DEFAULT_RECOVERY_POLICY.monitoring,
    incidents: [],
    peerStepsMs: [],
    host: { replicas: 1, notReady: 0 },
  });
}
