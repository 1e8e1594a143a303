/**
 * Goal: a worker thread that dies before it serves neither hangs the gateway nor stays away for ever. Method: the real threads,
 * which end while they load when the snapshot that they are given is no snapshot.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { GatewayWorkers } from '../../src/assembly/gateway-workers.ts';
import type { SlottedSnapshot } from '../../src/planes/gateway/fleet-table.ts';
import { createSharedMemory } from '../../src/planes/gateway/shared-memory.ts';
import { eventually, TEST_SETTINGS } from '../support/gateway-under-test.ts';

const GOOD: SlottedSnapshot = {
  snapshot: { version: { epoch: 1, seq: 1 }, settings: TEST_SETTINGS, fleet: { pools: [] } },
  replicaSlots: {},
  poolSlots: {},
  limitSlots: {},
};
const BROKEN = {} as SlottedSnapshot;

let directory: string;
let workers: GatewayWorkers;
let handedOut: SlottedSnapshot;
let errors: string[];
let replaced: number[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'autoglm-workers-'));
  handedOut = GOOD;
  errors = [];
  replaced = [];
  workers = new GatewayWorkers({
    count: 2,
    memory: createSharedMemory(),
    host: '127.0.0.1',
    port: 0,
    logFile: join(directory, 'gateway.log'),
    gatewayId: 'test',
    enableFaults: true,
    storagePort: () => null,
    cachePort: () => null,
    fileDir: '/nowhere',
    snapshot: () => handedOut,
    onTelemetry: () => {},
    onReplaced: (worker) => void replaced.push(worker),
    onSuspect: () => {},
    listed: () => ({ type: 'listed', added: [], removed: [] }),
    onEnded: () => {},
    logError: (message, error) => void errors.push(`${message}: ${String(error)}`),
  });
});

afterEach(async () => {
  handedOut = GOOD;
  await workers.drain(0, { stopsAll: true, onClosing: () => {} });
  rmSync(directory, { recursive: true, force: true });
});

it('fails the start when a thread dies while it loads, and says which', async () => {
  handedOut = BROKEN;
  await expect(workers.start()).rejects.toThrow(/gateway worker 0 ended with code 1 before it listened/);
  expect(errors.join()).toContain('gateway worker 0 died');
  expect(replaced).toEqual([]);
});

it('tries again until a thread lives, when its successor dies while it loads', async () => {
  const port = await workers.start();
  handedOut = BROKEN;
  workers.tell(0, { type: 'fault', kind: 'throw' });
  await eventually(() => replaced.length >= 2);
  expect(workers.status()[1]).toMatchObject({ state: 'listening', restarts: 0 });
  expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200);
  handedOut = GOOD;
  await eventually(() => workers.status()[0]?.state === 'listening', 10_000);
  expect(workers.status()[0]?.restarts).toBeGreaterThanOrEqual(2);
  expect(new Set(replaced)).toEqual(new Set([0]));
});
