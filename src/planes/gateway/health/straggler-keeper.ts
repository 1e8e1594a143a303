/**
 * Finds replicas that are slower than their peers (`decide/scheduling/health/stragglers.ts`), in a gateway's main thread, once a
 * second, and writes into the gates how much of their weight counts. Peers are replicas of one pool with the same engine and
 * the same configured weight: who is said to be smaller is not blamed for it.
 *
 * A straggler that is given nothing is not measured either: what was measured counts for a while only, and then it gets all of
 * its share until a few answers say how it is.
 */
import type { Clock } from '../../../base/clock.ts';
import type { ReplicaSpeed } from '../../../contract/control-protocol.ts';
import type { ReplicaView } from '../../../contract/fleet.ts';
import { stragglerShares } from '../../../decide/scheduling/health/stragglers.ts';
import type { SlottedSnapshot } from '../fleet-table.ts';
import type { ReplicaGates } from './replica-gates.ts';
import { STEP_KINDS, type StepKind, type StepTimes } from './step-times.ts';

export interface StragglerKeeperOptions {
  steps: StepTimes;
  gates: ReplicaGates;
  clock: Pick<Clock, 'monotonicMs'>;
  /** A replica became a straggler, or is none any more. */
  onChange(replica: string, speed: ReplicaSpeed): void;
}

interface Measured {
  /** Samples of the shared ring that are known. */
  seen: number;
  /** Newest first. */
  samples: { atMs: number; stepMs: number }[];
  /** Median; NaN: too little is known. */
  stepMs: number;
  share: number;
}

interface Kept {
  id: string;
  slot: number;
  generation: number;
  /** Of its peers. */
  group: string;
  ready: boolean;
  kinds: Record<StepKind, Measured>;
  share: number;
}

/** The median of the newest ones is what counts. */
const SAMPLES_MAX = 15;
const SAMPLES_MIN = 5;
const BELIEVED_MS = 30_000;

export class StragglerKeeper {
  readonly #options: StragglerKeeperOptions;
  /** By slot. */
  readonly #kept = new Map<number, Kept>();
  #isOn = true;

  constructor(options: StragglerKeeperOptions) {
    this.#options = options;
  }

  update({ snapshot, replicaSlots }: SlottedSnapshot): void {
    this.#isOn = snapshot.settings.stragglerWeights !== false;
    const gone = new Set(this.#kept.keys());
    for (const { model, replicas } of snapshot.fleet.pools) {
      for (const view of replicas) {
        const slot = replicaSlots[view.id];
        if (slot === undefined) continue;
        gone.delete(slot);
        this.#see(slot, view, model);
      }
    }
    for (const slot of gone) this.#kept.delete(slot);
    for (const slot of gone) this.#options.gates.setSpeedShare(slot, 1);
    if (!this.#isOn) for (const kept of this.#kept.values()) this.#set(kept, 1);
  }

  /** To be called about once a second. */
  tick(): void {
    if (!this.#isOn) return;
    const groups = new Map<string, Kept[]>();
    for (const kept of this.#kept.values()) {
      for (const kind of STEP_KINDS) this.#measure(kept, kind);
      if (!kept.ready) continue;
      const peers = groups.get(kept.group);
      if (peers === undefined) groups.set(kept.group, [kept]);
      else peers.push(kept);
    }
    for (const peers of groups.values()) {
      for (const kind of STEP_KINDS) compare(peers.map(({ kinds }) => kinds[kind]));
      for (const kept of peers)
        this.#set(kept, Math.min(...STEP_KINDS.map((kind) => kept.kinds[kind].share)));
    }
  }

  /** Of all that something is known of, by id. */
  speeds(): Record<string, ReplicaSpeed> {
    const known = [...this.#kept.values()].filter(
      ({ share, kinds }) => share < 1 || measured(kinds) !== null,
    );
    return Object.fromEntries(known.map((kept) => [kept.id, speedOf(kept)]));
  }

  #see(slot: number, { id, generation, engine, weight = 1, state }: ReplicaView, pool: string): void {
    const known = this.#kept.get(slot);
    const seen = {
      id,
      slot,
      generation,
      group: JSON.stringify([pool, engine, weight]),
      ready: state === 'ready',
    };
    if (known?.id === id && known.generation === generation) {
      Object.assign(known, seen);
      return;
    }
    // What was measured of another process says nothing.
    const kinds = Object.fromEntries(
      STEP_KINDS.map((kind): [StepKind, Measured] => [
        kind,
        { seen: this.#options.steps.count(slot, kind), samples: [], stepMs: Number.NaN, share: 1 },
      ]),
    ) as Kept['kinds'];
    this.#kept.set(slot, { ...seen, kinds, share: 1 });
    this.#options.gates.setSpeedShare(slot, 1);
  }

  #measure({ slot, kinds }: Kept, kind: StepKind): void {
    const { steps, clock } = this.#options;
    const measure = kinds[kind];
    const atMs = clock.monotonicMs();
    const fresh = steps.since(slot, kind, measure.seen).map((stepMs) => ({ atMs, stepMs }));
    measure.seen = steps.count(slot, kind);
    measure.samples = [...fresh, ...measure.samples]
      .slice(0, SAMPLES_MAX)
      .filter((sample) => atMs - sample.atMs <= BELIEVED_MS);
    measure.stepMs = measure.samples.length < SAMPLES_MIN ? Number.NaN : median(measure.samples);
  }

  #set(kept: Kept, share: number): void {
    const before = kept.share;
    if (share === before) return;
    kept.share = share;
    this.#options.gates.setSpeedShare(kept.slot, share);
    if (before === 1 || share === 1) this.#options.onChange(kept.id, speedOf(kept));
  }
}

function compare(peers: readonly Measured[]): void {
  const shares = Float64Array.from(peers, ({ share }) => share);
  const steps = Float64Array.from(peers, ({ stepMs }) => stepMs);
  stragglerShares(steps, peers.length, shares);
  for (const [index, peer] of peers.entries()) peer.share = shares[index]!;
}

function median(samples: readonly { stepMs: number }[]): number {
  const sorted = samples.map(({ stepMs }) => stepMs).sort((a, b) => a - b);
  return sorted[(sorted.length - 1) >> 1]!;
}

/** The kind that makes it a straggler, or that is known. */
function measured(kinds: Kept['kinds']): Measured | null {
  const known = STEP_KINDS.map((kind) => kinds[kind]).filter(({ stepMs }) => !Number.isNaN(stepMs));
  return known.toSorted((a, b) => a.share - b.share)[0] ?? null;
}

function speedOf({ kinds, share }: Kept): ReplicaSpeed {
  return { share, stepMs: measured(kinds)?.stepMs ?? null };
}
