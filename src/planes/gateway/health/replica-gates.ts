/**
 * What the breaker says of each replica, in memory that all threads of a gateway share: the main thread decides and writes
 * (health-keeper.ts), workers read it before each choice, and take the one probe that a half-open replica is given.
 *
 * Four 32-bit cells per slot: gate, with RESERVED added while a request is tried alone there | how much less than all it gets, in
 * thousandths | whether answers that went well are to be reported | how much less of its weight counts because it is slower than
 * its peers, in thousandths. Zeros are a replica that is well.
 */
import { REPLICA_SLOTS_MAX } from '../../../decide/scheduling/pick/replica-columns.ts';

const CELLS = 4;
export const GATE_BYTES = REPLICA_SLOTS_MAX * CELLS * 4;
const OPEN = 0;
const CLOSED = 1;
const PROBE = 2;
const PROBING = 3;
const RESERVED = 8;

export type Gate = 'open' | 'closed' | 'probe' | 'probing';
const CODES: Record<Gate, number> = { open: OPEN, closed: CLOSED, probe: PROBE, probing: PROBING };

export class ReplicaGates {
  readonly #cells: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#cells = new Int32Array(memory);
  }

  /** Requests may go there, or one that is to show whether it is well again. */
  isClosed(slot: number): boolean {
    const gate = Atomics.load(this.#cells, slot * CELLS);
    return gate === CLOSED || gate >= PROBING;
  }

  wantsProbe(slot: number): boolean {
    return Atomics.load(this.#cells, slot * CELLS) === PROBE;
  }

  /** False: another was faster, or it wants none any more. */
  tryTakeProbe(slot: number): boolean {
    return Atomics.compareExchange(this.#cells, slot * CELLS, PROBE, PROBING) === PROBE;
  }

  /** 0 to 1: how much of its window and weight counts. */
  share(slot: number): number {
    return 1 - Atomics.load(this.#cells, slot * CELLS + 1) / 1_000;
  }

  /** 0 to 1: how much of its weight counts by its speed against its peers. */
  speedShare(slot: number): number {
    return 1 - Atomics.load(this.#cells, slot * CELLS + 3) / 1_000;
  }

  setSpeedShare(slot: number, share: number): void {
    Atomics.store(this.#cells, slot * CELLS + 3, Math.round((1 - share) * 1_000));
  }

  /** Whether it matters that an attempt went well. */
  reportsSuccess(slot: number): boolean {
    return Atomics.load(this.#cells, slot * CELLS + 2) !== 0;
  }

  set(slot: number, { gate, share, reportsSuccess }: { gate: Gate; share: number; reportsSuccess: boolean }) {
    Atomics.store(this.#cells, slot * CELLS + 1, Math.round((1 - share) * 1_000));
    Atomics.store(this.#cells, slot * CELLS + 2, reportsSuccess ? 1 : 0);
    const reserved = Atomics.load(this.#cells, slot * CELLS) & RESERVED;
    Atomics.store(this.#cells, slot * CELLS, CODES[gate] | reserved);
  }

  /** Closes the replica to all but the one request that is tried alone there. By the main thread only, as `set`. */
  reserve(slot: number, reserved: boolean): void {
    if (reserved) Atomics.or(this.#cells, slot * CELLS, RESERVED);
    else Atomics.and(this.#cells, slot * CELLS, ~RESERVED);
  }
}
