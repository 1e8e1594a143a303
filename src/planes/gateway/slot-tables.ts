/** What of the shared memory of a gateway is given out slot by slot. For its main thread. */
import { LIMITED_MAX } from '../../contract/limits.ts';
import type { SlotTables } from './fleet-table.ts';
import { clearRates, isSlotFree } from './limits/limit-memory.ts';
import type { SharedMemory } from './shared-memory.ts';
import { POOL_SLOTS, REPLICA_SLOTS, type SharedState } from './shared-state.ts';

export function slotTables(memory: SharedMemory, shared: SharedState): SlotTables {
  return {
    replicas: { max: REPLICA_SLOTS, isFree: (slot) => shared.inFlight(slot) === 0, onTaken: () => {} },
    pools: { max: POOL_SLOTS, isFree: () => true, onTaken: () => {} },
    limits: {
      max: LIMITED_MAX,
      isFree: (slot) => isSlotFree(memory.limits, slot),
      onTaken: (slot) => clearRates(memory.limits, slot),
    },
  };
}
