import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { SuspectRecord } from '../../contract/suspects.ts';
import { openSuspectFile } from './suspect-file.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'suspect-file-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const RECORD: SuspectRecord = {
  ...{ fingerprint: 'ab', model: 'm', endpoint: 'chat', status: 'convicted', requestId: 'r' },
  crashes: [{ replica: 'm/0', generation: 1, atMs: 5, alone: true }],
  ...{ changedAtMs: 6, expiresAtMs: 7 },
};

it('reads what was written, key and records', () => {
  const file = openSuspectFile(directory);
  const { fingerprintKey, records } = file.read();
  expect([fingerprintKey.length, records]).toEqual([64, []]);
  file.write({ fingerprintKey, records: [RECORD] });
  expect(openSuspectFile(directory).read()).toEqual({ fingerprintKey, records: [RECORD] });
});

it.each([
  ['half a file', '{"format":1,"fingerp'],
  ['another format', '{"format":2,"fingerprintKey":"ab","records":[]}'],
  ['no object', 'null'],
])('takes %s for none', (_name, text) => {
  writeFileSync(join(directory, 'suspects.json'), text);
  expect(openSuspectFile(directory).read().records).toEqual([]);
});

it('leaves out what is no record', () => {
  const text = JSON.stringify({
    format: 1,
    fingerprintKey: 'ab',
    records: [1, { status: 'convicted' }, RECORD],
  });
  writeFileSync(join(directory, 'suspects.json'), text);
  expect(openSuspectFile(directory).read()).toEqual({ fingerprintKey: 'ab', records: [RECORD] });
});
