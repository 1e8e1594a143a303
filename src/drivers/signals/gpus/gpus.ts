/**
 * Source of signals: the GPUs of an engine, from nvidia-smi on this machine and from a DCGM exporter where the model names one
 * (`gpu_metrics_url`); what nvidia-smi does not say is taken from the exporter. An engine is told of its own GPUs only: a GPU that
 * another engine has lost is no fault of this one.
 */
import type { SignalSource, SignalSubject } from '../../../contract/ports/signal-source.ts';
import type { GpuFacts, SignalReading } from '../../../contract/signals.ts';
import { shortPci } from '../kernel-log/kernel-lines.ts';
import type { ProcessTable } from '../process-tree/process-table.ts';
import { treeOf } from '../process-tree/tree-of.ts';
import type { DcgmExporter } from './dcgm-exporter.ts';
import type { GpuApp } from './gpu-query.ts';
import type { NvidiaSmi, SeenGpus } from './nvidia-smi.ts';

export interface GpuSourceOptions {
  table: ProcessTable;
  nvidiaSmi: NvidiaSmi;
  dcgm: DcgmExporter;
  /** Whether the process ids of the driver are ours: false in a container with its own. Default: true. */
  samePids?: boolean;
  /** Newest Xid since the start of the engine, by address of the GPU. Default: none is known. */
  xidsSince?: (subject: SignalSubject) => ReadonlyMap<string, number>;
}

/** Engines that compute on GPUs unless something says otherwise; of others only GPUs that they hold memory on are theirs. */
const USE_GPUS: ReadonlySet<string> = new Set(['vllm', 'sglang', 'tgi', 'triton']);
/** What the engine may see of GPUs; CUDA's own variable goes first. */
const VISIBLE_VARIABLES = ['CUDA_VISIBLE_DEVICES', 'NVIDIA_VISIBLE_DEVICES'];
const PROCESSES_MAX = 32;

interface Memory {
  generation: number;
  /** UUIDs of GPUs on which the engine was seen to hold memory. */
  held: Set<string>;
  visible: readonly string[] | null;
  pciBusIds: readonly string[] | null;
  /** Of the exporter at the first look, by its id: older than the engine. */
  xidsBefore: ReadonlyMap<string, number> | null;
}

export class GpuSource implements SignalSource {
  readonly name = 'gpus';
  readonly metrics = ['gpu_memory', 'gpu_utilization', 'gpu_health'] as const;
  readonly #options: GpuSourceOptions;
  readonly #memories = new Map<string, Memory>();

  constructor(options: GpuSourceOptions) {
    this.#options = options;
  }

  async look(subject: SignalSubject, signal: AbortSignal): Promise<SignalReading> {
    const memory = await this.#memoryOf(subject);
    const [seen, exported] = await Promise.all([
      subject.process === null ? null : this.#options.nvidiaSmi.read(signal),
      this.#exported(subject, memory),
    ]);
    const own = seen === null ? [] : await this.#ownGpus(seen, subject, memory);
    const gpus = merged(own, exported.gpus);
    memory.pciBusIds = gpus.length === 0 ? memory.pciBusIds : gpus.flatMap(({ pciBusId }) => pciBusId ?? []);
    const xids = this.#options.xidsSince?.(subject) ?? new Map<string, number>();
    const problems = [
      ...(seen?.problem === null || seen === null
        ? []
        : [`GPUs: ${seen.problem}; the rest works without it`]),
      ...exported.problems,
    ];
    return {
      ...(gpus.length > 0 && { gpus: gpus.map((gpu) => withXid(gpu, xids)) }),
      ...(problems.length > 0 && { unavailable: problems }),
    };
  }

  close(): void {
    this.#memories.clear();
  }

  /** Memory of all GPUs by pid, as it was last seen. */
  bytesByPid(): ReadonlyMap<number, number> {
    const bytes = new Map<number, number>();
    for (const app of this.#options.nvidiaSmi.latest?.apps ?? [])
      bytes.set(app.pid, (bytes.get(app.pid) ?? 0) + app.bytes);
    return bytes;
  }

  /** Addresses of the GPUs that the engine was last seen to use; null: not known. */
  pciBusIdsOf({ replica, generation }: SignalSubject): readonly string[] | null {
    const memory = this.#memories.get(replica);
    return memory?.generation === generation ? memory.pciBusIds : null;
  }

  async #memoryOf(subject: SignalSubject): Promise<Memory> {
    const { replica, generation } = subject;
    const known = this.#memories.get(replica);
    if (known?.generation === generation) return known;
    const memory: Memory = {
      generation,
      held: new Set(),
      visible: await this.#visibleTo(subject),
      pciBusIds: null,
      xidsBefore: null,
    };
    this.#memories.set(replica, memory);
    return memory;
  }

  /** Null: nothing restricts it, or that cannot be read. */
  async #visibleTo(subject: SignalSubject): Promise<string[] | null> {
    if (subject.process === null) return null;
    const { table } = this.#options;
    const { main } = treeOf(await table.read(), subject);
    if (main === undefined) return null;
    for (const variable of VISIBLE_VARIABLES) {
      const value = table.variableOf(main.pid, variable);
      // Parts of a GPU (MIG) have names of their own, which say nothing of the GPU.
      if (value === undefined || value === 'all' || value.includes('MIG-')) continue;
      return value
        .split(',')
        .map((entry) => entry.trim())
        .filter((entry) => entry !== '' && entry !== 'none' && entry !== 'void' && entry !== '-1');
    }
    return null;
  }

  async #ownGpus({ rows, apps }: SeenGpus, subject: SignalSubject, memory: Memory): Promise<GpuFacts[]> {
    const snapshot = await this.#options.table.read();
    // Elsewhere than on Linux nobody says whose a process is.
    const samePids = this.#options.samePids !== false && snapshot.byPid.size > 0;
    const { members } = treeOf(snapshot, subject);
    const [instance = ''] = subject.ownerPrefix.split(':');
    const isOwn = ({ pid }: GpuApp) => members.has(pid);
    const isForeign = ({ pid }: GpuApp) =>
      !members.has(pid) && snapshot.byPid.get(pid)?.owner?.startsWith(`${instance}:`) !== true;
    for (const app of apps) if (samePids && isOwn(app)) memory.held.add(app.gpuUuid);
    return rows
      .filter(({ id, uuid }) => usesGpu(subject.engine, memory, id, uuid))
      .map(({ driverVersion: _, ...row }) => {
        const holders = apps.filter(({ gpuUuid }) => gpuUuid === row.uuid);
        return {
          ...row,
          ...(samePids && { ownBytes: bytesOf(holders.filter(isOwn)) }),
          ...(samePids && { foreignBytes: bytesOf(holders.filter(isForeign)) }),
          processes: holders.slice(0, PROCESSES_MAX).map(({ pid, name, bytes }) => ({ pid, name, bytes })),
        };
      });
  }

  async #exported(
    subject: SignalSubject,
    memory: Memory,
  ): Promise<{ gpus: readonly GpuFacts[]; problems: string[] }> {
    const url = exporterUrl(subject);
    if (url === null) return { gpus: [], problems: [] };
    const exported = await this.#options.dcgm.read(url);
    if (exported === null) {
      return {
        gpus: [],
        problems: [`GPUs: the exporter at ${withoutUser(url)} does not answer; the rest works without it`],
      };
    }
    memory.xidsBefore ??= exported.xids;
    const { xidsBefore } = memory;
    const gpus = exported.gpus.map((gpu) => {
      const xid = exported.xids.get(gpu.id) ?? 0;
      return xid > 0 && xid !== xidsBefore.get(gpu.id) ? { ...gpu, xid } : gpu;
    });
    return { gpus, problems: [] };
  }
}

/** Those that it holds memory on are surely its own; else those that it may see; else all, for an engine that needs some. */
function usesGpu(engine: string, { held, visible }: Memory, id: string, uuid: string | undefined): boolean {
  if (held.size > 0) return uuid !== undefined && held.has(uuid);
  if (visible !== null) return visible.some((entry) => entry === id || uuid?.startsWith(entry) === true);
  return USE_GPUS.has(engine);
}

/** With only an exporter, all that it publishes are the engine's, as the configuration says. */
function merged(own: readonly GpuFacts[], exported: readonly GpuFacts[]): GpuFacts[] {
  if (own.length === 0) return [...exported];
  return own.map((gpu) => {
    const same = exported.find(({ uuid, id }) =>
      uuid !== undefined && gpu.uuid !== undefined ? uuid === gpu.uuid : id === gpu.id,
    );
    return same === undefined ? gpu : { ...same, ...gpu };
  });
}

function withXid(gpu: GpuFacts, xids: ReadonlyMap<string, number>): GpuFacts {
  const xid = gpu.pciBusId === undefined ? undefined : xids.get(shortPci(gpu.pciBusId));
  return xid === undefined ? gpu : { ...gpu, xid };
}

function bytesOf(apps: readonly GpuApp[]): number {
  return apps.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** `{host}` and `{port}` are those of the engine. Null: there is none, or the engine has no address yet. */
function exporterUrl({ gpuMetricsUrl, url }: SignalSubject): string | null {
  if (gpuMetricsUrl === undefined) return null;
  if (!/\{(host|port)\}/.test(gpuMetricsUrl)) return gpuMetricsUrl;
  if (url === null) return null;
  const { hostname, port } = new URL(url);
  return gpuMetricsUrl.replaceAll('{host}', hostname).replaceAll('{port}', port);
}

function withoutUser(url: string): string {
  return url.replace(/\/\/[^/@]*@/, '//');
}
