/**
 * Looks at the memory of this machine for `autoglm memory`: all GPUs, and the engines of one installation, found by their owner
 * tags. Works without a node process, and changes nothing beside one that runs. With `watchMs` it goes on looking, for growth.
 */
import type { Clock } from '../base/clock.ts';
import type { MemoryHolder, MemoryReport } from '../contract/memory-report.ts';
import type { SignalSubject } from '../contract/ports/signal-source.ts';
import type { SignalReading } from '../contract/signals.ts';
import { allocatorIn, analyseMemory, type EngineView } from '../decide/diagnosis/memory.ts';
import type { Point } from '../decide/diagnosis/signals.ts';
import { logTail } from '../drivers/process/log-tail.ts';
import { CgroupSource } from '../drivers/signals/cgroup/cgroup.ts';
import { DcgmExporter } from '../drivers/signals/gpus/dcgm-exporter.ts';
import { GpuSource } from '../drivers/signals/gpus/gpus.ts';
import { NvidiaSmi } from '../drivers/signals/gpus/nvidia-smi.ts';
import { HostMemorySource } from '../drivers/signals/host-memory.ts';
import { hasHostPids } from '../drivers/signals/pid-namespace.ts';
import { ProcessTable } from '../drivers/signals/process-tree/process-table.ts';
import { ProcessTreeSource } from '../drivers/signals/process-tree/process-tree.ts';
import { exporterText } from '../drivers/telemetry/gpu-exporter.ts';
import { logFileOf } from '../planes/supervisor/launch-replica.ts';
import { generationsPrefix, ownerPrefix, parseOwner } from '../planes/supervisor/owner-tag.ts';
import type { ResolvedConfig } from './config/resolve-config.ts';
import { createProcesses } from './processes.ts';

export interface MemoryReportOptions {
  config: ResolvedConfig;
  clock: Clock;
  /** 0: one look. */
  watchMs: number;
  signal: AbortSignal;
}

const LOOK_MS = 1_000;
/** nvidia-smi takes seconds where the driver has to wake up. */
const DEADLINE_MS = 12_000;
/** The last part of a log, in which an allocator may have said what it keeps. */
const LOG_BYTES = 256 * 1024;

interface Followed {
  subject: SignalSubject;
  latest: SignalReading;
  host: Point[];
  gpu: Point[];
}

export async function readMemoryReport(options: MemoryReportOptions): Promise<MemoryReport> {
  const reader = new MemoryReader(options);
  const endMs = options.clock.monotonicMs() + options.watchMs;
  await reader.look();
  while (options.clock.monotonicMs() < endMs && !options.signal.aborted) {
    // Interrupted: what was seen up to here is told.
    await options.clock.sleep(LOOK_MS, options.signal).catch(() => {});
    if (!options.signal.aborted) await reader.look();
  }
  return reader.report();
}

class MemoryReader {
  readonly #config: ResolvedConfig;
  readonly #clock: Clock;
  readonly #table: ProcessTable;
  readonly #smi: NvidiaSmi;
  readonly #tree: ProcessTreeSource;
  readonly #gpus: GpuSource;
  readonly #cgroup: CgroupSource;
  readonly #host = new HostMemorySource();
  readonly #followed = new Map<string, Followed>();
  readonly #unavailable = new Set<string>();
  #hostReading: SignalReading = {};

  constructor({ config, clock }: MemoryReportOptions) {
    const nowMs = () => clock.monotonicMs();
    this.#config = config;
    this.#clock = clock;
    this.#table = new ProcessTable({ nowMs });
    this.#smi = new NvidiaSmi({ nowMs, program: config.signals.nvidiaSmi });
    this.#gpus = new GpuSource({
      table: this.#table,
      nvidiaSmi: this.#smi,
      dcgm: new DcgmExporter({ nowMs, fetchText: exporterText }),
      samePids: hasHostPids(),
    });
    this.#tree = new ProcessTreeSource({
      table: this.#table,
      gpuBytesByPid: () => this.#gpus.bytesByPid(),
    });
    this.#cgroup = new CgroupSource({ nowMs });
  }

  async look(): Promise<void> {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    // First, so that the memory of orphans is known when the trees are looked at.
    const seen = await this.#smi.read(signal);
    if (seen.problem !== null) this.#unavailable.add(`GPUs: ${seen.problem}`);
    this.#hostReading = await this.#host.look(this.#self());
    for (const subject of this.#subjects()) {
      const { readings } = await this.#lookAt(subject, signal);
      const followed = this.#follow(subject);
      followed.latest = Object.assign({}, ...readings);
      const atMs = this.#clock.monotonicMs();
      const hostBytes = followed.latest.processes?.rssBytes;
      if (hostBytes !== undefined) followed.host.push({ atMs, value: hostBytes });
      const own = followed.latest.gpus?.flatMap(({ ownBytes }) => ownBytes ?? []) ?? [];
      if (own.length > 0) followed.gpu.push({ atMs, value: own.reduce((sum, bytes) => sum + bytes, 0) });
    }
  }

  async #lookAt(subject: SignalSubject, signal: AbortSignal): Promise<{ readings: SignalReading[] }> {
    const readings = await Promise.all([
      this.#tree.look(subject, signal),
      this.#cgroup.look(subject),
      this.#gpus.look(subject, signal),
    ]);
    // That GPUs cannot be seen is said once, for the machine.
    for (const text of readings.flatMap(({ unavailable = [] }) => unavailable))
      if (!text.startsWith('GPUs: ') || text.includes('exporter')) this.#unavailable.add(text);
    return { readings };
  }

  report(): MemoryReport {
    const rows = this.#smi.latest?.rows ?? [];
    const apps = this.#smi.latest?.apps ?? [];
    const followed = [...this.#followed.values()];
    const { hostFreeBytes, shmFreeBytes } = this.#hostReading;
    return analyseMemory({
      gpus: rows.map((row) => ({
        ...row,
        holders: apps
          .filter(({ gpuUuid }) => gpuUuid === row.uuid)
          .map(({ pid, name, bytes }): MemoryHolder => ({ pid, name, bytes, ...this.#whose(pid) })),
      })),
      engines: followed.map((one) => this.#engineView(one)),
      ...(hostFreeBytes !== undefined && { hostFreeBytes }),
      ...(shmFreeBytes !== undefined && { shmFreeBytes }),
      unavailable: [...this.#unavailable],
    });
  }

  #engineView({ subject, latest, host, gpu }: Followed): EngineView {
    const { replica, engine, process } = subject;
    const file = logFileOf({ paths: pathsOf(this.#config) }, replica);
    const { lines } = logTail.linesFrom(file, Math.max(0, logTail.sizeOf(file) - LOG_BYTES));
    const allocator = allocatorIn(lines);
    return {
      replica,
      engine,
      pid: process?.pid ?? null,
      host,
      gpu,
      ...(latest.memoryLimitBytes !== undefined && { limitBytes: latest.memoryLimitBytes }),
      ...(allocator !== null && { allocator }),
    };
  }

  #whose(pid: number): Pick<MemoryHolder, 'whose' | 'replica'> {
    for (const { subject, latest } of this.#followed.values()) {
      const { replica } = subject;
      if (this.#tree.pidsOf(subject)?.has(pid) === true) return { whose: 'engine', replica };
      if (latest.processes?.orphans.some((orphan) => orphan.pid === pid) === true)
        return { whose: 'orphan', replica };
    }
    const owner = this.#table.latest?.byPid.get(pid)?.owner;
    const isOurs = owner?.startsWith(`${this.#config.paths.instance}:`) === true;
    return { whose: isOurs ? 'other' : 'foreign' };
  }

  #follow(subject: SignalSubject): Followed {
    const known = this.#followed.get(subject.replica);
    if (known?.subject.generation === subject.generation) return known;
    const followed = { subject, latest: {}, host: [], gpu: [] };
    this.#followed.set(subject.replica, followed);
    return followed;
  }

  /** The newest start of each replica that runs here, and engines elsewhere whose GPUs an exporter shows. */
  #subjects(): SignalSubject[] {
    const { paths, models } = this.#config;
    const newest = new Map<string, SignalSubject>();
    for (const { identity, owner } of createProcesses().findOwned(ownerPrefix(paths.instance))) {
      const tag = parseOwner(paths.instance, owner);
      if (tag === undefined || (newest.get(tag.replica)?.generation ?? -1) >= tag.generation) continue;
      const { replica, generation, port } = tag;
      newest.set(replica, {
        ...this.#subjectOf(replica),
        generation,
        process: identity,
        url: port === 0 ? null : `http://127.0.0.1:${port}`,
      });
    }
    const elsewhere = models.flatMap(({ modelName, urls = [], gpuMetricsUrl }) =>
      gpuMetricsUrl === undefined
        ? []
        : urls.map((url, index) => ({ ...this.#subjectOf(`${modelName}/${index}`), url })),
    );
    return [...newest.values(), ...elsewhere].toSorted((a, b) => a.replica.localeCompare(b.replica));
  }

  #subjectOf(replica: string): SignalSubject {
    const pool = replica.slice(0, replica.lastIndexOf('/'));
    const model = this.#config.models.find(({ modelName }) => modelName === pool);
    return {
      replica,
      generation: 0,
      engine: model?.engine ?? 'openai',
      process: null,
      ownerPrefix: generationsPrefix(this.#config.paths.instance, replica),
      url: null,
      startedAtMs: 0,
      ...(model?.gpuMetricsUrl !== undefined && { gpuMetricsUrl: model.gpuMetricsUrl }),
    };
  }

  /** For what is asked of the machine and of no engine. */
  #self(): SignalSubject {
    return { ...this.#subjectOf('/'), process: { pid: process.pid, startTicks: 0 } };
  }
}

function pathsOf({ paths }: ResolvedConfig) {
  return { instance: paths.instance, logDir: paths.logDir, workDir: paths.root };
}
