/** The latest readings of sources as Prometheus text. What a source does not say has no sample; nothing is ever 0 for being unknown. */
import type { SignalSource } from '../contract/ports/signal-source.ts';
import { poolOf } from '../contract/replica-id.ts';
import type { GpuFacts, SignalReading } from '../contract/signals.ts';
import { type Family, MetricSet } from '../wire/prometheus/metric-set.ts';

const gauge = (name: string, help: string): Family => ({ name, type: 'gauge', help });

export const SIGNAL_METRICS: readonly Family[] = [
  gauge('autoglm_replica_processes', 'Processes of an engine.'),
  gauge(
    'autoglm_replica_process_findings',
    'Processes of an engine that are not as they should be; `kind`: missing, orphan, stopped, unexpected.',
  ),
  gauge(
    'autoglm_replica_resident_bytes',
    "Memory of the host that an engine's processes hold; what they share counts once.",
  ),
  gauge('autoglm_replica_cpu_cores', 'Processors that an engine uses: 1.5 is one and a half.'),
  gauge('autoglm_replica_frontend_cpu_cores', 'Of them, by its main process.'),
  gauge('autoglm_replica_open_files', 'Open files of the main process.'),
  gauge('autoglm_replica_memory_limit_bytes', 'Limit of memory of its cgroup.'),
  gauge('autoglm_replica_memory_used_bytes', 'Memory that its cgroup uses.'),
  gauge(
    'autoglm_replica_oom_kills',
    'Processes of its cgroup that the kernel killed for want of memory since its start.',
  ),
  gauge('autoglm_replica_gpu_reachable', '1: the GPU can be queried; 0: it could be before.'),
  gauge(
    'autoglm_replica_gpu_memory_bytes',
    'Memory of a GPU; `kind`: total, used, free, reserved, own (of the engine), foreign (of strangers).',
  ),
  gauge('autoglm_replica_gpu_utilization_ratio', 'Time during which the GPU worked, 0 to 1.'),
  gauge('autoglm_replica_gpu_temperature_celsius', 'Temperature of the GPU.'),
  gauge('autoglm_replica_gpu_power_watts', 'Power that the GPU takes.'),
  gauge('autoglm_replica_gpu_sm_clock_hertz', 'Clock of the GPU.'),
  gauge('autoglm_replica_gpu_throttled', '1: its clocks are held down by heat or by a fault of its power.'),
  gauge('autoglm_replica_gpu_uncorrected_errors', 'Errors of its memory since the driver was loaded.'),
  gauge('autoglm_replica_gpu_nvlink_errors', 'Errors of its links since the driver was loaded.'),
];

/** An engine that nobody looks at any more has no samples. */
const FRESH_MS = 30_000;

interface Kept {
  generation: number;
  bySource: Map<string, { atMs: number; reading: SignalReading }>;
}

export class SignalMetrics {
  readonly #nowMs: () => number;
  readonly #kept = new Map<string, Kept>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** The same source; what it finds is kept for the next rendering. */
  watch(source: SignalSource): SignalSource {
    const last = source.lookLast?.bind(source);
    return {
      name: source.name,
      metrics: source.metrics,
      look: async (subject, signal) => {
        const reading = await source.look(subject, signal);
        this.#keep(subject.replica, subject.generation, source.name, reading);
        return reading;
      },
      ...(last !== undefined && { lookLast: last }),
      close: () => source.close(),
    };
  }

  render(): string {
    const metrics = new MetricSet(SIGNAL_METRICS);
    const nowMs = this.#nowMs();
    for (const [replica, { bySource }] of this.#kept) {
      const fresh = [...bySource.values()].filter(({ atMs }) => nowMs - atMs < FRESH_MS);
      if (fresh.length === 0) this.#kept.delete(replica);
      // As for a diagnosis: of two sources that see the same, the later one counts.
      else write(metrics, replica, Object.assign({}, ...fresh.map(({ reading }) => reading)));
    }
    return metrics.render();
  }

  #keep(replica: string, generation: number, source: string, reading: SignalReading): void {
    let kept = this.#kept.get(replica);
    if (kept?.generation !== generation) {
      kept = { generation, bySource: new Map() };
      this.#kept.set(replica, kept);
    }
    kept.bySource.set(source, { atMs: this.#nowMs(), reading });
  }
}

function write(metrics: MetricSet, replica: string, reading: SignalReading): void {
  const labels = { model: poolOf(replica), deployment: replica };
  const set = (name: string, value: number | null | undefined, more: Record<string, string> = {}) => {
    if (value !== undefined && value !== null) metrics.set(name, { ...labels, ...more }, value);
  };
  const { processes, memoryLimitBytes, memoryUsedBytes, oomKills, gpus = [] } = reading;
  set('autoglm_replica_memory_limit_bytes', memoryLimitBytes);
  set('autoglm_replica_memory_used_bytes', memoryUsedBytes);
  set('autoglm_replica_oom_kills', oomKills);
  if (processes !== undefined) {
    const { missing, orphans, stopped = [], unexpected = [] } = processes;
    set('autoglm_replica_processes', processes.processCount);
    for (const [kind, found] of Object.entries({ missing, orphan: orphans, stopped, unexpected }))
      set('autoglm_replica_process_findings', found.length, { kind });
    set('autoglm_replica_resident_bytes', processes.rssBytes);
    set('autoglm_replica_cpu_cores', processes.treeCpuRatio);
    set('autoglm_replica_frontend_cpu_cores', processes.frontendCpuRatio);
    set('autoglm_replica_open_files', processes.openFiles);
  }
  for (const gpu of gpus) writeGpu(gpu, (name, value, more) => set(name, value, { gpu: gpu.id, ...more }));
}

function writeGpu(
  gpu: GpuFacts,
  set: (name: string, value: number | undefined, more?: Record<string, string>) => void,
): void {
  set('autoglm_replica_gpu_reachable', gpu.reachable ? 1 : 0);
  const memory = {
    total: gpu.totalBytes,
    used: gpu.usedBytes,
    free: gpu.freeBytes,
    reserved: gpu.reservedBytes,
    own: gpu.ownBytes,
    foreign: gpu.foreignBytes,
  };
  for (const [kind, bytes] of Object.entries(memory))
    set('autoglm_replica_gpu_memory_bytes', bytes, { kind });
  set('autoglm_replica_gpu_utilization_ratio', gpu.utilizationRatio);
  set('autoglm_replica_gpu_temperature_celsius', gpu.temperatureC);
  set('autoglm_replica_gpu_power_watts', gpu.powerW);
  set(
    'autoglm_replica_gpu_sm_clock_hertz',
    gpu.smClockMhz === undefined ? undefined : gpu.smClockMhz * 1_000_000,
  );
  set('autoglm_replica_gpu_throttled', gpu.throttled === undefined ? undefined : Number(gpu.throttled));
  set('autoglm_replica_gpu_uncorrected_errors', gpu.uncorrectedEccErrors);
  set('autoglm_replica_gpu_nvlink_errors', gpu.nvlinkErrors);
}
