/**
 * Acts of one who may have been replaced: nothing is started, signalled or written down any more once another holds the fence.
 * Looking is always allowed.
 */
import { PlatformError } from '../../contract/errors.ts';
import type { Fence } from '../../contract/ports/fence.ts';
import type { ProcessHost } from '../../contract/ports/process-host.ts';
import type { ReplicaRecords } from '../../contract/ports/replica-records.ts';

/** `onLost` is called once, with the first act that is refused. */
export class FenceGuard {
  readonly #fence: Fence;
  readonly #onLost: () => void;
  #lost = false;

  constructor(fence: Fence, onLost: () => void) {
    this.#fence = fence;
    this.#onLost = onLost;
  }

  get allows(): boolean {
    if (!this.#lost && !this.#fence.isHeld()) {
      this.#lost = true;
      this.#onLost();
    }
    return !this.#lost;
  }

  /** Throws PlatformError `conflict`. */
  assert(act: string): void {
    if (this.allows) return;
    throw new PlatformError(
      'conflict',
      `${act} is refused: another node process took over after number ${this.#fence.number}`,
    );
  }
}

export function fencedProcessHost(host: ProcessHost, guard: FenceGuard): ProcessHost {
  return {
    isAlive: (identity) => host.isAlive(identity),
    onExit: (identity, callback) => host.onExit(identity, callback),
    findOwned: (prefix) => host.findOwned(prefix),
    spawn: async (spec) => {
      guard.assert('a start');
      return await host.spawn(spec);
    },
    signalGroup: (identity, signal) => guard.allows && host.signalGroup(identity, signal),
    killOwned: (prefix) => (guard.allows ? host.killOwned(prefix) : 0),
  };
}

export function fencedRecords(records: ReplicaRecords, guard: FenceGuard): ReplicaRecords {
  return {
    readAll: () => records.readAll(),
    write: async (record) => {
      guard.assert('a record');
      await records.write(record);
    },
    remove: async (id) => {
      guard.assert('a record');
      await records.remove(id);
    },
  };
}
