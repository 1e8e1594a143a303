/**
 * The stores over each database that can hold them, each opening in a storage thread of its own, as processes have it. A suite
 * that runs over `STORE_BACKENDS` says what the ports promise; a new backend is one more entry.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StorageHost } from '../../src/assembly/storage-host.ts';
import type { StoreLimits, Stores } from '../../src/contract/ports/stores.ts';

export const ROOMY: StoreLimits = { responsesBytesMax: 1e9, idempotencyBytesMax: 1e9 };

export interface StoresUnderTest {
  /** One process's view of the database; every call of this gives another, over the same data. */
  open(limits?: Partial<StoreLimits>): Stores;
  dispose(): Promise<void>;
}

export interface StoreBackend {
  name: string;
  create(): StoresUnderTest;
}

function onSqlite(): StoresUnderTest {
  const stateDir = mkdtempSync(join(tmpdir(), 'autoglm-stores-'));
  const hosts: StorageHost[] = [];
  return {
    open: (limits) => {
      const host = new StorageHost({ stateDir, limits: { ...ROOMY, ...limits }, log: () => {} });
      hosts.push(host);
      return host.stores();
    },
    dispose: async () => {
      await Promise.all(hosts.map((host) => host.close()));
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

export const STORE_BACKENDS: readonly StoreBackend[] = [{ name: 'sqlite', create: onSqlite }];
