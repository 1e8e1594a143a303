import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ReplicaRecord } from '../../contract/ports/replica-records.ts';
import { NO_ADJUSTMENT } from '../../contract/remedies.ts';
import { openReplicaRecords } from './replica-records.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'autoglm-records-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const record = (id: string, generation = 1): ReplicaRecord => ({
  id,
  generation,
  process: { pid: 4242, startTicks: 99 },
  url: 'http://127.0.0.1:40123',
  launchHash: 'abc',
  state: 'ready',
  reason: 'all probes passed',
  stateSinceAtMs: 1_700_000_000_000,
  provenHash: '',
  goal: 'run',
  failing: null,
  attempt: 1,
  restarts: 1,
  failures: [{ atMs: 1, kind: 'exited', restartAtMs: 2 }],
  lastIncident: { atMs: 1, summary: 'exit code 134 (SIGABRT) while ready' },
  standby: false,
  adjustment: NO_ADJUSTMENT,
  ladders: [],
  incident: null,
  windowShare: 1,
});

const sorted = (records: ReplicaRecord[]) => records.toSorted((a, b) => (a.id < b.id ? -1 : 1));

it('gives back what was written, also to another instance, for ids of every kind', async () => {
  const ids = [
    'demo/0',
    'Demo/0',
    'org/model:7b/1',
    '../../etc/passwd',
    '..',
    'ä'.repeat(300),
    'a b\n/0',
    '__proto__/0',
  ];
  const store = openReplicaRecords(join(directory, 'replicas'));
  for (const id of ids) await store.write(record(id));
  const { records, setAside } = await openReplicaRecords(join(directory, 'replicas')).readAll();
  expect(sorted(records)).toEqual(sorted(ids.map((id) => record(id))));
  expect(setAside).toEqual([]);
  expect(readdirSync(directory)).toEqual(['replicas']);
});

it('keeps the newest of many writes at once, and answers all of them', async () => {
  const store = openReplicaRecords(directory);
  await Promise.all(Array.from({ length: 50 }, (_, generation) => store.write(record('a/0', generation))));
  expect((await store.readAll()).records).toEqual([record('a/0', 49)]);
  await Promise.all([store.write(record('a/0', 50)), store.remove('a/0')]);
  expect((await store.readAll()).records).toEqual([]);
});

it('sets a corrupt record aside, says why, and reads the others', async () => {
  const store = openReplicaRecords(directory);
  await store.write(record('good/0'));
  writeFileSync(join(directory, 'torn.json'), '{"format":1,"record":{"id":"x');
  writeFileSync(join(directory, 'old.json'), '{"format":0}');
  writeFileSync(join(directory, 'left.json.77.tmp'), 'half');
  const { records, setAside } = await store.readAll();
  expect(records).toEqual([record('good/0')]);
  expect(setAside).toHaveLength(2);
  expect(setAside[0]!.file).toMatch(/old\.json\.corrupt-\d+$/);
  expect(setAside[0]!.problem).toContain('format');
  expect(readFileSync(setAside[1]!.file, 'utf8')).toContain('"id":"x');
  expect((await store.readAll()).setAside).toEqual([]);
  expect(readdirSync(directory).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

it('keeps the newest corrupt records only', async () => {
  for (let age = 0; age < 40; age++) writeFileSync(join(directory, `x.json.corrupt-${1000 + age}`), '');
  writeFileSync(join(directory, 'torn.json'), '{');
  const { setAside } = await openReplicaRecords(directory).readAll();
  const left = readdirSync(directory);
  expect(left).toHaveLength(20);
  expect(left).toContain('x.json.corrupt-1039');
  expect(left).not.toContain('x.json.corrupt-1020');
  expect(left.map((name) => join(directory, name))).toContain(setAside[0]?.file);
});

it('rejects when nothing can be written, and writes again when it can', async () => {
  const blocked = join(directory, 'file');
  writeFileSync(blocked, '');
  const store = openReplicaRecords(join(blocked, 'replicas'));
  await expect(store.write(record('a/0'))).rejects.toThrow();
  rmSync(blocked);
  await store.write(record('a/0'));
  expect((await store.readAll()).records).toHaveLength(1);
});
