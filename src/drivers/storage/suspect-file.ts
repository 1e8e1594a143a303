/**
 * `suspects.json` in the state directory: the list of suspect requests, and the key of their fingerprints. Written by the node
 * process, and by a gateway while that is away; a file that can not be read counts as none.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SUSPECT_STATUSES, SUSPECTS_MAX, type SuspectRecord } from '../../contract/suspects.ts';
import { replaceFileSync } from './whole-file.ts';

export interface SuspectFileContent {
  /** Hex. */
  fingerprintKey: string;
  records: readonly SuspectRecord[];
}

export interface SuspectFile {
  /** With a new key when there is none. */
  read(): SuspectFileContent;
  /** Throws when the disk does not take it. */
  write(content: SuspectFileContent): void;
}

const KEY_BYTES = 32;
const FORMAT = 1;

export function openSuspectFile(stateDir: string): SuspectFile {
  const path = join(stateDir, 'suspects.json');
  return {
    read: () => parse(path) ?? { fingerprintKey: randomBytes(KEY_BYTES).toString('hex'), records: [] },
    write: ({ fingerprintKey, records }) =>
      replaceFileSync(path, `${JSON.stringify({ format: FORMAT, fingerprintKey, records })}\n`),
  };
}

function parse(path: string): SuspectFileContent | null {
  try {
    const { format, fingerprintKey, records } = JSON.parse(readFileSync(path, 'utf8'));
    if (format !== FORMAT || typeof fingerprintKey !== 'string' || !Array.isArray(records)) return null;
    return { fingerprintKey, records: records.filter(isRecord).slice(0, SUSPECTS_MAX) };
  } catch {
    return null;
  }
}

function isRecord(found: unknown): found is SuspectRecord {
  if (typeof found !== 'object' || found === null) return false;
  const { fingerprint, model, status, crashes, changedAtMs, expiresAtMs } = found as Partial<SuspectRecord>;
  return (
    typeof fingerprint === 'string' &&
    typeof model === 'string' &&
    SUSPECT_STATUSES.some((known) => known === status) &&
    Array.isArray(crashes) &&
    typeof changedAtMs === 'number' &&
    typeof expiresAtMs === 'number'
  );
}
