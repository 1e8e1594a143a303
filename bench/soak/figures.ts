/** What a soak says about each process: figures over time as trends, and which of them grow. Pure. */
import type { HeapSample } from './heap-probe.ts';
import { type Point, type Trend, trendOf } from './trend.ts';

/** MB a minute that a heap may grow. */
export const HEAP_SLOPE_MAX = 0.5;
/** Share by which descriptors, sockets and what keeps loops alive may grow over the whole measurement. */
const GROWTH_RATIO_MAX = 0.02;
/** And so many whatever the share: of ten descriptors one is ten percent. */
const GROWTH_COUNT_MAX = 2;
const MB = 1024 * 1024;

export interface CountSample {
  atMs: number;
  pid: number;
  fds: number;
  sockets: number;
  residentMb: number;
}

export interface ProcessFigures {
  name: string;
  /** All threads, after a collection, MB. */
  heapMb: Trend;
  /** What buffers hold outside of the heaps, MB. */
  externalMb: Trend;
  residentMb: Trend;
  fds: Trend;
  sockets: Trend;
  /** Timers and the like of all threads, by kind. */
  resources: Record<string, Trend>;
}

export interface Samples {
  heaps: readonly HeapSample[];
  counts: readonly CountSample[];
}

/** @param fromMs what came before is warming up. */
export function figuresOf(name: string, { heaps, counts }: Samples, fromMs: number): ProcessFigures {
  const minutes = (atMs: number) => (atMs - fromMs) / 60_000;
  const measured = counts.filter(({ atMs }) => atMs >= fromMs);
  const counted = (pick: (sample: CountSample) => number) =>
    trendOf(measured.map((sample) => ({ atMinutes: minutes(sample.atMs), value: pick(sample) })));
  const rounds = byRound(heaps).filter(([{ atMs }]) => atMs >= fromMs);
  const summed = (pick: (sample: HeapSample) => number) =>
    trendOf(
      rounds.map(
        (round): Point => ({
          atMinutes: minutes(round[0].atMs),
          value: round.reduce((sum, sample) => sum + pick(sample), 0),
        }),
      ),
    );
  const kinds = new Set(rounds.flatMap((round) => round.flatMap(({ resources }) => Object.keys(resources))));
  return {
    name,
    heapMb: summed(({ heapBytes }) => heapBytes / MB),
    externalMb: summed(({ externalBytes }) => externalBytes / MB),
    residentMb: counted(({ residentMb }) => residentMb),
    fds: counted(({ fds }) => fds),
    sockets: counted(({ sockets }) => sockets),
    resources: Object.fromEntries(
      [...kinds].sort().map((kind) => [kind, summed(({ resources }) => resources[kind] ?? 0)]),
    ),
  };
}

/** For each sample of the first thread, the newest of every other until then. */
function byRound(heaps: readonly HeapSample[]): [HeapSample, ...HeapSample[]][] {
  const sorted = [...heaps].sort((a, b) => a.atMs - b.atMs);
  const threads = new Set(heaps.map(({ thread }) => thread));
  const newest = new Map<number, HeapSample>();
  const rounds: [HeapSample, ...HeapSample[]][] = [];
  for (const sample of sorted) {
    newest.set(sample.thread, sample);
    const others = [...newest.values()].filter(({ thread }) => thread !== sample.thread);
    if (sample.thread === 0 && newest.size === threads.size) rounds.push([sample, ...others]);
  }
  return rounds;
}

/** What grows beyond chance: the lower end of the interval is above what may be. */
export function growths(
  { name, ...figures }: ProcessFigures,
  { minutes, heapSlopeMax }: { minutes: number; heapSlopeMax: number },
): string[] {
  const found: string[] = [];
  for (const [what, trend] of [
    ['heap', figures.heapMb],
    ['memory outside of the heap', figures.externalMb],
  ] as const) {
    if (trend.low > heapSlopeMax)
      found.push(`${name}: ${what} grows by ${interval(trend)} MB a minute; ${heapSlopeMax} is the most`);
  }
  const counts = { descriptors: figures.fds, sockets: figures.sockets, ...figures.resources };
  for (const [what, trend] of Object.entries(counts)) {
    const most = Math.max(GROWTH_COUNT_MAX, trend.first * GROWTH_RATIO_MAX);
    if (trend.low * minutes > most)
      found.push(`${name}: ${what} grow by ${interval(trend)} a minute, from ${trend.first.toFixed(1)}`);
  }
  return found;
}

export function interval({ slope, low, high }: Trend): string {
  return `${slope.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}
