/**
 * The gateway's view of the fleet: pools by every name that clients may use, and for each replica its slot in the shared
 * state. Rebuilt from each snapshot, never changed.
 */
import type { FleetSnapshot, PoolView, ReplicaView } from '../../contract/fleet.ts';
import type { GatewaySnapshot } from '../../contract/gateway-snapshot.ts';

export interface ReplicaEntry {
  view: ReplicaView;
  slot: number;
}

export interface PoolEntry {
  view: PoolView;
  /** Place of the pool in the shared queue counts. */
  index: number;
  replicas: ReplicaEntry[];
  /** Set on what `find` gives for the name of an adapter: the same pool, seen through the adapter. */
  adapter?: string;
}

/** A snapshot with the slots that the gateway's main thread assigned. */
export interface SlottedSnapshot {
  snapshot: GatewaySnapshot;
  /** By replica id. */
  replicaSlots: Record<string, number>;
  /** By pool name. */
  poolSlots: Record<string, number>;
}

export class FleetTable {
  readonly pools: readonly PoolEntry[];
  readonly #byName = new Map<string, PoolEntry>();
  readonly #byReplica = new Map<string, PoolEntry>();

  constructor(fleet: FleetSnapshot, slots: Pick<SlottedSnapshot, 'replicaSlots' | 'poolSlots'>) {
    this.pools = fleet.pools.map((view) => ({
      view,
      index: slots.poolSlots[view.model] ?? 0,
      replicas: view.replicas.flatMap((replica) => {
        const slot = slots.replicaSlots[replica.id];
        return slot === undefined ? [] : [{ view: replica, slot }];
      }),
    }));
    for (const pool of this.pools) {
      for (const { view } of pool.replicas) this.#byReplica.set(view.id, pool);
      if (pool.view.leaving) continue;
      this.#byName.set(pool.view.model, pool);
      for (const alias of pool.view.aliases) this.#byName.set(alias, pool);
      for (const name of pool.view.adapters ?? []) this.#byName.set(name, through(pool, name));
    }
  }

  /** Pools that clients may name. */
  get served(): PoolEntry[] {
    return this.pools.filter(({ view }) => view.leaving !== true);
  }

  find(name: string): PoolEntry | undefined {
    return this.#byName.get(name);
  }

  poolOf(replicaId: string): PoolEntry | undefined {
    return this.#byReplica.get(replicaId);
  }

  get names(): string[] {
    return [...this.#byName.keys()];
  }
}

/**
 * The pool as requests for one adapter see it: the engine knows the model by the adapter's name, and a ready replica that has
 * not loaded it is one that is still starting. Slots and queue are those of the pool, so limits hold for all its names together.
 */
function through(pool: PoolEntry, adapter: string): PoolEntry {
  return {
    ...pool,
    adapter,
    replicas: pool.replicas.map(({ view, slot }) => {
      const loaded = view.adapters?.find(({ name }) => name === adapter);
      if (loaded === undefined)
        return { slot, view: { ...view, state: view.state === 'ready' ? 'starting' : view.state } };
      const { servedModel, fields = {} } = loaded;
      return { slot, view: { ...view, servedModel, fields } };
    }),
  };
}

/** One life of a replica: what failed under one generation may be well under the next. */
export function runOf({ id, generation }: ReplicaView): string {
  return `${id}@${generation}`;
}

/** The name that stays with a request, whatever becomes of the alias that it used. */
export function poolName({ view, adapter }: PoolEntry): string {
  return adapter ?? view.model;
}

/**
 * Assigns slots to replicas and pools; a name keeps its slot as long as it is known, and a slot is used anew only when
 * `isFree` says that nothing is in flight on it.
 */
export class SlotAssigner {
  readonly #replicas = new Map<string, number>();
  readonly #pools = new Map<string, number>();
  readonly #replicaSlotsMax: number;
  readonly #poolSlotsMax: number;
  readonly #isFree: (slot: number) => boolean;

  constructor(replicaSlotsMax: number, poolSlotsMax: number, isFree: (slot: number) => boolean) {
    this.#replicaSlotsMax = replicaSlotsMax;
    this.#poolSlotsMax = poolSlotsMax;
    this.#isFree = isFree;
  }

  assign(snapshot: GatewaySnapshot): SlottedSnapshot {
    const { pools } = snapshot.fleet;
    assignSlots(
      this.#pools,
      pools.map((pool) => pool.model),
      this.#poolSlotsMax,
      () => true,
    );
    const replicas = pools.flatMap((pool) => pool.replicas.map((replica) => replica.id));
    assignSlots(this.#replicas, replicas, this.#replicaSlotsMax, this.#isFree);
    return {
      snapshot,
      replicaSlots: Object.fromEntries(this.#replicas),
      poolSlots: Object.fromEntries(this.#pools),
    };
  }
}

function assignSlots(
  slots: Map<string, number>,
  names: string[],
  max: number,
  isFree: (slot: number) => boolean,
): void {
  for (const known of [...slots.keys()]) {
    if (!names.includes(known)) slots.delete(known);
  }
  const used = new Set(slots.values());
  for (const name of names) {
    if (slots.has(name)) continue;
    let slot = 0;
    while (slot < max && (used.has(slot) || !isFree(slot))) slot++;
    if (slot >= max) throw new RangeError(`more than ${max} replicas or pools in one gateway`);
    slots.set(name, slot);
    used.add(slot);
  }
}
