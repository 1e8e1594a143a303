/**
 * Records of gateway processes and the last snapshot, as files under the state directory. Every write is whole: to a
 * temporary file first, then renamed. Snapshots hold keys of engines, so all files are readable for their owner only.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { GatewayRecord, GatewayStore } from '../../contract/ports/gateway-store.ts';

export function openGatewayStore(stateDir: string): GatewayStore {
  const directory = join(stateDir, 'gateways');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const snapshotFile = join(stateDir, 'gateway-snapshot.json');
  const recordFile = (id: string) => join(directory, `${id}.json`);
  return {
    snapshotFile,
    readRecords: () =>
      readdirSync(directory)
        .filter((name) => name.endsWith('.json'))
        .map((name) => readRecord(join(directory, name)))
        .filter((record) => record !== null),
    writeRecord: (record) => writeWhole(recordFile(record.id), record),
    removeRecord: (id) => rmSync(recordFile(id), { force: true }),
    writeSnapshot: (snapshot) => writeWhole(snapshotFile, snapshot),
  };
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

function writeWhole(path: string, value: unknown): void {
  const temporary = `${path}.${process.pid}.tmp`;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(temporary, JSON.stringify(value), { mode: 0o600 });
  renameSync(temporary, path);
}
