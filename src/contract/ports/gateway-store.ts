/**
 * Port: records of gateway processes and the last snapshot. In the contract: every write is whole or not at all; a record that
 * cannot be read is left out. Not in the contract: that a write or a removal succeeds (the disk may be full, or
 * read-only); it throws then.
 */
import type { GatewaySnapshot } from '../gateway-snapshot.ts';
import type { ProcessIdentity } from './process-host.ts';

export interface GatewayRecord {
  id: string;
  identity: ProcessIdentity;
  /** It was told to drain: a node process that comes back must not count on it. */
  draining: boolean;
}

export interface GatewayStore {
  readRecords(): GatewayRecord[];
  writeRecord(record: GatewayRecord): void;
  removeRecord(id: string): void;
  writeSnapshot(snapshot: GatewaySnapshot): void;
  readonly snapshotFile: string;
}
