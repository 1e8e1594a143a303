/**
 * Records of gateway processes and the last snapshot, as files under the state directory. Every write is whole: to a
 * temporary file first, then renamed. Snapshots hold keys of engines, so all files are readable for their owner only.
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { GatewayRecord, GatewayStore } from '../../contract/ports/gateway-store.ts';
import { replaceFileSync } from './whole-file.ts';

export function openGatewayStore(stateDir: string): GatewayStore {
  const directory = join(stateDir, 'gateways');
  const snapshotFile = join(stateDir, 'gateway-snapshot.json');
  const recordFile = (id: string) => join(directory, `${id}.json`);
  return {
    snapshotFile,
    readRecords: () =>
      namesIn(directory)
        .filter((name) => name.endsWith('.json'))
        .map((name) => readRecord(join(directory, name)))
        .filter((record) => record !== null),
    writeRecord: (record) => replaceFileSync(recordFile(record.id), JSON.stringify(record)),
    removeRecord: (id) => rmSync(recordFile(id), { force: true }),
    writeSnapshot: (snapshot) => replaceFileSync(snapshotFile, JSON.stringify(snapshot)),
  };
}

/** A folder that is not there, or is none, holds no records. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** A record that can not be read says nothing: the process is found by its owner tag then. */
function readRecord(path: string): GatewayRecord | null {
  try {
    const record = JSON.parse(readFileSync(path, 'utf8')) as Partial<GatewayRecord>;
    const { id, identity, draining = false } = record;
    if (
      typeof id !== 'string' ||
      typeof identity?.pid !== 'number' ||
      typeof identity.startTicks !== 'number'
    )
      return null;
    return { id, identity, draining };
  } catch {
    return null;
  }
}
