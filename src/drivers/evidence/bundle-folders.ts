/**
 * Bundles on disk: `incidents/<id>/evidence/<n>` in the state directory, one file per part. Bounded together; the oldest go first,
 * never one of an incident that is open.
 */
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type EvidenceManifest, evidenceManifestSchema } from '../../contract/evidence.ts';

export interface FolderOptions {
  /** `incidents` in the state directory. */
  directory: string;
  bytesMax: number;
  bundlesMax: number;
  isOpen(incident: string): boolean;
}

interface Bundle {
  incident: string;
  path: string;
  bytes: number;
  changedAtMs: number;
}

/** Of one incident; a ladder has about as many steps that end a process. */
const BUNDLES_OF_ONE_MAX = 4;
/** Bundles that may go for one file. */
const TRIES_MAX = 3;
const MANIFEST = 'manifest.json';
const NO_ROOM = ['ENOSPC', 'EDQUOT', 'EFBIG'];

export class BundleFolders {
  readonly #options: FolderOptions;
  readonly #inUse = new Set<string>();
  #making: Promise<boolean> | null = null;

  constructor(options: FolderOptions) {
    this.#options = options;
  }

  /** Of all bundles of an incident. */
  of(incident: string): string {
    return join(this.#options.directory, incident, 'evidence');
  }

  /** A new folder; null: the incident has as many as it may. Throws what the disk says. */
  async begin(incident: string): Promise<string | null> {
    const parent = this.of(incident);
    const numbers = (await names(parent)).map(Number).filter(Number.isSafeInteger);
    if (numbers.length >= BUNDLES_OF_ONE_MAX) return null;
    const folder = join(parent, String(Math.max(0, ...numbers) + 1));
    await this.#withRoom(() => mkdir(folder, { recursive: true, mode: 0o700 }));
    this.#inUse.add(folder);
    return folder;
  }

  /** Throws what the disk says; nothing of the file is left then. */
  async write(folder: string, file: string, text: string): Promise<void> {
    const path = join(folder, file);
    await this.#withRoom(async () => {
      try {
        await writeFile(path, text, { mode: 0o600 });
      } catch (error) {
        await rm(path, { force: true }).catch(() => {});
        throw error;
      }
    });
  }

  async finish(folder: string, manifest: EvidenceManifest): Promise<void> {
    try {
      await this.write(folder, MANIFEST, `${JSON.stringify(manifest, null, 2)}\n`);
    } finally {
      this.#inUse.delete(folder);
    }
  }

  /** Nothing was written to it. */
  async drop(folder: string): Promise<void> {
    this.#inUse.delete(folder);
    await rm(folder, { recursive: true, force: true }).catch(() => {});
  }

  async read(incident: string): Promise<{ path: string; manifest: EvidenceManifest }[]> {
    const parent = this.of(incident);
    const found = await Promise.all(
      (await names(parent)).map(async (name) => {
        const path = join(parent, name);
        const manifest = await readManifest(path);
        return manifest === null ? [] : [{ path, manifest }];
      }),
    );
    return found.flat().sort((a, b) => a.manifest.takenAtMs - b.manifest.takenAtMs);
  }

  async forget(incident: string): Promise<void> {
    await rm(this.of(incident), { recursive: true, force: true });
  }

  /** Deletes the oldest until all are within their bounds. */
  async prune(): Promise<void> {
    const { bytesMax, bundlesMax } = this.#options;
    const bundles = await this.#all();
    let bytes = bundles.reduce((sum, bundle) => sum + bundle.bytes, 0);
    let count = bundles.length;
    for (const bundle of bundles) {
      if (bytes <= bytesMax && count <= bundlesMax) return;
      if (!this.#mayGo(bundle)) continue;
      await rm(bundle.path, { recursive: true, force: true });
      bytes -= bundle.bytes;
      count -= 1;
    }
  }

  /** When there is no room, the oldest bundles make some, one for all who wait for it. */
  async #withRoom(write: () => Promise<unknown>): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        await write();
        return;
      } catch (error) {
        const isFull = NO_ROOM.includes((error as NodeJS.ErrnoException).code ?? '');
        if (!isFull || tries === TRIES_MAX) throw error;
        this.#making ??= this.#makeRoom().finally(() => {
          this.#making = null;
        });
        if (!(await this.#making)) throw error;
      }
    }
  }

  async #makeRoom(): Promise<boolean> {
    const oldest = (await this.#all()).find((bundle) => this.#mayGo(bundle));
    if (oldest === undefined) return false;
    await rm(oldest.path, { recursive: true, force: true });
    return true;
  }

  #mayGo({ incident, path }: Bundle): boolean {
    return !this.#inUse.has(path) && !this.#options.isOpen(incident);
  }

  /** Oldest first. */
  async #all(): Promise<Bundle[]> {
    const { directory } = this.#options;
    const bundles: Bundle[] = [];
    for (const incident of await names(directory)) {
      const parent = this.of(incident);
      for (const name of await names(parent)) {
        const path = join(parent, name);
        const files = await Promise.all((await names(path)).map((file) => sizeOf(join(path, file))));
        const folder = await stat(path).catch(() => null);
        const bytes = files.reduce((sum, size) => sum + size, 0);
        bundles.push({ incident, path, bytes, changedAtMs: folder?.mtimeMs ?? 0 });
      }
    }
    return bundles.sort((a, b) => a.changedAtMs - b.changedAtMs);
  }
}

async function names(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => null))?.size ?? 0;
}

async function readManifest(folder: string): Promise<EvidenceManifest | null> {
  try {
    const text = await readFile(join(folder, MANIFEST), 'utf8');
    return evidenceManifestSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
