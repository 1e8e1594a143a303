/**
 * How long replicas need for a token, in memory that all threads of a gateway share: workers add what answers took, the main
 * thread reads what is new (straggler-keeper.ts). Streams are measured from their first token on; whole answers hold their prompt
 * too, so the two are never compared.
 *
 * 32-bit cells per slot and kind: number of samples ever, then a ring of the newest ones in microseconds.
 */
import type { GatewaySettings } from '../../../contract/gateway-snapshot.ts';
import { REPLICA_SLOTS_MAX } from '../../../decide/scheduling/pick/replica-columns.ts';
import type { FleetTable } from '../fleet-table.ts';

export const STEP_KINDS = ['stream', 'whole'] as const;
export type StepKind = (typeof STEP_KINDS)[number];

const RING = 15;
const CELLS = 1 + RING;
export const STEP_BYTES = REPLICA_SLOTS_MAX * STEP_KINDS.length * CELLS * 4;
/** A shorter answer says more about chance than about its engine. */
const TOKENS_MIN = 8;
/** With fewer replicas there are no peers to compare with. */
const POOL_MIN = 3;
/** What fits a cell: half an hour. */
const STEP_MS_MAX = 1_800_000;

export class StepTimes {
  readonly #cells: Int32Array;
  /** By slot, as the calling worker knows the fleet. */
  readonly #watched = new Uint8Array(REPLICA_SLOTS_MAX);

  constructor(memory: SharedArrayBuffer) {
    this.#cells = new Int32Array(memory);
  }

  update({ pools }: FleetTable, { stragglerWeights }: GatewaySettings): void {
    this.#watched.fill(0);
    if (stragglerWeights === false) return;
    for (const { replicas } of pools)
      if (replicas.length >= POOL_MIN) for (const { slot } of replicas) this.#watched[slot] = 1;
  }

  /** Whether anybody wants to know how fast the replica is. */
  watches(slot: number): boolean {
    return this.#watched[slot] === 1;
  }

  add(slot: number, kind: StepKind, { ms, tokens }: { ms: number; tokens: number }): void {
    if (tokens < TOKENS_MIN || !(ms > 0)) return;
    const cell = cellOf(slot, kind);
    const place = Atomics.add(this.#cells, cell, 1);
    const stepMs = Math.min(STEP_MS_MAX, ms / tokens);
    Atomics.store(this.#cells, cell + 1 + ((place >>> 0) % RING), Math.max(1, Math.round(stepMs * 1_000)));
  }

  /** Samples ever; wraps. */
  count(slot: number, kind: StepKind): number {
    return Atomics.load(this.#cells, cellOf(slot, kind));
  }

  /** Those that came after `seen`, ms; at most a ring of them. */
  since(slot: number, kind: StepKind, seen: number): number[] {
    const cell = cellOf(slot, kind);
    const count = Atomics.load(this.#cells, cell);
    const fresh = Math.min(RING, (count - seen) | 0);
    return Array.from({ length: Math.max(0, fresh) }, (_, back) => {
      return Atomics.load(this.#cells, cell + 1 + (((count - 1 - back) >>> 0) % RING)) / 1_000;
    });
  }
}

function cellOf(slot: number, kind: StepKind): number {
  return (slot * STEP_KINDS.length + STEP_KINDS.indexOf(kind)) * CELLS;
}
