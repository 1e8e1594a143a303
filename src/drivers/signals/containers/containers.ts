/**
 * Source of signals: the container of an engine, as a container engine with the Docker API sees it. A container belongs to a replica
 * by its label `autoglm.replica`, or because the process of the replica runs in it. What ended a container stays readable after its
 * end: its exit code, and whether the kernel killed it for want of memory.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SignalSource, SignalSubject } from '../../../contract/ports/signal-source.ts';
import type { ContainerFacts, SignalReading } from '../../../contract/signals.ts';
import { DockerApi } from './docker-api.ts';

export interface ContainerOptions {
  nowMs(): number;
  /** Path of the Unix socket, such as /var/run/docker.sock. */
  socketPath: string;
  /** Default: /proc. */
  root?: string;
}

const REPLICA_LABEL = 'autoglm.replica';
/** One list for all replicas of a look. */
const LIST_FRESH_MS = 1_000;
const DEADLINE_MS = 1_200;

export class ContainerSource implements SignalSource {
  readonly name = 'containers';
  readonly metrics = ['containers'] as const;
  readonly #options: ContainerOptions;
  readonly #api: DockerApi;
  /** Container of a replica by its process, kept for the time after the process has ended. */
  readonly #byProcess = new Map<string, { generation: number; id: string }>();
  #list: { atMs: number; ids: Promise<ReadonlyMap<string, string>> } | null = null;

  constructor(options: ContainerOptions) {
    this.#options = options;
    this.#api = new DockerApi(options.socketPath);
  }

  async look(subject: SignalSubject, signal: AbortSignal): Promise<SignalReading> {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]);
    try {
      const id = (await this.#labelled(deadline)).get(subject.replica) ?? this.#idByProcess(subject);
      if (id === undefined) return {};
      const found = await this.#api.inspect(id, deadline);
      if (found === null) return {};
      const { pid: _, ...container } = found;
      return { container: container satisfies ContainerFacts };
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const why = deadline.aborted ? 'does not answer in time' : `cannot be asked (${code ?? message})`;
      return {
        unavailable: [
          `containers: ${this.#options.socketPath} ${why}; why a container ended is then not seen`,
        ],
      };
    }
  }

  close(): void {
    this.#byProcess.clear();
  }

  /** Replica -> container. */
  #labelled(signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
    const nowMs = this.#options.nowMs();
    if (this.#list !== null && nowMs - this.#list.atMs < LIST_FRESH_MS) return this.#list.ids;
    const ids = this.#api
      .labelled(REPLICA_LABEL, signal)
      // The newest comes first, and is the one that counts.
      .then(
        (listed) => new Map(listed.toReversed().map(({ id, labels }) => [labels[REPLICA_LABEL] ?? '', id])),
      );
    this.#list = { atMs: nowMs, ids };
    return ids;
  }

  #idByProcess({ replica, generation, process }: SignalSubject): string | undefined {
    const known = this.#byProcess.get(replica);
    if (known?.generation === generation) return known.id;
    const id = process === null ? undefined : this.#containerOf(process.pid);
    if (id !== undefined && id !== this.#containerOf('self')) {
      this.#byProcess.set(replica, { generation, id });
      return id;
    }
    return undefined;
  }

  /** Container engines name cgroups by the ids of containers: 64 hex digits. */
  #containerOf(pid: number | 'self'): string | undefined {
    try {
      const text = readFileSync(join(this.#options.root ?? '/proc', String(pid), 'cgroup'), 'utf8');
      return /(?:^|[/-])([0-9a-f]{64})(?:\.scope|[/\n]|$)/m.exec(text)?.[1];
    } catch {
      return undefined;
    }
  }
}
