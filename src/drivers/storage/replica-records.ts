/**
 * Records of replicas as one JSON file each, behind the `ReplicaRecords` port. File names are made from ids so that no id
 * can leave the directory; what a file is about stands inside it. Writes of one replica are carried out one after another,
 * and of several that wait only the newest.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { FAULT_CLASSES } from '../../contract/faults.ts';
import { REPLICA_STATES } from '../../contract/fleet.ts';
import {
  FAILURE_KINDS,
  type ReplicaRecord,
  type ReplicaRecords,
} from '../../contract/ports/replica-records.ts';
import { NO_ADJUSTMENT, REMEDY_NAMES } from '../../contract/remedies.ts';
import { writeWholeFile } from './whole-file.ts';

/** Rises when an older release could misunderstand a record. */
const FORMAT = 1;
const SUFFIX = '.json';
/** `<file>.corrupt-<Unix ms>`: kept for people to look at, the newest ones. */
const ASIDE = /\.corrupt-(\d+)$/;
const ASIDE_MAX = 20;

const policyClass = z.enum([...FAULT_CLASSES, 'unknown']);

const recordSchema = z.object({
  id: z.string().min(1),
  generation: z.number().int().min(0),
  process: z.object({ pid: z.number().int().positive(), startTicks: z.number().int().min(0) }).nullable(),
  url: z.string().nullable(),
  launchHash: z.string(),
  provenHash: z.string().default(''),
  state: z.enum(REPLICA_STATES),
  reason: z.string(),
  stateSinceAtMs: z.number(),
  goal: z.enum(['run', 'restart', 'stop', 'remove', 'fail', 'quarantine']),
  failing: z.enum(FAILURE_KINDS).nullable().default(null),
  attempt: z.number().int().min(0),
  restarts: z.number().int().min(0),
  failures: z.array(
    z.object({
      atMs: z.number(),
      kind: z.enum(FAILURE_KINDS),
      restartAtMs: z.number(),
    }),
  ),
  lastIncident: z.object({ atMs: z.number(), summary: z.string() }).nullable(),
  standby: z.boolean().default(false),
  adjustment: z
    .object({ saferSteps: z.int().min(0), fallbackPath: z.boolean(), device: z.int().min(0) })
    .default(NO_ADJUSTMENT),
  ladders: z.array(z.object({ class: policyClass, tries: z.int().min(0), lastAtMs: z.number() })).default([]),
  incident: z
    .object({
      id: z.string().min(1),
      class: policyClass,
      summary: z.string(),
      openedAtMs: z.number(),
      remedy: z
        .object({ remedy: z.enum(REMEDY_NAMES), step: z.int().min(1), startedAtMs: z.number() })
        .nullable(),
    })
    .nullable()
    .default(null),
  windowShare: z.number().gt(0).max(1).default(1),
}) satisfies z.ZodType<ReplicaRecord>;

const fileSchema = z.object({ format: z.literal(FORMAT), record: recordSchema });

/** A job of one replica: what shall be on disk; null: nothing. */
interface Pending {
  record: ReplicaRecord | null;
  done: PromiseWithResolvers<void>;
}

export function openReplicaRecords(directory: string): ReplicaRecords {
  return new FileReplicaRecords(directory);
}

class FileReplicaRecords implements ReplicaRecords {
  readonly #directory: string;
  /** By id: what waits for the write that runs. The key is there as long as one runs. */
  readonly #lines = new Map<string, Pending | null>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  async readAll(): Promise<Awaited<ReturnType<ReplicaRecords['readAll']>>> {
    const records: ReplicaRecord[] = [];
    const setAside: { file: string; problem: string }[] = [];
    for (const name of (await this.#names()).sort()) {
      const file = join(this.#directory, name);
      // What can not be deleted does no harm.
      if (name.endsWith('.tmp')) await rm(file, { force: true }).catch(() => {});
      if (!name.endsWith(SUFFIX)) continue;
      try {
        records.push(parseRecord(await readFile(file, 'utf8')));
      } catch (error) {
        setAside.push({ file: await putAside(file), problem: describe(error) });
      }
    }
    await this.#clearAside();
    return { records, setAside };
  }

  /** A folder that is not there, or can not be read, holds no records: processes are found by their tags then. */
  #names(): Promise<string[]> {
    return readdir(this.#directory).catch(() => []);
  }

  async #clearAside(): Promise<void> {
    const setAtMs = (name: string) => Number(ASIDE.exec(name)?.[1]);
    const aside = (await this.#names()).filter((name) => ASIDE.test(name));
    const old = aside.sort((a, b) => setAtMs(b) - setAtMs(a)).slice(ASIDE_MAX);
    await Promise.all(old.map((name) => rm(join(this.#directory, name)).catch(() => {})));
  }

  write(record: ReplicaRecord): Promise<void> {
    return this.#enqueue(record.id, record);
  }

  remove(id: string): Promise<void> {
    return this.#enqueue(id, null);
  }

  /** What waits already is overtaken: its caller hears how the newer write went. */
  #enqueue(id: string, record: ReplicaRecord | null): Promise<void> {
    const waiting = this.#lines.get(id);
    if (waiting === undefined) {
      const done = Promise.withResolvers<void>();
      this.#lines.set(id, null);
      void this.#work(id, { record, done });
      return done.promise;
    }
    const done = waiting?.done ?? Promise.withResolvers<void>();
    this.#lines.set(id, { record, done });
    return done.promise;
  }

  async #work(id: string, first: Pending): Promise<void> {
    for (let job: Pending | null = first; job !== null; ) {
      const { record, done }: Pending = job;
      await this.#carryOut(id, record).then(done.resolve, done.reject);
      job = this.#lines.get(id) ?? null;
      this.#lines.set(id, null);
    }
    this.#lines.delete(id);
  }

  async #carryOut(id: string, record: ReplicaRecord | null): Promise<void> {
    const file = join(this.#directory, fileName(id));
    if (record === null) return rm(file, { force: true });
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await writeWholeFile(file, `${JSON.stringify({ format: FORMAT, record }, null, 2)}\n`);
  }
}

/** Readable, and different for different ids, whatever the file system thinks of case and special characters. */
function fileName(id: string): string {
  const readable = id.replaceAll(/[^A-Za-z0-9._-]+/g, '-').slice(0, 80);
  const hash = createHash('sha256').update(id).digest('hex').slice(0, 8);
  return `${readable}-${hash}${SUFFIX}`;
}

function parseRecord(text: string): ReplicaRecord {
  return fileSchema.parse(JSON.parse(text)).record;
}

async function putAside(file: string): Promise<string> {
  const aside = `${file}.corrupt-${Date.now()}`;
  try {
    await rename(file, aside);
    return aside;
  } catch {
    // A directory that cannot be written: the record is ignored where it lies.
    return file;
  }
}

function describe(error: unknown): string {
  if (error instanceof z.ZodError) {
    const [issue] = error.issues;
    return `${issue?.path.join('.') || 'record'}: ${issue?.message}`;
  }
  return error instanceof Error ? error.message : String(error);
}
