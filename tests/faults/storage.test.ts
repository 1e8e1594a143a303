/**
 * Goal: whatever happens to the state database, inference goes on, and only what needs the database says so. Method: real
 * gateway processes and storage threads over files that are damaged, locked, replaced, full or of a newer release.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync as Database } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import { sql } from 'kysely';
import OpenAI from 'openai';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { newFillerKey, startBatches } from '../../src/assembly/batches.ts';
import { parseConfig } from '../../src/assembly/config/load-config.ts';
import { resolveConfig } from '../../src/assembly/config/resolve-config.ts';
import { StorageHost } from '../../src/assembly/storage-host.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { StoredResponse } from '../../src/contract/ports/response-store.ts';
import { SqlResponseStore } from '../../src/drivers/storage/sql/response-store.ts';
import { MIGRATIONS } from '../../src/drivers/storage/sqlite/migrations/all.ts';
import { STATE_FILE, StateDatabase } from '../../src/drivers/storage/sqlite/state-database.ts';
import { poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { machinePace } from '../support/machine-pace.ts';
import { ANSWER_TEXT, type ScriptedEngine, startScriptedEngine } from '../support/scripted-engine.ts';
import { storedBatch } from '../support/stored-batch.ts';
import { ROOMY } from '../support/stores-under-test.ts';

let stateDir: string;
/** Eight threads that start at once on two busy cores take their time. */
const PATIENT = { callTimeoutMs: 20_000 };
const file = () => join(stateDir, STATE_FILE);

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'autoglm-state-'));
});
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

const stored = (id: string, change: Partial<StoredResponse> = {}): StoredResponse => ({
  id,
  owner: '',
  status: 'completed',
  previousId: null,
  createdAtMs: Date.now(),
  expiresAtMs: Date.now() + 60_000,
  inputJson: '[]',
  responseJson: '{}',
  eventsKept: false,
  aliveAtMs: null,
  ...change,
});

const read = (host: StorageHost, id: string) => {
  const stores = host.stores(PATIENT);
  return stores.responses.find({ id, owner: '', nowMs: Date.now() });
};

describe('a gateway', () => {
  let engine: ScriptedEngine;
  let gateway: RunningGateway;
  let client: OpenAI;
  beforeEach(async () => {
    engine = await startScriptedEngine();
  });
  afterEach(async () => {
    await gateway.stop();
    await engine.close();
  });
  const start = async () => {
    gateway = await startGateway([poolOf('m', [{ url: engine.url }])], {}, { stateDir });
    client = new OpenAI({ baseURL: gateway.v1, apiKey: 'none', maxRetries: 0 });
  };
  const messages = [{ role: 'user' as const, content: 'Hi' }];
  const chatText = async () =>
    (await client.chat.completions.create({ model: 'm', messages })).choices[0]?.message.content;

  it('whose database cannot be opened serves on; what needs it answers 503', async () => {
    mkdirSync(file());
    await start();
    expect(await chatText()).toBe(ANSWER_TEXT);
    const response = await client.responses.create({ model: 'm', input: 'Hi' });
    expect(response).toMatchObject({ output_text: ANSWER_TEXT, store: false });
    for (const attempt of [
      () => client.responses.retrieve(response.id),
      () => client.responses.create({ model: 'm', input: 'Hi', background: true }),
      () => client.responses.create({ model: 'm', input: 'Hi', previous_response_id: response.id }),
    ]) {
      const error = await attempt().then(
        () => null,
        (thrown: unknown) => thrown,
      );
      expect(error).toMatchObject({ status: 503, code: 'storage_unavailable' });
    }
    const unkept = await fetch(`${gateway.v1}/chat/completions`, {
      method: 'POST',
      headers: { 'idempotency-key': 'k' },
      body: JSON.stringify({ model: 'm', messages }),
    });
    expect([unkept.status, unkept.headers.get('x-autoglm-idempotency')]).toEqual([200, 'not-kept']);
    await unkept.text();
    // Once the cause is gone nothing has to be restarted.
    rmSync(file(), { recursive: true });
    await expect
      .poll(async () => (await client.responses.create({ model: 'm', input: 'Hi' })) as unknown, {
        timeout: 5_000,
      })
      .toMatchObject({ store: true });
  });

  it('whose disk hangs answers chat at once, and responses after two seconds at most', async () => {
    await start();
    const { id } = await client.responses.create({ model: 'm', input: 'Hi' });
    const blocker = new Database(file());
    blocker.exec('BEGIN EXCLUSIVE');
    try {
      const startedMs = performance.now();
      expect(await client.responses.create({ model: 'm', input: 'Hi' })).toMatchObject({
        store: false,
        output_text: ANSWER_TEXT,
      });
      const storedMs = performance.now() - startedMs;
      const chatStartedMs = performance.now();
      expect(await chatText()).toBe(ANSWER_TEXT);
      const chatMs = performance.now() - chatStartedMs;
      const pace = machinePace();
      expect(storedMs).toBeLessThan(3_000 * pace);
      expect(chatMs).toBeLessThan(500 * pace);
    } finally {
      blocker.exec('ROLLBACK');
      blocker.close();
    }
    await expect
      .poll(() => client.responses.retrieve(id).catch(() => null), { timeout: 10_000 })
      .toMatchObject({ id });
  });

  it('sets a damaged database aside, keeps it, and begins a new one', async () => {
    writeFileSync(file(), 'this was a database once; '.repeat(1_000));
    await start();
    const { id } = await client.responses.create({ model: 'm', input: 'Hi' });
    expect((await client.responses.retrieve(id)).id).toBe(id);
    expect(readdirSync(stateDir).filter((name) => name.includes('.corrupt-'))).toHaveLength(1);
    await expect
      .poll(() => gateway.log().some(({ keptAs }) => String(keptAs).includes('.corrupt-')))
      .toBe(true);
  });
});

describe('the state database', () => {
  const hosts: StorageHost[] = [];
  const open = (log: (message: string) => void = () => {}) => {
    const host = new StorageHost({ stateDir, limits: ROOMY, log: (_level, message) => log(message) });
    hosts.push(host);
    return host;
  };
  afterEach(async () => {
    await Promise.all(hosts.splice(0).map((host) => host.close()));
  });

  it('is made once when eight open it at once', async () => {
    const all = Array.from({ length: 8 }, () => open());
    await Promise.all(all.map((host, index) => host.stores(PATIENT).responses.create(stored(`r${index}`))));
    for (let index = 0; index < 8; index++)
      expect(await read(all[(index + 1) % 8]!, `r${index}`)).not.toBeNull();
    const database = new Database(file());
    const versions = database.prepare('SELECT version FROM schema_migrations').all();
    expect(versions).toEqual(MIGRATIONS.map(({ version }) => ({ version })));
    expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
    database.close();
  });

  it('of a newer release is refused, and left as it is', async () => {
    await open().stores(PATIENT).responses.create(stored('r'));
    const database = new Database(file());
    database.exec("INSERT INTO schema_migrations VALUES (999, 'of the future', 0)");
    database.close();
    await expect(read(open(), 'r')).rejects.toThrow(/tables of version 999, and this release knows version/);
    expect(readdirSync(stateDir).filter((name) => name.includes('corrupt'))).toEqual([]);
  });

  it('that becomes damaged under eight openings is set aside once', async () => {
    const all = Array.from({ length: 8 }, () => open());
    const stores = all.map((host) => host.stores(PATIENT).responses);
    await Promise.all(stores.map((store, index) => store.create(stored(`r${index}`))));
    const database = new Database(file());
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    database.close();
    writeFileSync(file(), 'x'.repeat(65_536));
    await Promise.all(stores.map((store, index) => store.create(stored(`n${index}`)).catch(() => {})));
    for (const [index, store] of stores.entries()) await store.create(stored(`m${index}`));
    for (let index = 0; index < 8; index++)
      expect(await read(all[(index + 3) % 8]!, `m${index}`)).not.toBeNull();
    expect(readdirSync(stateDir).filter((name) => /corrupt-\d+$/.test(name))).toHaveLength(1);
  });

  it('is served again when its thread died, to those who hold a connection', async () => {
    const threads: Worker[] = [];
    const spy = vi.spyOn(Worker.prototype, 'unref').mockImplementation(function (this: Worker) {
      threads.push(this);
    });
    const { responses } = open().stores(PATIENT);
    spy.mockRestore();
    await responses.create(stored('r'));
    await threads[0]?.terminate();
    await expect(responses.create(stored('meanwhile'))).rejects.toMatchObject({
      code: 'storage_unavailable',
    });
    await expect
      .poll(() => responses.find({ id: 'r', owner: '', nowMs: Date.now() }).catch(() => null), {
        timeout: 10_000,
      })
      .toMatchObject({ id: 'r' });
  });

  it('that was removed by hand is begun anew', async () => {
    const host = open();
    const { responses } = host.stores(PATIENT);
    await responses.create(stored('r'));
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${file()}${suffix}`, { force: true });
    await expect
      .poll(
        async () => {
          await responses.create(stored(`r${Date.now()}-${Math.random()}`)).catch(() => {});
          return readdirSync(stateDir).includes(STATE_FILE);
        },
        { timeout: 5_000 },
      )
      .toBe(true);
  });

  it('on a full disk refuses writes and still reads, and writes again when there is room', async () => {
    const database = new StateDatabase({
      stateDir,
      migrations: MIGRATIONS,
      clock: systemClock,
      log: () => {},
    });
    const use = <T>(work: (store: SqlResponseStore) => Promise<T>) =>
      database.use((queries) => work(new SqlResponseStore(queries, 1e9)));
    await use((store) => store.create(stored('r')));
    await database.use((queries) => sql`PRAGMA max_page_count = 30`.execute(queries));
    const big = stored('big', { responseJson: 'x'.repeat(1_000_000) });
    await expect(use((store) => store.create(big))).rejects.toMatchObject({
      code: 'storage_unavailable',
      message: expect.stringContaining('the disk is full'),
    });
    expect(await use((store) => store.find({ id: 'r', owner: '', nowMs: Date.now() }))).not.toBeNull();
    await database.use((queries) => sql`PRAGMA max_page_count = 100000`.execute(queries));
    await use((store) => store.create(big));
    database.close();
  });
});

describe('the runner of batches', () => {
  it('has more patience with a busy database than gateways, whose clients wait', async () => {
    const host = new StorageHost({ stateDir, limits: ROOMY, log: () => {} });
    const stores = host.stores(PATIENT);
    await stores.batches.create(storedBatch(), 1);
    const blocker = new Database(file());
    blocker.exec('BEGIN IMMEDIATE');
    const environment = { variables: {}, homeDir: stateDir, workDir: stateDir };
    const text = `state_dir: ${JSON.stringify(stateDir)}\n`;
    const config = parseConfig('a.yaml', text, environment);
    const logged: string[] = [];
    const runner = startBatches({
      config: resolveConfig({ file: null, config, environment, notHonoured: [] }),
      isKnownModel: () => true,
      fillerKey: newFillerKey(),
      gatewayOrigin: () => 'http://127.0.0.1:9',
      log: (_level, message) => void logged.push(message),
    });
    try {
      await systemClock.sleep(3_000);
      blocker.exec('ROLLBACK');
      // Its input does not exist: it is over as soon as it was taken up.
      await expect
        .poll(() => stores.batches.find({ id: storedBatch().id, owner: storedBatch().owner }), {
          timeout: 10_000,
        })
        .toMatchObject({ status: 'failed' });
      expect(logged).toEqual(['batch taken up', 'batch over']);
    } finally {
      blocker.close();
      await runner.close();
      await host.close();
    }
  });
});
