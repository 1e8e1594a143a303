/**
 * Where the memory of GPUs and host is, and what to do about it, with numbers: who holds it, whether an engine grows and when it
 * reaches its limit, what belongs to strangers, what an allocator keeps without need. Called by `autoglm memory`.
 */
import type { EngineMemory, GpuMemory, MemoryHolder, MemoryReport } from '../../contract/memory-report.ts';
import type { GpuFacts } from '../../contract/signals.ts';
import type { Point } from './signals.ts';
import { trendOf } from './trend.ts';

export interface MemoryView {
  /** All of the machine, each with all that hold memory on it. */
  gpus: readonly (GpuFacts & { holders: readonly MemoryHolder[] })[];
  engines: readonly EngineView[];
  hostFreeBytes?: number;
  shmFreeBytes?: number;
  unavailable: readonly string[];
}

export interface EngineView {
  replica: string;
  engine: string;
  pid: number | null;
  /** Oldest first. */
  host: readonly Point[];
  gpu: readonly Point[];
  limitBytes?: number;
  allocator?: AllocatorState;
}

/** Of PyTorch: what its tensors need, and what it has taken from the driver for them. */
export interface AllocatorState {
  allocatedBytes: number;
  unusedBytes: number;
}

/** Growth is believed from so many points over so long on. */
const POINTS_MIN = 12;
const SPAN_MS_MIN = 55_000;
const DETERMINATION_MIN = 0.8;
/** Slower growth than this share of the level per hour, or these bytes, is noise. */
const GROWTH_SHARE_MIN = 0.005;
const GROWTH_BYTES_MIN = 64 * 2 ** 20;
const HOUR_MS = 3_600_000;
const HOURS_AHEAD_MAX = 24;
/** Contexts of CUDA that no process is named for take some hundred MiB. */
const UNACCOUNTED_BYTES_MIN = 1.5 * 2 ** 30;
const FREE_SHARE_MIN = 0.02;
const FOREIGN_BYTES_MIN = 64 * 2 ** 20;
const UNUSED_BYTES_MIN = 2 ** 30;
const UNUSED_SHARE_MIN = 0.15;
/** `/dev/shm` of a container that nobody gave more: tensor parallel engines end there. */
const SHM_BYTES_MIN = 64 * 2 ** 20;

export function analyseMemory(view: MemoryView): MemoryReport {
  const gpus = view.gpus.map(gpuMemory);
  const engines = view.engines.map(engineMemory);
  const { hostFreeBytes = null, shmFreeBytes = null } = view;
  return {
    gpus,
    engines,
    host: { freeBytes: hostFreeBytes, shmFreeBytes },
    advice: [
      ...gpus.flatMap(adviceOnGpu),
      ...engines.flatMap(adviceOnEngine),
      ...(shmFreeBytes !== null && shmFreeBytes < SHM_BYTES_MIN
        ? [
            `shared memory has ${gib(shmFreeBytes)} free; give a container more of it (--shm-size) before an engine with several processes is started`,
          ]
        : []),
    ],
    unavailable: view.unavailable,
  };
}

function gpuMemory(gpu: MemoryView['gpus'][number]): GpuMemory {
  const holders = gpu.holders.toSorted((a, b) => b.bytes - a.bytes);
  const sumOf = (list: readonly MemoryHolder[]) => list.reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    id: gpu.id,
    name: gpu.name ?? null,
    reachable: gpu.reachable,
    totalBytes: gpu.totalBytes ?? null,
    usedBytes: gpu.usedBytes ?? null,
    freeBytes: gpu.freeBytes ?? null,
    reservedBytes: gpu.reservedBytes ?? null,
    foreignBytes: sumOf(holders.filter(({ whose }) => whose === 'foreign')),
    unaccountedBytes: gpu.usedBytes === undefined ? null : Math.max(0, gpu.usedBytes - sumOf(holders)),
    holders,
  };
}

function engineMemory({ replica, engine, pid, host, gpu, limitBytes, allocator }: EngineView): EngineMemory {
  const hostGrowth = growthPerHour(host);
  const gpuGrowth = growthPerHour(gpu);
  const hostBytes = host.at(-1)?.value ?? null;
  const left = limitBytes === undefined || hostBytes === null ? null : limitBytes - hostBytes;
  return {
    replica,
    engine,
    pid,
    hostBytes,
    gpuBytes: gpu.at(-1)?.value ?? null,
    hostGrowthBytesPerHour: hostGrowth,
    gpuGrowthBytesPerHour: gpuGrowth,
    limitBytes: limitBytes ?? null,
    hoursToLimit: left === null || hostGrowth === null ? null : Math.max(0, left / hostGrowth),
    leakSuspected: hostGrowth !== null || gpuGrowth !== null,
    unusedReserveBytes: allocator?.unusedBytes ?? null,
  };
}

/** Null: too few points, or no steady growth. */
function growthPerHour(points: readonly Point[]): number | null {
  const spanMs = (points.at(-1)?.atMs ?? 0) - (points[0]?.atMs ?? 0);
  if (points.length < POINTS_MIN || spanMs < SPAN_MS_MIN) return null;
  const trend = trendOf(points);
  if (trend === undefined || trend.determination < DETERMINATION_MIN) return null;
  const perHour = trend.perMs * HOUR_MS;
  const level = points.at(-1)?.value ?? 0;
  return perHour > Math.max(GROWTH_BYTES_MIN, level * GROWTH_SHARE_MIN) ? perHour : null;
}

function adviceOnGpu(gpu: GpuMemory): string[] {
  if (!gpu.reachable) {
    return [
      `GPU ${gpu.id} cannot be reached; look into the kernel log for Xid errors, and move its engines elsewhere`,
    ];
  }
  const { id, totalBytes, freeBytes, unaccountedBytes, holders } = gpu;
  const texts: string[] = [];
  for (const { pid, name, bytes, replica } of holders.filter(({ whose }) => whose === 'orphan')) {
    texts.push(
      `pid ${pid} ${name}, left behind by a former start of ${replica ?? 'an engine'}, holds ${gib(bytes)} of GPU ${id}; end it before that engine is started again`,
    );
  }
  for (const { pid, name, bytes } of holders.filter(({ whose }) => whose === 'foreign')) {
    if (bytes < FOREIGN_BYTES_MIN) continue;
    texts.push(
      `pid ${pid} ${name} holds ${gib(bytes)} of GPU ${id} that is not ours; end it, or ${fitting(gpu)}`,
    );
  }
  if (unaccountedBytes !== null && unaccountedBytes >= UNACCOUNTED_BYTES_MIN) {
    texts.push(
      `${gib(unaccountedBytes)} of GPU ${id} is in use by processes that cannot be seen from here: of another container, or of a process that has just ended; look with nvidia-smi on the host`,
    );
  }
  if (totalBytes !== null && freeBytes !== null && freeBytes < totalBytes * FREE_SHARE_MIN) {
    texts.push(
      `GPU ${id} has ${gib(freeBytes)} of ${gib(totalBytes)} free; an engine that needs more while it serves will fail there: give it a smaller share (for vLLM, lower gpu_memory_utilization by 0.02)`,
    );
  }
  return texts;
}

/** The share of the GPU that is left beside strangers, as vLLM counts it: of the total. */
function fitting({ totalBytes, foreignBytes, unaccountedBytes, reservedBytes }: GpuMemory): string {
  const rest = 'start engines with a share of the GPU that fits beside it';
  if (totalBytes === null || totalBytes === 0) return rest;
  const left = totalBytes - foreignBytes - (unaccountedBytes ?? 0) - (reservedBytes ?? 0);
  const share = Math.floor((left / totalBytes) * 100 - 1) / 100;
  return share <= 0.05 ? 'use another GPU' : `${rest}: at most ${share.toFixed(2)} of it`;
}

function adviceOnEngine(engine: EngineMemory): string[] {
  const { replica, hostBytes, hostGrowthBytesPerHour, gpuGrowthBytesPerHour, limitBytes, hoursToLimit } =
    engine;
  const texts: string[] = [];
  if (hostGrowthBytesPerHour !== null) {
    const reaches =
      hoursToLimit !== null && hoursToLimit <= HOURS_AHEAD_MAX && limitBytes !== null
        ? ` and reaches its limit of ${gib(limitBytes)} in about ${span(hoursToLimit)}; restart it before that (\`autoglm restart ${replica}\`)`
        : '; watch it for longer (--for 600), and restart it before the host has none left';
    texts.push(
      `${replica} takes ${gib(hostGrowthBytesPerHour)} of host memory more per hour (now ${gib(hostBytes ?? 0)})${reaches}`,
    );
  }
  if (gpuGrowthBytesPerHour !== null) {
    texts.push(
      `${replica} takes ${gib(gpuGrowthBytesPerHour)} of GPU memory more per hour; engines take theirs when they start, so this looks like a leak`,
    );
  }
  const reserve = engine.unusedReserveBytes;
  const held = engine.gpuBytes ?? 0;
  if (reserve !== null && reserve >= UNUSED_BYTES_MIN && reserve >= held * UNUSED_SHARE_MIN) {
    texts.push(
      `the allocator of ${replica} keeps ${gib(reserve)} that it cannot use, which is fragmentation; set PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True in \`env\` of the model`,
    );
  }
  return texts;
}

/** The last words of PyTorch's allocator in a log, which it says only when memory was too little; null: it has said nothing. */
export function allocatorIn(lines: readonly string[]): AllocatorState | null {
  for (const line of lines.toReversed()) {
    const [, allocated, unit, unused, unusedUnit] =
      /([\d.]+) (GiB|MiB) is allocated by PyTorch, and ([\d.]+) (GiB|MiB) is reserved by PyTorch but unallocated/.exec(
        line,
      ) ?? [];
    if (allocated === undefined) continue;
    return { allocatedBytes: bytesOf(allocated, unit), unusedBytes: bytesOf(unused, unusedUnit) };
  }
  return null;
}

function bytesOf(number: string | undefined, unit: string | undefined): number {
  return Number(number) * 2 ** (unit === 'GiB' ? 30 : 20);
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

function span(hours: number): string {
  return hours < 1 ? `${Math.max(1, Math.round(hours * 60))} min` : `${hours.toFixed(1)} h`;
}
