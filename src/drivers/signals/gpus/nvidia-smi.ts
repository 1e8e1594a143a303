/**
 * GPUs of this machine as nvidia-smi shows them: asked once for all replicas, and less often where it takes long. A GPU that could
 * be asked before and is gone now is said to be unreachable; a program that is missing or hangs says nothing about GPUs.
 */
import {
  ALL_FIELDS,
  APP_ARGUMENTS,
  type AskedField,
  type GpuApp,
  type GpuRow,
  gpuArguments,
  lostGpusIn,
  readApps,
  readGpuRows,
  withoutRefused,
} from './gpu-query.ts';
import { type ProgramEnd, programRunner, type RunProgram } from './program.ts';

export interface SeenGpus {
  atMs: number;
  rows: readonly GpuRow[];
  apps: readonly GpuApp[];
  /** One sentence; null: all could be read. */
  problem: string | null;
}

export interface NvidiaSmiOptions {
  nowMs(): number;
  /** Default: nvidia-smi. */
  program?: string;
  /** Default: starts `program`. */
  run?: RunProgram;
  /** Least time between two calls. Default 1.8 s. */
  intervalMs?: number;
}

/** With drivers that have to wake up first it takes seconds. */
const TIMEOUT_MS = 10_000;
const INTERVAL_MS = 1_800;
/** It uses a processor: at most this share of the time. */
const SHARE_MAX = 0.1;
/** Where there is none, one may be installed later. */
const MISSING_RETRY_MS = 60_000;
/** What is older is not what is. */
const STALE_MS = 30_000;
const FIELDS_REFUSED_MAX = 8;

export class NvidiaSmi {
  readonly #nowMs: () => number;
  readonly #program: string;
  readonly #run: RunProgram;
  readonly #intervalMs: number;
  #fields: readonly AskedField[] = ALL_FIELDS;
  #latest: SeenGpus | null = null;
  #known: readonly GpuRow[] = [];
  #nextAtMs = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | null = null;

  constructor({ nowMs, program = 'nvidia-smi', run, intervalMs = INTERVAL_MS }: NvidiaSmiOptions) {
    this.#nowMs = nowMs;
    this.#program = program;
    this.#run = run ?? programRunner(program, TIMEOUT_MS);
    this.#intervalMs = intervalMs;
  }

  /** What was seen last; null: nothing yet. */
  get latest(): SeenGpus | null {
    return this.#latest;
  }

  /** Waits for an answer as long as the signal allows; then what was seen before is given, unless it is too old. */
  async read(signal: AbortSignal): Promise<SeenGpus> {
    if (this.#nowMs() >= this.#nextAtMs) {
      this.#asking ??= this.#ask().finally(() => {
        this.#asking = null;
      });
    }
    if (this.#asking !== null) await settledOrAborted(this.#asking, signal);
    const latest = this.#latest;
    const nowMs = this.#nowMs();
    if (latest !== null && nowMs - latest.atMs < STALE_MS) return latest;
    return {
      atMs: nowMs,
      rows: [],
      apps: [],
      problem: latest?.problem ?? `${this.#program} has not answered yet`,
    };
  }

  async #ask(): Promise<void> {
    const beganMs = this.#nowMs();
    const gpus = await this.#askGpus();
    const apps = gpus.kind === 'ended' && gpus.code === 0 ? await this.#run(APP_ARGUMENTS) : null;
    const nowMs = this.#nowMs();
    const pauseMs = Math.max(this.#intervalMs, (nowMs - beganMs) / SHARE_MAX);
    this.#nextAtMs = gpus.kind === 'missing' ? nowMs + MISSING_RETRY_MS : beganMs + pauseMs;
    const seen = this.#seen(nowMs, gpus, apps);
    // The last good answer counts for a while, and is kept beside the reason why there is no newer one.
    if (seen.rows.length > 0 || this.#latest === null) this.#latest = seen;
    else this.#latest = { ...this.#latest, problem: seen.problem };
  }

  /** Asks again without what this driver does not know. */
  async #askGpus(): Promise<ProgramEnd> {
    for (let refused = 0; ; refused++) {
      const end = await this.#run(gpuArguments(this.#fields));
      if (end.kind !== 'ended' || end.code === 0 || refused === FIELDS_REFUSED_MAX) return end;
      const fewer = withoutRefused(this.#fields, end.output);
      if (fewer === null) return end;
      this.#fields = fewer;
    }
  }

  #seen(atMs: number, gpus: ProgramEnd, apps: ProgramEnd | null): SeenGpus {
    const none = { atMs, rows: [], apps: [] };
    if (gpus.kind === 'missing') {
      return { ...none, problem: `${this.#program} was not found; it comes with the driver of NVIDIA` };
    }
    if (gpus.kind === 'hung') {
      const seconds = TIMEOUT_MS / 1000;
      return {
        ...none,
        problem: `${this.#program} does not answer within ${seconds} s; look into the kernel log for Xid errors`,
      };
    }
    const rows = readGpuRows(gpus.output, this.#fields);
    const lost = this.#lost(rows, gpus.output);
    if (rows.length > 0) this.#known = rows;
    const all = [...rows, ...lost];
    if (all.length === 0) return { ...none, problem: `${this.#program}: ${firstLine(gpus.output)}` };
    return {
      atMs,
      rows: all,
      apps: apps?.kind === 'ended' && apps.code === 0 ? readApps(apps.output) : [],
      problem: null,
    };
  }

  /** GPUs of earlier answers that this one says it cannot ask, or that it does not find any more. */
  #lost(rows: readonly GpuRow[], output: string): GpuRow[] {
    const named = lostGpusIn(output);
    const isGone = rows.length > 0 || /No devices were found/i.test(output);
    return this.#known
      .filter(({ uuid, pciBusId = '' }) => {
        if (rows.some((row) => row.uuid === uuid)) return false;
        return isGone || named.some((pci) => sameAddress(pci, pciBusId));
      })
      .map(({ id, name, uuid, pciBusId }) => ({
        id,
        reachable: false,
        ...(name !== undefined && { name }),
        ...(uuid !== undefined && { uuid }),
        ...(pciBusId !== undefined && { pciBusId }),
      }));
  }
}

/** Domains come with four digits or eight. */
function sameAddress(one: string, other: string): boolean {
  const tail = (text: string) => text.toLowerCase().replace(/^0{4}(?=[0-9a-f]{4}:)/, '');
  return tail(one) === tail(other);
}

function firstLine(output: string): string {
  return (
    output
      .split('\n')
      .find((line) => line.trim() !== '')
      ?.trim()
      .slice(0, 200) ?? 'it printed nothing'
  );
}

async function settledOrAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const onAbort = () => resolve();
  signal.addEventListener('abort', onAbort, { once: true });
  await Promise.race([work, promise]);
  signal.removeEventListener('abort', onAbort);
}
