/**
 * Reads the GPU telemetry of the replicas that have an exporter, every few seconds, in a gateway's main thread. A replica whose
 * exporter is silent for a while counts as one of which nothing is known.
 */
import type { Clock } from '../../../base/clock.ts';
import type { GpuGauges } from '../../../wire/prometheus/gpu-gauges.ts';
import type { SlottedSnapshot } from '../fleet-table.ts';
import type { GaugeCells } from './gauge-cells.ts';

const UNKNOWN: GpuGauges = { gpuLoad: Number.NaN, memoryUsage: Number.NaN };
/** What was read is believed for so long. */
const STALE_MS = 10_000;

export interface GaugeKeeperOptions {
  cells: GaugeCells;
  clock: Pick<Clock, 'monotonicMs'>;
  /** Null: it did not answer, in time or at all. */
  read(url: string): Promise<GpuGauges | null>;
}

interface Watched {
  url: string;
  readMs: number;
  isBeingRead: boolean;
}

export class GaugeKeeper {
  readonly #options: GaugeKeeperOptions;
  /** By slot. */
  readonly #watched = new Map<number, Watched>();

  constructor(options: GaugeKeeperOptions) {
    this.#options = options;
  }

  update({ snapshot, replicaSlots }: SlottedSnapshot): void {
    const gone = new Set(this.#watched.keys());
    for (const { id, gpuMetricsUrl } of snapshot.fleet.pools.flatMap(({ replicas }) => replicas)) {
      const slot = replicaSlots[id];
      if (slot === undefined || gpuMetricsUrl === undefined) continue;
      gone.delete(slot);
      if (this.#watched.get(slot)?.url === gpuMetricsUrl) continue;
      this.#options.cells.set(slot, UNKNOWN);
      this.#watched.set(slot, { url: gpuMetricsUrl, readMs: this.#now(), isBeingRead: false });
    }
    for (const slot of gone) {
      this.#watched.delete(slot);
      this.#options.cells.set(slot, UNKNOWN);
    }
  }

  /** To be called every few seconds. Resolves when all have answered. */
  async poll(): Promise<void> {
    await Promise.all([...this.#watched].map(([slot, watched]) => this.#read(slot, watched)));
  }

  async #read(slot: number, watched: Watched): Promise<void> {
    if (watched.isBeingRead) return;
    watched.isBeingRead = true;
    const gauges = await this.#options.read(watched.url);
    watched.isBeingRead = false;
    // Another replica may have the slot by now.
    if (this.#watched.get(slot) !== watched) return;
    if (gauges !== null) {
      watched.readMs = this.#now();
      this.#options.cells.set(slot, gauges);
    } else if (this.#now() - watched.readMs > STALE_MS) {
      this.#options.cells.set(slot, UNKNOWN);
    }
  }

  #now(): number {
    return this.#options.clock.monotonicMs();
  }
}
