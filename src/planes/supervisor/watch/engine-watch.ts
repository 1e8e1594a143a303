/**
 * Looks at every engine at an interval, from all sides at once, and tells the recovery machine what the signals say. It decides
 * nothing: `decide/diagnosis` names the fault, `decide/recovery` answers it. While an engine may hang it is looked at more often,
 * for the interval would be most of the time in which a hang must be found.
 *
 * Each generation has a record of its own; what was seen of the process before says nothing about this one.
 */
import type { Clock } from '../../../base/clock.ts';
import type { FlowReading } from '../../../contract/flow.ts';
import type { EngineMetrics, EngineTarget } from '../../../contract/ports/engine-driver.ts';
import type { ProcessExit } from '../../../contract/ports/process-host.ts';
import type { SignalSource, SignalSubject } from '../../../contract/ports/signal-source.ts';
import type { MonitoringPolicy } from '../../../contract/recovery-policy.ts';
import type { SignalReading } from '../../../contract/signals.ts';
import { diagnose } from '../../../decide/diagnosis/diagnose.ts';
import { createLineReader, type LineReader } from '../../../decide/diagnosis/line-reader.ts';
import type { PastIncident, ProbeSample, SignalWindow } from '../../../decide/diagnosis/signals.ts';
import type { FleetState } from '../../../decide/recovery/fleet-state.ts';
import type { RecoveryEvent } from '../../../decide/recovery/recovery-event.ts';
import { type Replica, stateOf } from '../../../decide/recovery/replica.ts';
import type { Verdict } from '../../../decide/recovery/verdict.ts';
import { logFileOf } from '../launch-replica.ts';
import { generationsPrefix } from '../owner-tag.ts';
import type { SupervisedReplica } from '../supervised-replica.ts';
import type { SupervisorOptions } from '../supervisor-options.ts';
import { Canaries, type CanaryResult } from './canaries.ts';
import { SignalRecord } from './signal-record.ts';
import { verdictOf } from './verdict-of.ts';

export interface EngineWatchParts {
  options: SupervisorOptions;
  monitoring: MonitoringPolicy;
  state(): FleetState;
  supervised(id: string): SupervisedReplica | undefined;
  targetOf(id: string): EngineTarget | null;
  deliver(event: RecoveryEvent): void;
}

/** Between two looks while one of the engines may hang. */
const CLOSE_LOOK_MS = 400;
/** Longest that one look may take; what has not answered by then is silent. */
const LOOK_MS_MAX = 1_500;
const INCIDENTS_MAX = 20;
/** Between two canaries of a replica of ours that is in rotation and has room. */
const CANARY_MS = 20_000;
const CANARY_PATIENCE_MS = 10_000;

export class EngineWatch {
  readonly #parts: EngineWatchParts;
  readonly #clock: Clock;
  readonly #records = new Map<string, SignalRecord>();
  readonly #incidents = new Map<string, PastIncident[]>();
  readonly #readers = new Map<string, LineReader>();
  readonly #told = new Set<string>();
  readonly #canaries = new Canaries();
  #timer: NodeJS.Timeout | null = null;
  /** When gateways last said what they see. */
  #lastFlowMs: number;
  #looking: Promise<void> | null = null;
  #closed = false;

  constructor(parts: EngineWatchParts) {
    this.#parts = parts;
    this.#clock = parts.options.clock;
    this.#lastFlowMs = this.#clock.monotonicMs();
  }

  start(): void {
    this.#arm(this.#parts.monitoring.intervalMs);
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const source of this.#parts.options.sources ?? []) source.close();
    await this.#looking;
  }

  /** A process is about to be started, or was found running: from here on its log counts. */
  begin(id: string, generation: number, logOffset: number): void {
    const watched = this.#parts.supervised(id);
    if (watched === undefined || this.#records.get(id)?.generation === generation) return;
    const { engine, maxSeqLength } = watched.model;
    this.#records.set(
      id,
      new SignalRecord(generation, this.#clock.monotonicMs(), logOffset, {
        engine,
        contextLength: maxSeqLength,
        readLine: this.#readerFor(engine),
        readKernelLine: this.#readerFor('kernel'),
      }),
    );
  }

  noteProbe(id: string, generation: number, probe: ProbeSample): void {
    const record = this.#records.get(id);
    if (record?.generation === generation) record.addProbe(probe);
  }

  noteEmptySuccess(id: string, generation: number): void {
    const record = this.#records.get(id);
    if (record?.generation === generation) record.countEmptySuccess(this.#clock.monotonicMs());
  }

  /** The last sign of life of a replica, monotonic ms; null: not known. */
  lastGoodMs(id: string): number | null {
    return this.#records.get(id)?.lastGoodMs ?? null;
  }

  /** What is known at this moment, for the evidence of an incident; null: nothing. */
  windowOf(id: string): SignalWindow | null {
    const replica = this.#parts.state().replicas[id];
    const record = this.#records.get(id);
    return replica === undefined || record === undefined ? null : this.#window(replica, record);
  }

  /** At once, when a process has ended: gateways and machine wait for it. Null: nothing was known of the process. */
  judgeExit(id: string, generation: number, exit: ProcessExit): Verdict | null {
    const replica = this.#parts.state().replicas[id];
    const record = this.#records.get(id);
    if (replica === undefined || record?.generation !== generation) return null;
    const nowMs = this.#clock.monotonicMs();
    this.#readLog(id, record);
    const subject = this.#subject(replica, record);
    for (const source of this.#sources()) {
      const reading = source.lookLast?.(subject);
      if (reading !== undefined) record.addReading(nowMs, reading);
    }
    const asked = replica.goal.kind !== 'run';
    const verdict = verdictOf(diagnose(this.#window(replica, record, { exit, asked })));
    if (!asked) this.#remember(id, verdict, stateOf(replica) === 'starting');
    return verdict;
  }

  #remember(id: string, verdict: Verdict, duringStart: boolean): void {
    const past = this.#incidents.get(id) ?? [];
    past.push({ atMs: this.#clock.monotonicMs(), replica: id, class: verdict.class, duringStart });
    this.#incidents.set(id, past.slice(-INCIDENTS_MAX));
  }

  #arm(waitMs: number): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#looking = this.#look()
        .catch((error: unknown) =>
          this.#parts.options.log('error', 'engines could not be looked at', { error: String(error) }),
        )
        .finally(() => {
          this.#looking = null;
          this.#arm(this.#nextWaitMs());
        });
    }, waitMs);
    this.#timer.unref();
  }

  #nextWaitMs(): number {
    const { intervalMs } = this.#parts.monitoring;
    const isClose = this.#subjects().some(({ spec }) => this.#records.get(spec.id)?.mayHang === true);
    return isClose ? Math.min(CLOSE_LOOK_MS, intervalMs) : intervalMs;
  }

  /** Engines whose address is known and that are on their way up, in rotation or out of it for a fault. */
  #subjects(): Replica[] {
    return Object.values(this.#parts.state().replicas).filter(({ stray, phase, url, process, spec }) => {
      if (stray || (spec.managed && process === null)) return false;
      return (
        url !== null && (phase.name === 'climbing' || phase.name === 'serving' || phase.name === 'ailing')
      );
    });
  }

  async #look(): Promise<void> {
    const subjects = this.#subjects();
    this.#forgetOthers();
    if (subjects.length === 0) return;
    const signal = AbortSignal.timeout(
      Math.min(LOOK_MS_MAX, Math.max(CLOSE_LOOK_MS, this.#parts.monitoring.intervalMs)),
    );
    const flowing = this.#flows();
    // All at once: an engine that does not answer must not use up the time in which others look at it.
    const looks = subjects.map(async (replica) => {
      const [metrics, readings] = await Promise.all([
        this.#metricsOf(replica, signal),
        this.#readingsOf(replica, signal),
      ]);
      return { replica, metrics, readings };
    });
    const [flows, found] = await Promise.all([flowing, Promise.all(looks)]);
    if (this.#closed) return;
    const nowMs = this.#clock.monotonicMs();
    const sinceFlowMs = flows.atMs - this.#lastFlowMs;
    this.#lastFlowMs = flows.atMs;
    for (const { replica, metrics, readings } of found) {
      const { id } = replica.spec;
      const record = this.#recordOf(replica);
      if (record === null) continue;
      record.addMetrics(nowMs, metrics);
      for (const reading of readings) record.addReading(nowMs, reading);
      const seen = flows.readings[id];
      if (seen !== undefined) record.addFlow(flows.atMs, seen, sinceFlowMs);
      this.#readLog(id, record);
      void this.#askCanary(replica, record);
      for (const { kind, text } of record.newAnomalies(this.#parts.monitoring))
        this.#parts.options.onFact({
          type: 'anomalySeen',
          atMs: this.#clock.wallMs(),
          replica: id,
          generation: record.generation,
          kind,
          text,
        });
      this.#tell(replica, record);
    }
  }

  /** With the moment at which gateways said it; those that do not answer see nothing. */
  async #flows(): Promise<{ atMs: number; readings: Readonly<Record<string, FlowReading>> }> {
    const readings = await this.#parts.options.flow?.().catch(() => ({}));
    return { atMs: this.#clock.monotonicMs(), readings: readings ?? {} };
  }

  #tell({ spec, generation }: Replica, record: SignalRecord): void {
    const replica = this.#parts.state().replicas[spec.id];
    if (replica?.generation !== generation) return;
    const verdict = verdictOf(diagnose(this.#window(replica, record)));
    this.#parts.deliver({ type: 'diagnosed', replica: spec.id, generation, verdict });
  }

  #recordOf({ spec, generation }: Replica): SignalRecord | null {
    // Adopted ones and those that run elsewhere were not begun by a start.
    this.begin(spec.id, generation, this.#logEnd(spec.id));
    return this.#records.get(spec.id) ?? null;
  }

  /** Not waited for: a busy engine answers late, and that is no sign of anything. */
  async #askCanary({ spec, generation, phase }: Replica, record: SignalRecord): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    // An engine that runs elsewhere may be paid for by the token.
    if (!spec.managed || phase.name !== 'serving' || !record.hasRoom) return;
    if (nowMs < record.canaryAtMs + CANARY_MS) return;
    record.beginCanary(nowMs);
    const result = await this.canary(spec.id, AbortSignal.timeout(CANARY_PATIENCE_MS)).catch(() => null);
    if (result !== null && this.#records.get(spec.id)?.generation === generation)
      record.noteCanary(result.ok);
  }

  /** Null: no answer, or none that says anything. */
  async canary(id: string, signal: AbortSignal): Promise<CanaryResult | null> {
    const watched = this.#parts.supervised(id);
    const target = this.#parts.targetOf(id);
    const driver = watched && this.#parts.options.drivers.get(watched.model.engine);
    if (watched === undefined || target === null || driver === undefined) return null;
    return await this.#canaries.ask(
      driver,
      target,
      `${watched.spec.pool} ${watched.spec.launchHash}`,
      signal,
    );
  }

  async #metricsOf({ spec }: Replica, signal: AbortSignal): Promise<EngineMetrics | undefined> {
    const target = this.#parts.targetOf(spec.id);
    const engine = this.#parts.supervised(spec.id)?.model.engine;
    const driver = engine === undefined ? undefined : this.#parts.options.drivers.get(engine);
    if (target === null || driver === undefined) return undefined;
    return await driver.readMetrics(target, signal).catch(() => undefined);
  }

  async #readingsOf(replica: Replica, signal: AbortSignal): Promise<SignalReading[]> {
    const record = this.#recordOf(replica);
    if (record === null) return [];
    const subject = this.#subject(replica, record);
    const readings = await Promise.all(
      this.#sources().map(async (source) => {
        try {
          return await source.look(subject, signal);
        } catch (error) {
          return { unavailable: [`${source.name}: ${String(error)}`] };
        }
      }),
    );
    for (const text of readings.flatMap(({ unavailable = [] }) => unavailable)) this.#tellOnce(text);
    return readings;
  }

  #sources(): readonly SignalSource[] {
    const wanted = this.#parts.monitoring.metrics;
    return (this.#parts.options.sources ?? []).filter(({ metrics }) =>
      metrics.some((metric) => wanted.includes(metric)),
    );
  }

  #subject({ spec, generation, process, url }: Replica, { startedAtMs }: SignalRecord): SignalSubject {
    const { paths } = this.#parts.options;
    const gpuMetricsUrl = this.#parts.supervised(spec.id)?.model.gpuMetricsUrl;
    return {
      replica: spec.id,
      generation,
      engine: this.#parts.supervised(spec.id)?.model.engine ?? 'openai',
      process,
      ownerPrefix: generationsPrefix(paths.instance, spec.id),
      url,
      startedAtMs,
      ...(gpuMetricsUrl !== undefined && { gpuMetricsUrl }),
    };
  }

  #window(
    replica: Replica,
    record: SignalRecord,
    exit?: { exit: ProcessExit; asked: boolean },
  ): SignalWindow {
    const { id, pool, startTimeoutMs } = replica.spec;
    const others = Object.values(this.#parts.state().replicas).filter(({ spec }) => spec.id !== id);
    const managed = Object.values(this.#parts.state().replicas).filter(
      ({ spec, stray }) => spec.managed && !stray,
    );
    const peers = others.filter(({ spec }) => spec.pool === pool);
    return record.window({
      nowMs: this.#clock.monotonicMs(),
      phase: replica.phase.name === 'climbing' || stateOf(replica) === 'starting' ? 'starting' : 'serving',
      startBudgetMs: startTimeoutMs,
      monitoring: this.#parts.monitoring,
      incidents: this.#incidents.get(id) ?? [],
      peerStepsMs: peers.flatMap(({ spec }) => this.#records.get(spec.id)?.stepMs ?? []),
      host: {
        replicas: managed.length,
        notReady: managed.filter((other) => stateOf(other) !== 'ready' && stateOf(other) !== 'standby')
          .length,
      },
      ...(exit !== undefined && { exit }),
    });
  }

  #readLog(id: string, record: SignalRecord): void {
    const { logTail } = this.#parts.options;
    if (logTail === undefined || !this.#parts.monitoring.metrics.includes('logs')) return;
    const { lines, next } = logTail.linesFrom(logFileOf(this.#parts.options, id), record.logOffset);
    record.logOffset = next;
    record.addLog(lines);
  }

  #logEnd(id: string): number {
    return this.#parts.options.logTail?.sizeOf(logFileOf(this.#parts.options, id)) ?? 0;
  }

  #readerFor(engine: string): LineReader {
    let reader = this.#readers.get(engine);
    if (reader === undefined) {
      const knowledge = this.#parts.options.logKnowledge?.(engine) ?? { rules: [], markers: [], samples: [] };
      reader = createLineReader(knowledge);
      this.#readers.set(engine, reader);
    }
    return reader;
  }

  #tellOnce(text: string): void {
    if (this.#told.has(text)) return;
    this.#told.add(text);
    this.#parts.options.log('info', 'a source of signals cannot see all', { detail: text });
  }

  #forgetOthers(): void {
    const { replicas } = this.#parts.state();
    for (const id of this.#records.keys()) if (replicas[id] === undefined) this.#records.delete(id);
    for (const id of this.#incidents.keys()) if (replicas[id] === undefined) this.#incidents.delete(id);
  }
}
