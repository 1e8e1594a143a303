/**
 * What was observed of one generation of one replica, bounded: the window that a diagnosis is made from. Observations come in the
 * order of time; what a source does not say stays as it was known, for counters do not go away between two looks.
 */
import type { FlowReading } from '../../../contract/flow.ts';
import type { EngineMetrics } from '../../../contract/ports/engine-driver.ts';
import type { ProcessExit } from '../../../contract/ports/process-host.ts';
import type { MonitoringPolicy } from '../../../contract/recovery-policy.ts';
import type { ContainerFacts, GpuFacts, ProcessFacts, SignalReading } from '../../../contract/signals.ts';
import { type Anomaly, anomaliesIn } from '../../../decide/diagnosis/anomalies.ts';
import type { LineReader } from '../../../decide/diagnosis/line-reader.ts';
import { LogScan } from '../../../decide/diagnosis/log-scan.ts';
import type {
  FlowSample,
  MetricSample,
  PastIncident,
  Point,
  ProbeSample,
  SignalWindow,
} from '../../../decide/diagnosis/signals.ts';

const SAMPLES_MAX = 300;
/** Engines without processes of their own for computing. */
const COMPUTE_IN_MAIN: readonly string[] = ['embedded', 'llama-server', 'ollama', 'simulator'];
/** Characters of a prompt are at least so many per token; a body has more around it. */
const BYTES_PER_TOKEN_MIN = 2;
/** What was wrong with single answers counts for so long. */
const ANSWERS_MS = 60_000;
/** First tokens before their mean says how fast prompts are read. */
const FIRST_TOKENS_MIN = 3;

export interface RecordParts {
  engine: string;
  contextLength: number | undefined;
  readLine: LineReader;
  readKernelLine: LineReader;
}

export class SignalRecord {
  readonly generation: number;
  readonly startedAtMs: number;
  /** Byte of the log file behind which nothing was read. */
  logOffset: number;
  readonly #parts: RecordParts;
  readonly #log: LogScan;
  readonly #kernelLog: LogScan;
  readonly #metrics: MetricSample[] = [];
  readonly #probes: ProbeSample[] = [];
  readonly #flow: FlowSample[] = [];
  readonly #rss: Point[] = [];
  readonly #cpu: Point[] = [];
  readonly #anomaliesTold = new Set<string>();
  readonly #latency: Point[] = [];
  #tokensSeen = 0;
  #latestFlow: FlowReading | null = null;
  #latestMetrics: EngineMetrics | null = null;
  #metricsEver = false;
  #processes: ProcessFacts | undefined;
  #gpus: readonly GpuFacts[] | undefined;
  #container: ContainerFacts | undefined;
  #oomKills: number | null | undefined;
  #memoryLimitBytes: number | undefined;
  #shmFreeBytes: number | undefined;
  #hasLog = false;
  #hasKernelLog = false;
  readonly #emptySuccesses: number[] = [];
  /** Asked since the last step. */
  #canariesOpen = 0;
  #canary: 'passed' | 'wrong' | undefined;
  /** When a canary was asked last. */
  canaryAtMs: number;
  #lastGoodMs: number | null = null;

  constructor(generation: number, startedAtMs: number, logOffset: number, parts: RecordParts) {
    this.generation = generation;
    this.startedAtMs = startedAtMs;
    this.logOffset = logOffset;
    this.canaryAtMs = startedAtMs;
    this.#parts = parts;
    this.#log = new LogScan(parts.readLine);
    this.#kernelLog = new LogScan(parts.readKernelLine);
  }

  /** When it was last seen to work; null: not yet. */
  get lastGoodMs(): number | null {
    return this.#lastGoodMs;
  }

  /** For one token, lately; null: not known. */
  get stepMs(): number | null {
    return this.#latestFlow?.stepMs ?? null;
  }

  addLog(lines: readonly string[]): void {
    for (const line of lines) this.#log.push(line);
    this.#hasLog ||= lines.length > 0;
  }

  /** `undefined`: the engine has no metrics, or none that say how it moves. */
  addMetrics(atMs: number, metrics: EngineMetrics | undefined): void {
    if (metrics === undefined) {
      // An engine that never had any is not one whose metrics are dead.
      if (this.#metricsEver) push(this.#metrics, { atMs, ok: false });
      return;
    }
    this.#metricsEver = true;
    const { progressCount, running, waiting, kvCacheUsageRatio, preemptionsTotal } = metrics;
    if (progressCount !== undefined && progressCount !== this.#latestMetrics?.progressCount) {
      this.#lastGoodMs = atMs;
      this.#canariesOpen = 0;
    }
    this.#latestMetrics = metrics;
    push(this.#metrics, {
      atMs,
      ok: true,
      ...(progressCount !== undefined && { progressCount }),
      ...(running !== undefined && { running }),
      ...(waiting !== undefined && { waiting }),
      ...(kvCacheUsageRatio !== undefined && { kvRatio: kvCacheUsageRatio }),
      ...(preemptionsTotal !== undefined && { preemptionsTotal }),
    });
  }

  addProbe(probe: ProbeSample): void {
    // Of an engine that has work and makes no step, an answered probe is no sign of life.
    if (probe.ok && !this.mayHang) this.#lastGoodMs = probe.atMs;
    push(this.#probes, probe);
  }

  /** `sinceLookMs`: since the look before; what came within it is a step. */
  addFlow(atMs: number, reading: FlowReading, sinceLookMs: number): void {
    const moved = reading.sinceProgressMs !== null && reading.sinceProgressMs <= sinceLookMs;
    if (moved) {
      this.#tokensSeen++;
      this.#lastGoodMs = Math.max(this.#lastGoodMs ?? 0, atMs - (reading.sinceProgressMs ?? 0));
    }
    this.#latestFlow = reading;
    push(this.#flow, {
      atMs,
      inFlight: reading.inFlight,
      tokensTotal: this.#tokensSeen,
      ...(moved && { sinceTokenMs: reading.sinceProgressMs ?? 0 }),
    });
    if (reading.stepMs !== null) push(this.#latency, { atMs, value: reading.stepMs });
  }

  addReading(atMs: number, reading: SignalReading): void {
    this.#processes = reading.processes ?? this.#processes;
    this.#gpus = reading.gpus ?? this.#gpus;
    this.#container = reading.container ?? this.#container;
    this.#oomKills = reading.oomKills ?? this.#oomKills;
    this.#memoryLimitBytes = reading.memoryLimitBytes ?? this.#memoryLimitBytes;
    this.#shmFreeBytes = reading.shmFreeBytes ?? this.#shmFreeBytes;
    const cpu = reading.processes?.frontendCpuRatio;
    if (cpu !== undefined) push(this.#cpu, { atMs, value: cpu });
    const rssBytes = reading.processes?.rssBytes;
    if (rssBytes !== undefined) push(this.#rss, { atMs, value: rssBytes });
    for (const line of reading.kernelLines ?? []) {
      this.#kernelLog.push(line);
      this.#hasKernelLog = true;
    }
  }

  /** From here on the engine has one more request than gateways know of, until it makes a step. */
  beginCanary(atMs: number): void {
    this.canaryAtMs = atMs;
    this.#canariesOpen++;
  }

  noteCanary(ok: boolean): void {
    this.#canary = ok ? 'passed' : 'wrong';
  }

  /** Nothing waits, and what runs leaves room: one more small request harms nobody. */
  get hasRoom(): boolean {
    return (this.#latestMetrics?.waiting ?? 0) === 0 && !this.mayHang;
  }

  countEmptySuccess(atMs: number): void {
    push(this.#emptySuccesses, atMs);
  }

  /** The look before the last saw work and no step: the next one should not wait long. */
  get mayHang(): boolean {
    const [before, last] = this.#metrics.slice(-2);
    const flow = this.#latestFlow;
    const flowStill =
      flow !== null && flow.inFlight > 0 && (flow.sinceProgressMs ?? Number.POSITIVE_INFINITY) > 1_000;
    if (before?.ok !== true || last?.ok !== true) return flowStill;
    const outstanding = (last.running ?? 0) + (last.waiting ?? 0);
    const { progressCount } = last;
    const isCounted = progressCount !== undefined && progressCount === before.progressCount;
    return flowStill || (outstanding > 0 && isCounted);
  }

  /** Those that were not told of this process before. */
  newAnomalies({ cpuRatio, cpuForMs }: MonitoringPolicy): Anomaly[] {
    const { running = 0, waiting = 0 } = this.#latestMetrics ?? {};
    const found = anomaliesIn({
      cpu: this.#cpu,
      computesInMain: COMPUTE_IN_MAIN.includes(this.#parts.engine),
      hasWork: running + waiting + (this.#latestFlow?.inFlight ?? 0) > 0,
      processes: this.#processes,
      container: this.#container,
      cpuRatio,
      cpuForMs,
    }).filter(({ kind }) => !this.#anomaliesTold.has(kind));
    for (const { kind } of found) this.#anomaliesTold.add(kind);
    return found;
  }

  window(now: {
    nowMs: number;
    phase: 'starting' | 'serving';
    startBudgetMs: number;
    monitoring: MonitoringPolicy;
    incidents: readonly PastIncident[];
    peerStepsMs: readonly number[];
    host: { replicas: number; notReady: number };
    exit?: { exit: ProcessExit; asked: boolean };
  }): SignalWindow {
    const { nowMs, phase, startBudgetMs, monitoring, incidents, peerStepsMs, host, exit } = now;
    const stepMs = this.#latestFlow?.stepMs ?? null;
    return {
      nowMs,
      engine: this.#parts.engine,
      phase,
      ...(phase === 'starting' && {
        start: { elapsedMs: nowMs - this.startedAtMs, budgetMs: startBudgetMs },
      }),
      ...this.#logsIn(),
      ...(exit !== undefined && { exit }),
      ...(this.#oomKills !== undefined && { oomKills: this.#oomKills }),
      ...(this.#metrics.length > 0 && { metrics: this.#metrics }),
      probes: this.#probes,
      ...(this.#flow.length > 0 && { flow: this.#flow }),
      rss: this.#rss,
      ...(this.#memoryLimitBytes !== undefined && { memoryLimitBytes: this.#memoryLimitBytes }),
      ...(this.#gpus !== undefined && { gpus: this.#gpus }),
      ...(this.#processes !== undefined && { processes: this.#processes }),
      incidents,
      capacity: {
        ...this.#readingSpeed(),
        ...(stepMs !== null && { stepMs, gapP99Ms: stepMs * 4 }),
        ...(peerStepsMs.length > 0 && { peerStepsMs }),
      },
      patience: { floorMs: monitoring.hangFloorMs, unmeasuredMs: monitoring.hangUnmeasuredMs },
      answers: {
        emptySuccesses: this.#emptySuccesses.filter((atMs) => atMs > nowMs - ANSWERS_MS).length,
        ...(this.#canary !== undefined && { canary: this.#canary }),
      },
      host,
      ...(this.#shmFreeBytes !== undefined && { shmFreeBytes: this.#shmFreeBytes }),
      latencyPerToken: this.#latency,
    };
  }

  #logsIn(): Pick<SignalWindow, 'log' | 'kernelLog'> {
    const log = this.#hasLog ? this.#log.result().attempts.at(-1) : undefined;
    const kernelLog = this.#hasKernelLog ? this.#kernelLog.result().attempts.at(-1) : undefined;
    return { ...(log !== undefined && { log }), ...(kernelLog !== undefined && { kernelLog }) };
  }

  /**
   * The longest prompt that may be being read, and how fast they are read: tokens that had to be computed, by times that hold the
   * wait in the queue as well. Both are bounds on the safe side: a longer patience restarts no engine that is well.
   */
  #readingSpeed(): NonNullable<SignalWindow['capacity']> {
    const metrics = this.#latestMetrics;
    const flow = this.#latestFlow;
    const outstanding = (metrics?.running ?? 0) + (metrics?.waiting ?? 0);
    const seesAll = flow !== null && flow.inFlight + this.#canariesOpen >= outstanding;
    const promptTokensMax = seesAll
      ? Math.ceil(flow.waitingBytesMax / BYTES_PER_TOKEN_MIN)
      : this.#parts.contextLength;
    const { promptTokensTotal = 0, prefixCacheHitsTotal = 0 } = metrics ?? {};
    const { timeToFirstTokenSecondsSum = 0, timeToFirstTokenCount = 0 } = metrics ?? {};
    const computedTokens = promptTokensTotal - prefixCacheHitsTotal;
    const isMeasured =
      computedTokens > 0 && timeToFirstTokenCount >= FIRST_TOKENS_MIN && timeToFirstTokenSecondsSum > 0;
    return {
      ...(promptTokensMax !== undefined && { promptTokensMax }),
      ...(isMeasured && { prefillTokensPerS: computedTokens / timeToFirstTokenSecondsSum }),
    };
  }
}

function push<Item>(items: Item[], item: Item): void {
  if (items.length === SAMPLES_MAX) items.shift();
  items.push(item);
}
