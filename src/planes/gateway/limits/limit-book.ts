/** Which limits a request meets: those of its key, of its key on the model, and of the model. Rebuilt from each snapshot. */
import type { BoundLimit } from '../../../decide/scheduling/limits/request-limits.ts';
import { type FleetTable, type PoolEntry, poolName, type SlottedSnapshot } from '../fleet-table.ts';
import { boundLimits, type Limited, limitedKey, limitedKeyModel, limitedModel } from './limited.ts';

interface KeyLimits {
  own: readonly BoundLimit[];
  /** By the name that a request is served by. */
  byModel: ReadonlyMap<string, readonly BoundLimit[]>;
  /** All that its requests meet, by the same name; filled in as they come. */
  all: Map<string, readonly BoundLimit[]>;
}

const NONE: readonly BoundLimit[] = [];

export class LimitBook {
  readonly #byKey = new Map<string, KeyLimits>();
  readonly #byModel = new Map<string, readonly BoundLimit[]>();

  constructor({ snapshot, limitSlots }: SlottedSnapshot, table: FleetTable) {
    const bind = (limited: Limited | null): readonly BoundLimit[] => {
      const slot = limited === null ? undefined : limitSlots[limited.id];
      return limited === null || slot === undefined ? NONE : boundLimits(limited, slot);
    };
    for (const key of snapshot.settings.keys) {
      const byModel = new Map<string, readonly BoundLimit[]>();
      for (const [name, settings] of Object.entries(key.modelLimits ?? {})) {
        const pool = table.find(name);
        if (pool === undefined) continue;
        // Two of its names may be written: both count.
        const known = byModel.get(poolName(pool)) ?? NONE;
        byModel.set(poolName(pool), [...known, ...bind(limitedKeyModel(key.name, name, settings))]);
      }
      const own = bind(limitedKey(key));
      if (own.length > 0 || byModel.size > 0) this.#byKey.set(key.name, { own, byModel, all: new Map() });
    }
    for (const { model, limits } of snapshot.fleet.pools)
      if (limits !== undefined) this.#byModel.set(model, bind(limitedModel(model, limits)));
  }

  /** @param keyName null: no key was needed. */
  limitsOf(keyName: string | null, pool: PoolEntry): readonly BoundLimit[] {
    const ofModel = this.limitsOfModel(pool);
    const key = keyName === null ? undefined : this.#byKey.get(keyName);
    if (key === undefined) return ofModel;
    const name = poolName(pool);
    let all = key.all.get(name);
    if (all === undefined) {
      all = [...key.own, ...(key.byModel.get(name) ?? NONE), ...ofModel];
      key.all.set(name, all);
    }
    return all;
  }

  /** Those that hold for all callers together, and for its adapters too. */
  limitsOfModel({ view }: PoolEntry): readonly BoundLimit[] {
    return this.#byModel.get(view.model) ?? NONE;
  }
}
