/** Entry of the storage thread: the one place of a process where the state database is read and written. */
import { flushCompileCache } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../base/clock.ts';
import { StoreServer, SWEEP_INTERVAL_MS } from '../drivers/storage/rpc/store-server.ts';
import { MIGRATIONS } from '../drivers/storage/sqlite/migrations/all.ts';
import { StateDatabase } from '../drivers/storage/sqlite/state-database.ts';
import type { FromStorage, StorageStart, ToStorage } from './storage-thread-protocol.ts';

if (parentPort === null) throw new Error('storage-thread.ts runs as a worker thread only');
const parent = parentPort;
const { stateDir, limits } = workerData as StorageStart;

const database = new StateDatabase({
  stateDir,
  migrations: MIGRATIONS,
  clock: systemClock,
  log: (level, message, detail) => parent.postMessage({ level, message, detail } satisfies FromStorage),
});
const server = new StoreServer({ database, limits, clock: systemClock });
const sweepTimer = setInterval(() => void server.sweep(), SWEEP_INTERVAL_MS);

// A process that is killed would leave its successor nothing.
flushCompileCache();

parent.on('message', (message: ToStorage) => {
  if (message.type === 'connect') server.serve(message.port);
  else {
    clearInterval(sweepTimer);
    database.close();
    parent.close();
  }
});
