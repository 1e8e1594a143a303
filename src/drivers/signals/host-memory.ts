/** Source of signals: memory of the host that is left, and of its shared memory, without which engines with several processes end. */
import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { SignalSource, SignalSubject } from '../../contract/ports/signal-source.ts';
import type { SignalReading } from '../../contract/signals.ts';

export interface HostMemoryOptions {
  /** Default: /proc. */
  root?: string;
  /** Default: /dev/shm. */
  sharedMemory?: string;
}

export class HostMemorySource implements SignalSource {
  readonly name = 'host-memory';
  readonly metrics = ['host_memory'] as const;
  readonly #options: HostMemoryOptions;

  constructor(options: HostMemoryOptions = {}) {
    this.#options = options;
  }

  async look({ process }: SignalSubject): Promise<SignalReading> {
    // Of the host of an engine that runs elsewhere nothing is known.
    if (process === null) return {};
    const hostFreeBytes = this.#available();
    const shmFreeBytes = await this.#sharedFree();
    return {
      ...(hostFreeBytes !== undefined && { hostFreeBytes }),
      ...(shmFreeBytes !== undefined && { shmFreeBytes }),
    };
  }

  close(): void {}

  /** What can be taken without swapping, by the estimate of the kernel. */
  #available(): number | undefined {
    try {
      const text = readFileSync(join(this.#options.root ?? '/proc', 'meminfo'), 'utf8');
      const [, kib] = /^MemAvailable:\s+(\d+) kB$/m.exec(text) ?? [];
      return kib === undefined ? undefined : Number(kib) * 1024;
    } catch {
      return undefined;
    }
  }

  async #sharedFree(): Promise<number | undefined> {
    try {
      const { bavail, bsize } = await statfs(this.#options.sharedMemory ?? '/dev/shm');
      return bavail * bsize;
    } catch {
      return undefined;
    }
  }
}
