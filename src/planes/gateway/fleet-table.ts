/**
 * The gateway's view of the fleet: pools by every name that clients may use, and for each replica its slot in the shared
 * state. Rebuilt from each snapshot, never changed.
 */
import type { FleetSnapshot, PoolView, ReplicaView } from '../../contract/fleet.ts';
import type { GatewaySnapshot } from '../../contract/gateway-snapshot.ts';
import { allLimited } from './limits/limited.ts';

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
  /** Of what is limited, by its id. */
  limitSlots: Record<string, number>;
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
 * not loaded it is one that is still starting, or that cannot serve when it failed to load it. Slots and queue are those of the
 * pool, so limits hold for all its names together.
 */
function through(pool: PoolEntry, adapter: string): PoolEntry {
  return {
    ...pool,
    adapter,
    replicas: pool.replicas.map(({ view, slot }) => {
      const loaded = view.adapters?.find(({ name }) => name === adapter);
      if (loaded === undefined) return { slot, view: withoutAdapter(view, adapter) };
      const { servedModel, fields = {} } = loaded;
      return { slot, view: { ...view, servedModel, fields } };
    }),
  };
}

function withoutAdapter(view: ReplicaView, adapter: string): ReplicaView {
  if (view.state !== 'ready') return view;
  const problem = view.adapterProblems?.[adapter];
  if (problem === undefined) return { ...view, state: 'starting', reason: `loads adapter "${adapter}"` };
  return { ...view, state: 'stopped', reason: `adapter "${adapter}" could not be loaded: ${problem}` };
}

/** One life of a replica: what failed under one generation may be well under the next. */
export function runOf({ id, generation }: ReplicaView): string {
  return `${id}@${generation}`;
}

/** The name that stays with a request, whatever becomes of the alias that it used. */
export function poolName({ view, adapter }: PoolEntry): string {
  return adapter ?? view.model;
}

/** Slots of one kind. */
export interface SlotTable {
  max: number;
  /** Nothing is in flight on it that belongs to its former owner. */
  isFree(slot: number): boolean;
  /** It is about to have a new owner. */
  onTaken(slot: number): void;
}

export interface SlotTables {
  replicas: SlotTable;
  pools: SlotTable;
  limits: SlotTable;
}

/** Assigns slots; a name keeps its slot as long as it is known, and a slot is used anew only when it is free. */
export class SlotAssigner {
  readonly #tables: SlotTables;
  readonly #replicas = new Map<string, number>();
  readonly #pools = new Map<string, number>();
  readonly #limits = new Map<string, number>();

  constructor(tables: SlotTables) {
    this.#tables = tables;
  }

  /** Throws RangeError when there are more names than slots. */
  assign(snapshot: GatewaySnapshot): SlottedSnapshot {
    const { pools } = snapshot.fleet;
    const replicas = pools.flatMap((pool) => pool.replicas.map((replica) => replica.id));
    const names = pools.map((pool) => pool.model);
    assignSlots(this.#pools, names, this.#tables.pools);
    assignSlots(this.#replicas, replicas, this.#tables.replicas);
    const limited = allLimited(snapshot).map(({ id }) => id);
    assignSlots(this.#limits, limited, this.#tables.limits);
    return {
      snapshot,
      replicaSlots: Object.fromEntries(this.#replicas),
      poolSlots: Object.fromEntries(this.#pools),
      limitSlots: Object.fromEntries(this.#limits),
    };
  }
}

function assignSlots(slots: Map<string, number>, names: string[], { max, isFree, onTaken }: SlotTable): void {
  const wanted = new Set(names);
  for (const known of [...slots.keys()]) {
    if (!wanted.has(known)) slots.delete(known);
  }
  const used = new Set(slots.values());
  let slot = 0;
  for (const name of names) {
    if (slots.has(name)) continue;
    while (slot < max && (used.has(slot) || !isFree(slot))) slot++;
    if (slot >= max) throw new RangeError(`more than ${max} replicas, pools or limits in one gateway`);
    onTaken(slot);
    slots.set(name, slot);
    used.add(slot);
  }
}
