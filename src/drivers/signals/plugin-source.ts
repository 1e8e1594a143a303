/**
 * A source that somebody else wrote, held to the contract of the port: a look ends with its signal also when the plug-in does not
 * care, no second look runs beside one that is late, and a reading of the wrong form is told and not passed on.
 */
import { z } from 'zod';
import type { SignalSource, SignalSubject } from '../../contract/ports/signal-source.ts';
import { MONITORED_METRICS } from '../../contract/recovery-policy.ts';
import type { SignalReading } from '../../contract/signals.ts';

const bytes = z.number().min(0);
const text = z.string().max(4_096);
const pid = z.int().min(0);
const optional = <Schema extends z.ZodType>(schema: Schema) => schema.exactOptional();

const gpu = z.object({
  id: text,
  reachable: z.boolean(),
  ...Object.fromEntries(['name', 'uuid', 'pciBusId'].map((field) => [field, optional(text)])),
  ...Object.fromEntries(
    [
      ...['totalBytes', 'usedBytes', 'freeBytes', 'reservedBytes', 'ownBytes', 'foreignBytes'],
      ...['utilizationRatio', 'memoryUtilizationRatio', 'temperatureC', 'powerW', 'powerLimitW'],
      ...['smClockMhz', 'smClockMaxMhz', 'uncorrectedEccErrors', 'correctedEccErrors', 'nvlinkErrors', 'xid'],
    ].map((field) => [field, optional(bytes)]),
  ),
  processes: optional(z.array(z.object({ pid, name: text, bytes })).max(256)),
  throttled: optional(z.boolean()),
  throttleReasons: optional(z.array(text).max(32)),
  remapPending: optional(z.boolean()),
});

const processes = z.object({
  wrapperAlive: z.boolean(),
  missing: z.array(text).max(256),
  orphans: z.array(z.object({ pid, name: text, gpuBytes: optional(bytes) })).max(256),
  frontendCpuRatio: optional(bytes),
  treeCpuRatio: optional(bytes),
  stopped: optional(z.array(pid).max(4_096)),
  unexpected: optional(z.array(z.object({ pid, name: text, command: text })).max(256)),
  rssBytes: optional(bytes),
  processCount: optional(pid),
  openFiles: optional(pid),
});

const readingSchema = z.object({
  processes: optional(processes),
  gpus: optional(z.array(gpu).max(256)),
  container: optional(
    z.object({
      id: text,
      state: text,
      oomKilled: z.boolean(),
      exitCode: z.int().nullable(),
      restarts: z.int().min(0),
    }),
  ),
  oomKills: optional(z.int().min(0).nullable()),
  memoryLimitBytes: optional(bytes),
  memoryUsedBytes: optional(bytes),
  kernelLines: optional(z.array(text).max(2_000)),
  shmFreeBytes: optional(bytes),
  hostFreeBytes: optional(bytes),
  unavailable: optional(z.array(text).max(16)),
}) satisfies z.ZodType<SignalReading>;

/** What is wrong with what a module made; null: it is a source. */
export function sourceFault(made: unknown): string | null {
  if (typeof made !== 'object' || made === null)
    return `it made ${describe(made)}; would be right: an object`;
  const { name, metrics, look, lookLast, close } = made as Record<string, unknown>;
  if (typeof name !== 'string' || !/^[a-z][a-z0-9-]{0,63}$/.test(name))
    return `its \`name\` is ${describe(name)}; would be right: a name in kebab-case, such as "rack-power"`;
  const known: readonly unknown[] = MONITORED_METRICS;
  if (!Array.isArray(metrics) || metrics.length === 0 || !metrics.every((metric) => known.includes(metric)))
    return `its \`metrics\` is ${describe(metrics)}; would be right: a list of some of ${MONITORED_METRICS.join(', ')}`;
  for (const [method, value] of Object.entries({ look, close }))
    if (typeof value !== 'function') return `it has no function \`${method}\``;
  if (lookLast !== undefined && typeof lookLast !== 'function')
    return `its \`lookLast\` is ${describe(lookLast)}; would be right: a function, or nothing`;
  return null;
}

export class PluginSource implements SignalSource {
  readonly name: string;
  readonly metrics: SignalSource['metrics'];
  readonly #source: SignalSource;
  readonly #running = new Set<string>();

  constructor(source: SignalSource) {
    this.name = source.name;
    this.metrics = [...source.metrics];
    this.#source = source;
  }

  async look(subject: SignalSubject, signal: AbortSignal): Promise<SignalReading> {
    const { replica } = subject;
    if (this.#running.has(replica)) return this.#unavailable('has not ended its last look yet');
    this.#running.add(replica);
    const work = this.#work(subject, signal).finally(() => this.#running.delete(replica));
    const { promise: late, resolve } = Promise.withResolvers<SignalReading>();
    const onAbort = () => resolve(this.#unavailable('did not answer in time'));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([work, late]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  lookLast(subject: SignalSubject): SignalReading {
    try {
      return this.#checked(this.#source.lookLast?.(subject) ?? {});
    } catch (error) {
      return this.#unavailable(`failed: ${wordsOf(error)}`);
    }
  }

  close(): void {
    try {
      this.#source.close();
    } catch {
      // It is not used any more.
    }
  }

  async #work(subject: SignalSubject, signal: AbortSignal): Promise<SignalReading> {
    try {
      return this.#checked(await this.#source.look(subject, signal));
    } catch (error) {
      return this.#unavailable(`failed: ${wordsOf(error)}`);
    }
  }

  #checked(reading: unknown): SignalReading {
    const parsed = readingSchema.safeParse(reading);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    return this.#unavailable(
      `gave a reading of the wrong form: ${issue?.path.join('.') || 'reading'}: ${issue?.message}`,
    );
  }

  #unavailable(what: string): SignalReading {
    return { unavailable: [`plug-in ${this.name}: it ${what}`] };
  }
}

function wordsOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 300);
}

function describe(value: unknown): string {
  if (typeof value === 'string') return `"${value.slice(0, 80)}"`;
  if (Array.isArray(value)) return `[${value.map(String).join(', ').slice(0, 80)}]`;
  return value === undefined || value === null ? String(value) : typeof value;
}
