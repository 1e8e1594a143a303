/**
 * Source of signals: the memory cgroup of an engine. Its counter of kills tells a process that the kernel ended for want of memory
 * from one that somebody else ended, for which exit status 137 alone is no proof. Engines often share a cgroup, with one another
 * and with us: the counter says that one of them was killed, the kernel log says which.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SignalSource, SignalSubject } from '../../../contract/ports/signal-source.ts';
import type { SignalReading } from '../../../contract/signals.ts';
import { type MemoryCgroup, memoryCgroupOf, memoryLimitOf, memoryUseOf, oomKillsOf } from './cgroup-files.ts';

/** A kill in a cgroup that several engines share, while this one lives on, was of another one. */
const FORGOTTEN_AFTER_MS = 60_000;

export interface CgroupOptions {
  nowMs(): number;
  /** Default: /proc. */
  root?: string;
}

interface Followed {
  generation: number;
  /** It may be moved after its start. */
  cgroup: MemoryCgroup;
  /** The counter when it was first looked at, or after kills of others; null: it cannot be read. */
  killsBefore: number | null;
  /** Since when it has grown; null: it has not. */
  grownAtMs: number | null;
}

export class CgroupSource implements SignalSource {
  readonly name = 'cgroup';
  readonly metrics = ['host_memory'] as const;
  readonly #nowMs: () => number;
  readonly #root: string;
  readonly #followed = new Map<string, Followed>();

  constructor({ nowMs, root = '/proc' }: CgroupOptions) {
    this.#nowMs = nowMs;
    this.#root = root;
  }

  async look(subject: SignalSubject): Promise<SignalReading> {
    if (subject.process === null) return {};
    const cgroup = this.#cgroupOf(subject.process.pid);
    if (cgroup === undefined) {
      const known = this.#followed.get(subject.replica);
      // It may have ended between two looks.
      if (known?.generation === subject.generation) return this.lookLast(subject);
      return {
        oomKills: null,
        unavailable: [
          'cgroup: no memory cgroup of the engine can be read here, so a kill for want of memory is known from the kernel log only',
        ],
      };
    }
    const followed = this.#follow(subject, cgroup);
    this.#forgetOthers(followed);
    return this.#read(followed);
  }

  lookLast({ replica, generation }: SignalSubject): SignalReading {
    const followed = this.#followed.get(replica);
    if (followed?.generation !== generation) return { oomKills: null };
    return this.#read(followed);
  }

  close(): void {
    this.#followed.clear();
  }

  #follow({ replica, generation }: SignalSubject, cgroup: MemoryCgroup): Followed {
    const known = this.#followed.get(replica);
    if (known?.generation === generation && known.cgroup.folder === cgroup.folder) return known;
    const followed = { generation, cgroup, killsBefore: oomKillsOf(cgroup), grownAtMs: null };
    this.#followed.set(replica, followed);
    return followed;
  }

  /** Called while the process lives. */
  #forgetOthers(followed: Followed): void {
    const { folder } = followed.cgroup;
    const kills = oomKillsOf(followed.cgroup);
    const isShared =
      [...this.#followed.values()].some((other) => other !== followed && other.cgroup.folder === folder) ||
      this.#cgroupOf('self')?.folder === folder;
    if (!isShared || kills === null || kills === followed.killsBefore) {
      followed.grownAtMs = null;
      return;
    }
    followed.grownAtMs ??= this.#nowMs();
    if (this.#nowMs() - followed.grownAtMs < FORGOTTEN_AFTER_MS) return;
    followed.killsBefore = kills;
    followed.grownAtMs = null;
  }

  #read({ cgroup, killsBefore }: Followed): SignalReading {
    const kills = oomKillsOf(cgroup);
    const limit = memoryLimitOf(cgroup);
    const used = memoryUseOf(cgroup);
    return {
      oomKills: kills === null || killsBefore === null ? null : Math.max(0, kills - killsBefore),
      ...(limit !== undefined && { memoryLimitBytes: limit }),
      ...(used !== undefined && { memoryUsedBytes: used }),
    };
  }

  #cgroupOf(pid: number | 'self'): MemoryCgroup | undefined {
    try {
      const mounts = readFileSync(join(this.#root, 'self', 'mountinfo'), 'utf8');
      return memoryCgroupOf(mounts, readFileSync(join(this.#root, String(pid), 'cgroup'), 'utf8'));
    } catch {
      return undefined;
    }
  }
}
