/**
 * Whether replicas are at work: workers count that something of an answer came, the main thread notes when the count moved last.
 * A replica that works is busy and not ill, however late it is with health probes and new connections. Streams are looked at ten
 * times a second, not at each of their reads.
 */
import { REPLICA_SLOTS_MAX } from '../../../decide/scheduling/pick/replica-columns.ts';
import type { SlottedSnapshot } from '../fleet-table.ts';

export const PROGRESS_BYTES = REPLICA_SLOTS_MAX * 4;

export class ProgressCells {
  readonly #cells: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#cells = new Int32Array(memory);
  }

  /** Something of an answer came. */
  note(slot: number): void {
    Atomics.add(this.#cells, slot, 1);
  }

  /** Wraps. */
  count(slot: number): number {
    return Atomics.load(this.#cells, slot);
  }
}

export class ProgressWatch {
  readonly #cells: ProgressCells;
  readonly #clock: { monotonicMs(): number };
  /** By slot; `movedMs` null: not since it is known. */
  readonly #seen = new Map<number, { id: string; count: number; movedMs: number | null }>();

  constructor(memory: SharedArrayBuffer, clock: { monotonicMs(): number }) {
    this.#cells = new ProgressCells(memory);
    this.#clock = clock;
  }

  update({ snapshot, replicaSlots }: SlottedSnapshot): void {
    const gone = new Set(this.#seen.keys());
    for (const { id } of snapshot.fleet.pools.flatMap(({ replicas }) => replicas)) {
      const slot = replicaSlots[id];
      if (slot === undefined) continue;
      gone.delete(slot);
      if (this.#seen.get(slot)?.id === id) continue;
      this.#seen.set(slot, { id, count: this.#cells.count(slot), movedMs: null });
    }
    for (const slot of gone) this.#seen.delete(slot);
  }

  /** To be called a few times a second. */
  tick(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [slot, seen] of this.#seen) {
      const count = this.#cells.count(slot);
      if (count === seen.count) continue;
      seen.count = count;
      seen.movedMs = nowMs;
    }
  }

  /** Milliseconds since anything came, as of the last tick; Infinity: not known. */
  sinceMs(slot: number): number {
    const movedMs = this.#seen.get(slot)?.movedMs ?? null;
    return movedMs === null ? Number.POSITIVE_INFINITY : this.#clock.monotonicMs() - movedMs;
  }

  /** By id, of those that something is known of. */
  all(): Record<string, number> {
    this.tick();
    const known = [...this.#seen].filter(([, { movedMs }]) => movedMs !== null);
    return Object.fromEntries(known.map(([slot, { id }]) => [id, Math.round(this.sinceMs(slot))]));
  }
}
