/**
 * A lock that its holder's death releases: a name that only one process can listen on. On Linux the name is in the abstract
 * namespace, on Windows it is a pipe, so the kernel cleans up; elsewhere it is a socket file, and a file that nobody answers
 * at is stale. Whoever connects is told the pid of the holder.
 */
import { rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { StatePaths } from './config/state-paths.ts';

/** `launcher`: one `serve` per state directory. `node`: one node process per state directory. */
export type LockName = 'launcher' | 'node';

export interface InstanceLock {
  release(): void;
}

export type LockResult = { held: true; lock: InstanceLock } | { held: false; holderPid: number | null };

const ANSWER_TIMEOUT_MS = 1_000;
const PID_CHARACTERS_MAX = 16;

export async function takeLock(name: LockName, paths: StatePaths): Promise<LockResult> {
  const address = lockAddress(name, paths);
  // The second try is for a stale socket file, or for a holder that ended between the two steps.
  for (let attempt = 0; attempt < 2; attempt++) {
    const server = await listen(address);
    if (server !== null) return { held: true, lock: { release: () => server.close() } };
    const holderPid = await askHolder(address);
    if (holderPid !== undefined) return { held: false, holderPid };
    if (!address.startsWith('\0') && !address.startsWith('\\\\')) rmSync(address, { force: true });
  }
  return { held: false, holderPid: null };
}

/** Pid of the process that holds the lock; null when nobody does, or when it does not say. */
export async function lockHolder(name: LockName, paths: StatePaths): Promise<number | null> {
  return (await askHolder(lockAddress(name, paths))) ?? null;
}

function lockAddress(name: LockName, { instance, socketDir }: StatePaths): string {
  if (process.platform === 'linux') return `\0autoglm-${instance}-${name}`;
  if (process.platform === 'win32') return `\\\\.\\pipe\\autoglm-${instance}-${name}`;
  return join(socketDir, `${name}.lock`);
}

/** Null when somebody listens there already. */
function listen(address: string): Promise<Server | null> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(`${process.pid}\n`);
  });
  server.unref();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(null) : reject(error),
    );
    server.listen(address, () => resolve(server));
  });
}

/** Undefined when nobody answers; null when somebody does, but does not say who. */
function askHolder(address: string): Promise<number | null | undefined> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(address);
    const finish = (answer: number | null | undefined) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => finish(null));
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (text.length > PID_CHARACTERS_MAX) finish(null);
    });
    socket.on('end', () => finish(/^\d+\n$/.test(text) ? Number(text) : null));
    socket.on('error', () => finish(undefined));
  });
}
