/**
 * Ports of engines on this machine: free ones for engines that must be told, and files in which engines that choose for
 * themselves leave the number.
 */
import { createHash } from 'node:crypto';
import { constants, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { access, mkdir, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

export interface EnginePorts {
  /** A port that nobody listens on now. Nothing holds it: an engine that finds it taken ends and is started again. */
  free(host: string): Promise<number>;
  /** Where the engine leaves its port; one file per start, so that an old number is never taken for a new one. */
  fileFor(replicaId: string, generation: number): string;
  /** The same file, ready to be written, and none of former starts; null where nothing can be written. */
  prepare(replicaId: string, generation: number): Promise<string | null>;
  /** Null as long as nothing readable is there. */
  read(file: string): Promise<number | null>;
  /** Removes the files of all other replicas. */
  keepOnly(replicaIds: readonly string[]): Promise<void>;
}

/** Ports handed out lately are not handed out again: the engine may not have bound them yet. */
const RECENT_MAX = 64;
const TRIES_MAX = 100;
const NAME_DIGITS = 16;

function nameOf(replicaId: string): string {
  return createHash('sha256').update(replicaId).digest('hex').slice(0, NAME_DIGITS);
}

export function createEnginePorts(directory: string): EnginePorts {
  const recent: number[] = [];
  const fileFor = (replicaId: string, generation: number) =>
    join(directory, `${nameOf(replicaId)}-${generation}.port`);
  const removeWhere = async (unwanted: (name: string) => boolean) => {
    const names = await readdir(directory).catch(() => []);
    // What can not be removed does no harm.
    await Promise.all(
      names.filter(unwanted).map((name) => rm(join(directory, name), { force: true }).catch(() => {})),
    );
  };
  return {
    free: async (host) => {
      for (let tries = 0; tries < TRIES_MAX; tries++) {
        const port = await unusedPort(host);
        if (recent.includes(port)) continue;
        recent.push(port);
        if (recent.length > RECENT_MAX) recent.shift();
        return port;
      }
      throw new Error(`no free port on ${host} after ${TRIES_MAX} tries`);
    },
    fileFor,
    prepare: async (replicaId, generation) => {
      try {
        await mkdir(directory, { recursive: true, mode: 0o700 });
        await access(directory, constants.W_OK);
      } catch {
        return null;
      }
      await removeWhere((name) => name.startsWith(`${nameOf(replicaId)}-`));
      return fileFor(replicaId, generation);
    },
    read: async (file) => {
      const text = await readFile(file, 'utf8').catch(() => readlink(file).catch(() => ''));
      return /^\d{1,5}\n?$/.test(text) ? Number(text) : null;
    },
    keepOnly: (replicaIds) => {
      const kept = new Set(replicaIds.map(nameOf));
      return removeWhere((name) => !kept.has(name.slice(0, NAME_DIGITS)));
    },
  };
}

/**
 * The engine's side: leaves the port under this name, all at once. On a full disk the number becomes the target of a symbolic
 * link, which needs no block: an engine that can not say where it listens would be of no use until somebody frees space.
 */
export function leavePort(file: string, port: number): void {
  const unfinished = `${file}.${process.pid}`;
  try {
    writeFileSync(unfinished, `${port}\n`);
  } catch (error) {
    if (!isNoSpace(error)) throw error;
    rmSync(unfinished, { force: true });
    symlinkSync(String(port), unfinished);
  }
  renameSync(unfinished, file);
}

function isNoSpace(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

function unusedPort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host, port: 0 }, () => {
      const address = server.address();
      server.close(() => {
        if (typeof address === 'object' && address !== null) resolve(address.port);
        else reject(new Error(`no port on ${host}`));
      });
    });
  });
}
