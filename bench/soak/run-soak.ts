/**
 * One soak: the whole system on three simulated replicas under steady load, one of them killed with SIGKILL every 15 seconds,
 * the next one in turn. What it says is in `figures.ts`; what stops it from being trusted (a kill that met nobody, a heap
 * that was not read) is thrown.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import {
  killQuietly,
  type SystemUnderTest,
  simulatorPool,
  startSystem,
} from '../../tests/support/system-under-test.ts';
import { residentMb } from '../cpu-time.ts';
import { type CountSample, figuresOf, growths, HEAP_SLOPE_MAX, type ProcessFigures } from './figures.ts';
import { installHeapProbe, readHeapSamples } from './heap-probe.ts';
import { type LaneCounts, startLoad } from './lanes.ts';

export interface SoakOptions {
  minutes: number;
  /** Of these, not measured. */
  warmUpMinutes: number;
  /** Times the nominal load of 20 requests a second. */
  factor: number;
  /** MB a minute that a heap may grow. Default 0.5. */
  heapSlopeMax?: number;
  /** Into the gateway, to see whether it is noticed. Default 0. */
  leakMbPerMinute?: number;
  onProgress?(line: string): void;
}

export interface SoakResult {
  options: Omit<SoakOptions, 'onProgress'>;
  load: Record<string, LaneCounts>;
  kills: number;
  /** Kills that were left out because no other replica was ready. */
  killsLeftOut: number;
  /** Of the supervisor, over all replicas. */
  restarts: number;
  processes: ProcessFigures[];
  /** What must not be; empty: passed. */
  problems: string[];
}

const KILL_EVERY_MS = 15_000;
const SAMPLE_MS = 5_000;
const REPLICAS = 3;

export async function runSoak(options: SoakOptions): Promise<SoakResult> {
  const { minutes, warmUpMinutes, factor, leakMbPerMinute = 0, onProgress = () => {} } = options;
  const { heapSlopeMax = HEAP_SLOPE_MAX } = options;
  const system = await startSystem({ models: [simulatorPool('sim', REPLICAS)] });
  try {
    const load = startLoad(system.v1(), factor);
    const startMs = Date.now();
    const watched = await watch(system, leakMbPerMinute);
    const kills = startKills(system);
    const report = setInterval(() => {
      const all = Object.values(load.counts);
      const sum = (pick: (count: LaneCounts) => number) =>
        all.reduce((total, count) => total + pick(count), 0);
      onProgress(
        `${((Date.now() - startMs) / 60_000).toFixed(1)} min: ${sum(({ sent }) => sent)} sent, ` +
          `${sum(({ failures }) => failures.length)} failed, ${kills.count} kills`,
      );
    }, 60_000);
    try {
      await new Promise((wake) => setTimeout(wake, startMs + minutes * 60_000 - Date.now()));
    } finally {
      clearInterval(report);
      watched.stop();
      await kills.stop();
      await load.stop();
    }
    const processes = watched.figures(startMs + warmUpMinutes * 60_000);
    const status = await system.until(({ pools }) => pools[0]?.ready === REPLICAS, 30_000);
    const restarts = (status.pools[0]?.replicas ?? []).reduce((sum, replica) => sum + replica.restarts, 0);
    const lost = Object.entries(load.counts).flatMap(([lane, { failures, sent }]) =>
      failures.length === 0 ? [] : [`${lane}: ${failures.length} of ${sent} lost, such as ${failures[0]}`],
    );
    if (kills.count === 0) throw new Error('nothing was killed: the soak says nothing');
    return {
      options: { minutes, warmUpMinutes, factor, heapSlopeMax, leakMbPerMinute },
      load: load.counts,
      kills: kills.count,
      killsLeftOut: kills.leftOut,
      restarts,
      processes,
      problems: [
        ...lost,
        ...processes.flatMap((figures) =>
          growths(figures, { minutes: minutes - warmUpMinutes, heapSlopeMax }),
        ),
      ],
    };
  } finally {
    await system.stop();
  }
}

interface Kills {
  readonly count: number;
  readonly leftOut: number;
  stop(): Promise<void>;
}

function startKills(system: SystemUnderTest): Kills {
  const state = { count: 0, leftOut: 0 };
  let running: Promise<void> = Promise.resolve();
  const kill = async () => {
    const replicas = (await system.status()).pools[0]?.replicas ?? [];
    const victim = replicas[(state.count + state.leftOut) % REPLICAS];
    const othersReady = replicas.some((replica) => replica !== victim && replica.state === 'ready');
    if (victim?.pid && victim.state === 'ready' && othersReady) {
      state.count++;
      killQuietly(victim.pid);
    } else state.leftOut++;
  };
  const timer = setInterval(() => {
    running = kill();
  }, KILL_EVERY_MS);
  return {
    get count() {
      return state.count;
    },
    get leftOut() {
      return state.leftOut;
    },
    stop: async () => {
      clearInterval(timer);
      await running;
    },
  };
}

/** Of the gateway and the node process: neither is replaced meanwhile. */
async function watch(system: SystemUnderTest, leakMbPerMinute: number) {
  const { gateways, node } = await system.status();
  const pids = { gateway: gateways[0]?.pid ?? 0, node: node.pid };
  const file = join(system.directory, 'heaps.jsonl');
  const probe = { file, intervalMs: SAMPLE_MS };
  // One after the other: they share the inspector's port.
  await installHeapProbe({ ...probe, pid: pids.gateway, leakMbPerMinute });
  await installHeapProbe({ ...probe, pid: pids.node });
  const counts: CountSample[] = [];
  const timer = setInterval(() => {
    for (const pid of Object.values(pids)) counts.push(countsOf(pid));
  }, SAMPLE_MS);
  return {
    stop: () => clearInterval(timer),
    figures: (fromMs: number) =>
      Object.entries(pids).map(([name, pid]) => {
        const samples = {
          heaps: readHeapSamples(file, pid),
          counts: counts.filter((sample) => sample.pid === pid),
        };
        return figuresOf(name, samples, fromMs);
      }),
  };
}

function countsOf(pid: number): CountSample {
  const targets = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      // Closed since it was listed.
      return '';
    }
  });
  const fds = targets.filter((target) => target !== '');
  return {
    atMs: Date.now(),
    pid,
    fds: fds.length,
    sockets: fds.filter((target) => target.startsWith('socket:')).length,
    residentMb: residentMb([pid]),
  };
}
