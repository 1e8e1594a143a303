/**
 * Carries out what the recovery machine orders, and sends back what became of it. It decides nothing. Every order is answered,
 * unless the runner was closed or the world hangs: the machine has its own time limits.
 */
import { exhaustive } from '../../base/invariant.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { ProbeResult } from '../../contract/ports/engine-driver.ts';
import type { ProcessExit, ProcessIdentity } from '../../contract/ports/process-host.ts';
import type { LaunchAdjustment } from '../../contract/remedies.ts';
import { lastWords, mayHaveLastWords } from '../../decide/diagnosis/last-words.ts';
import { createLineReader } from '../../decide/diagnosis/line-reader.ts';
import type { FleetState } from '../../decide/recovery/fleet-state.ts';
import type { RecoveryOrder } from '../../decide/recovery/recovery-effect.ts';
import type { RecoveryEvent } from '../../decide/recovery/recovery-event.ts';
import { engineUrl, isPermanent, launchReplica, logFileOf } from './launch-replica.ts';
import { Launches } from './launches.ts';
import { engineTarget, mendEngine } from './mend-engine.ts';
import { generationPrefix, parseOwner } from './owner-tag.ts';
import { type Moment, toRecord } from './record-times.ts';
import type { SupervisedReplica } from './supervised-replica.ts';
import type { SupervisorOptions } from './supervisor-options.ts';
import type { EngineWatch } from './watch/engine-watch.ts';

type Order<Type extends RecoveryOrder['type']> = Extract<RecoveryOrder, { type: Type }>;

export interface RunnerParts {
  options: SupervisorOptions;
  /** What is known of a replica; undefined when the configuration has never named it. */
  supervised(id: string): SupervisedReplica | undefined;
  /** The last known address of a replica. */
  urlOf(id: string): string | null;
  now(): Moment;
  watch: Pick<EngineWatch, 'begin' | 'canary' | 'judgeExit' | 'noteProbe' | 'windowOf'>;
  /** How the process is started differently from what the configuration says. */
  adjustmentOf(id: string): LaunchAdjustment;
  deliver(event: RecoveryEvent): void;
}

/** After a probe that was not answered in time: to ask gateways, and to try the port. Below the slack of the machine. */
const SECOND_LOOK_MS = 600;
/** A process that is gone is reported by its watch, too, and the watch knows how it ended: it goes first. */
const GONE_DELAY_MS = 300;
const SIGNALS = { TERM: 'SIGTERM', KILL: 'SIGKILL' } as const;

export class EffectRunner {
  readonly #parts: RunnerParts;
  readonly #watches = new Map<string, Disposable>();
  /** Where the log of the present process begins, by replica. Unknown for adopted ones: their file is read as it is. */
  readonly #logStarts = new Map<string, number>();
  readonly #launches: Launches;
  readonly #closing = new AbortController();
  readonly #probes = new Set<AbortController>();
  /** Writes under way, so that nothing is left half done at the end. */
  readonly #writes = new Set<Promise<unknown>>();

  constructor(parts: RunnerParts) {
    this.#parts = parts;
    this.#launches = new Launches(parts.options.clock);
  }

  carryOut(order: RecoveryOrder): void {
    switch (order.type) {
      case 'spawn':
        return void this.#spawn(order);
      case 'find':
        return this.#find(order);
      case 'signal':
        return void this.#signal(order);
      case 'probe':
        return void this.#probe(order);
      case 'capture':
        return void this.#capture(order);
      case 'mend':
        return void this.#mend(order);
      case 'persist':
        return void this.#persist(order);
      default:
        return exhaustive(order);
    }
  }

  /** Reports the end of a process, and ends what it leaves behind. */
  watch(id: string, generation: number, identity: ProcessIdentity): void {
    this.#watches.get(id)?.[Symbol.dispose]();
    const { processHost, logFiles } = this.#parts.options;
    logFiles?.watch(logFileOf(this.#parts.options, id));
    const onExit = (exit: ProcessExit) => {
      this.#watches.delete(id);
      // The gateways hear of it first: looking through all processes takes some milliseconds.
      const verdict = this.#parts.watch.judgeExit(id, generation, exit);
      const lastWords = this.#lastWords(id, exit);
      this.#deliver({ type: 'exited', replica: id, generation, exit, lastWords, verdict });
      this.endLeftovers(id, generation);
    };
    this.#watches.set(id, processHost.onExit(identity, onExit));
  }

  /** Children of a process that is gone, wherever they put themselves. */
  endLeftovers(id: string, generation: number): void {
    const { processHost, paths, log } = this.#parts.options;
    const killed = processHost.killOwned(generationPrefix(paths.instance, id, generation));
    if (killed > 0) log('warn', 'processes left behind by an engine were ended', { replica: id, killed });
  }

  /** Reading the end of one file takes less time than the gateways need to hear of the exit. */
  #lastWords(id: string, exit: ProcessExit): string | null {
    const { options, supervised } = this.#parts;
    if (options.logTail === undefined || !mayHaveLastWords(exit)) return null;
    const { engine } = supervised(id)?.model ?? {};
    const rules = engine === undefined ? [] : (options.drivers.get(engine)?.logRules ?? []);
    const lines = options.logTail.lines(logFileOf(options, id), this.#logStarts.get(id) ?? 0);
    return lastWords(lines, createLineReader({ rules, markers: [], samples: [] }));
  }

  forget(id: string): void {
    const { records, logFiles, log } = this.#parts.options;
    this.#logStarts.delete(id);
    logFiles?.unwatch(logFileOf(this.#parts.options, id));
    this.#track(
      records.remove(id).catch((error: unknown) => {
        log('warn', 'the record of a replica could not be removed', { replica: id, error: String(error) });
      }),
    );
  }

  /** Called after each step of the machine. */
  review(state: FleetState): void {
    this.#launches.review(state);
  }

  /** Nothing is delivered any more; processes go on. Resolves when running writes have ended. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#launches.close();
    for (const watch of this.#watches.values()) watch[Symbol.dispose]();
    this.#watches.clear();
    for (const probe of this.#probes) probe.abort();
    await Promise.all(this.#writes);
  }

  async #spawn(order: Order<'spawn'>): Promise<void> {
    const { id: effect, replica, generation } = order;
    const { options, supervised } = this.#parts;
    try {
      const wanted = supervised(replica);
      if (wanted === undefined)
        throw new PlatformError('config_invalid', `${replica} is not in the configuration`);
      const logStart = options.logTail?.sizeOf(logFileOf(options, replica)) ?? 0;
      this.#logStarts.set(replica, logStart);
      const adjustment = this.#parts.adjustmentOf(replica);
      const { process, url } = await this.#launches.run(order, (signal) =>
        launchReplica(options, wanted, { generation, adjustment }, signal),
      );
      this.#parts.watch.begin(replica, generation, logStart);
      if (!this.#closing.signal.aborted) this.watch(replica, generation, process);
      this.#deliver({ type: 'spawned', effect, replica, process, url });
    } catch (thrown) {
      const error = PlatformError.from(thrown);
      options.log(error.code === 'conflict' ? 'info' : 'error', 'an engine was not started', {
        replica,
        code: error.code,
        error: error.message,
      });
      this.#deliver({
        type: 'spawnFailed',
        effect,
        replica,
        permanent: isPermanent(error),
        reason: error.message,
      });
    }
  }

  #find({ id: effect, replica, generation }: Order<'find'>): void {
    const { processHost, paths } = this.#parts.options;
    const [found] = processHost.findOwned(generationPrefix(paths.instance, replica, generation));
    if (found === undefined)
      return this.#deliverSoon({ type: 'found', effect, replica, process: null, url: null });
    this.watch(replica, generation, found.identity);
    const port = parseOwner(paths.instance, found.owner)?.port ?? 0;
    const url = port === 0 ? null : engineUrl(port);
    this.#deliverSoon({ type: 'found', effect, replica, process: found.identity, url });
  }

  async #signal({ id: effect, replica, process, signal }: Order<'signal'>): Promise<void> {
    const { processHost, clock } = this.#parts.options;
    const sent = processHost.signalGroup(process, SIGNALS[signal]);
    if (!sent) await clock.sleep(GONE_DELAY_MS);
    const gone = !sent && !processHost.isAlive(process);
    this.#deliverSoon({ type: 'signalled', effect, replica, gone });
  }

  async #probe(order: Order<'probe'>): Promise<void> {
    const { id: effect, replica, timeoutMs, rung, generation } = order;
    const controller = new AbortController();
    const sentAtMs = this.#parts.options.clock.monotonicMs();
    this.#probes.add(controller);
    const timer = setTimeout(() => controller.abort(), timeoutMs);
    try {
      const { url, ...result } = await this.#look(order, controller.signal);
      const wasLate = !result.ok && controller.signal.aborted && !this.#closing.signal.aborted;
      this.#parts.watch.noteProbe(replica, generation, {
        atMs: this.#parts.options.clock.monotonicMs(),
        rung,
        ok: result.ok,
        latencyMs: this.#parts.options.clock.monotonicMs() - sentAtMs,
        ...(!result.ok && { why: whyFailed(wasLate, result.detail) }),
      });
      const found = wasLate ? { ...result, ...(await this.#lookAgain(order)) } : result;
      this.#deliver({ type: 'probed', effect, replica, ...found, ...(url !== undefined && { url }) });
    } catch (thrown) {
      const detail = PlatformError.from(thrown).message;
      this.#deliver({ type: 'probed', effect, replica, ok: false, detail });
    } finally {
      clearTimeout(timer);
      this.#probes.delete(controller);
    }
  }

  /** Whether who did not answer in time is busy, or at least accepts connections. */
  async #lookAgain(order: Order<'probe'>): Promise<Partial<Extract<RecoveryEvent, { type: 'probed' }>>> {
    const { sinceProgressMs } = this.#parts.options;
    const { replica, rung, timeoutMs } = order;
    const limit = AbortSignal.timeout(SECOND_LOOK_MS);
    const progress =
      rung === 'health' && sinceProgressMs !== undefined
        ? Promise.race([sinceProgressMs(replica).catch(() => null), whenAborted(limit)])
        : null;
    const [sinceMs, port] = await Promise.all([progress, this.#look({ ...order, rung: 'port' }, limit)]);
    if (sinceMs !== null && sinceMs <= timeoutMs + SECOND_LOOK_MS) {
      const detail = `busy: no answer to the health probe within ${timeoutMs} ms, but answers to clients go on`;
      return { ok: true, busy: true, detail };
    }
    return { late: rung !== 'port' && port.ok };
  }

  async #look(
    { replica, generation, rung }: Order<'probe'>,
    signal: AbortSignal,
  ): Promise<ProbeResult & { url?: string }> {
    const { options, supervised, urlOf } = this.#parts;
    const watched = supervised(replica);
    const driver = watched && options.drivers.get(watched.model.engine);
    if (watched === undefined || driver === undefined)
      return { ok: false, detail: 'it is not in the configuration' };
    const url = rung === 'port' ? await this.#addressOf(watched, generation) : urlOf(replica);
    if (url === null) return { ok: false, detail: 'the engine has not said its port yet' };
    const result = await driver.probe(engineTarget(watched.model, url), rung, signal);
    if (!result.ok || rung !== 'generation') return { ...result, url };
    const canary = await this.#parts.watch.canary(replica, signal);
    return canary === null || canary.ok ? { ...result, url } : { ...canary, url };
  }

  /** From the configuration, from the file that the engine writes, or chosen by us at the start. */
  async #addressOf({ spec }: SupervisedReplica, generation: number): Promise<string | null> {
    if (!spec.managed) return spec.url;
    const { ports } = this.#parts.options;
    const port = await ports.read(ports.fileFor(spec.id, generation));
    return port === null ? this.#parts.urlOf(spec.id) : engineUrl(port);
  }

  /** Evidence must never be the reason for which a repair waits longer than its time limit. */
  async #capture(order: Order<'capture'>): Promise<void> {
    const { id: effect, replica, generation, incident, process, timeoutMs } = order;
    const { options, supervised, urlOf, watch } = this.#parts;
    const watched = supervised(replica);
    let folder: string | null = null;
    if (options.capture !== undefined && watched !== undefined) {
      const subject = {
        incident,
        replica,
        engine: watched.model.engine,
        generation,
        process,
        url: process === null ? null : urlOf(replica),
        logFile: watched.spec.managed ? logFileOf(options, replica) : null,
        signals: watch.windowOf(replica),
        launchHash: watched.spec.launchHash,
      };
      const startedMs = options.clock.monotonicMs();
      try {
        folder = await options.capture(subject, AbortSignal.timeout(timeoutMs));
      } catch (error) {
        options.log('warn', 'no evidence could be taken', { incident, replica, error: String(error) });
      }
      const tookMs = Math.round(options.clock.monotonicMs() - startedMs);
      if (folder !== null)
        options.onFact({
          type: 'evidenceTaken',
          atMs: options.clock.wallMs(),
          incident,
          replica,
          folder,
          tookMs,
        });
    }
    this.#deliver({ type: 'captured', effect, replica, folder });
  }

  async #mend(order: Order<'mend'>): Promise<void> {
    const { id: effect, replica, remedy, timeoutMs } = order;
    const { options, supervised, urlOf } = this.#parts;
    const watched = supervised(replica);
    const url = urlOf(replica);
    const answer =
      watched === undefined || url === null
        ? { ok: false, detail: 'its address is not known' }
        : await mendEngine(
            options,
            { replica, remedy, model: watched.model, url },
            AbortSignal.timeout(timeoutMs),
          );
    this.#deliver({ type: 'mended', effect, replica, ...answer });
  }

  async #persist({ id: effect, replica, memory }: Order<'persist'>): Promise<void> {
    const { records, log } = this.#parts.options;
    const written = records.write(toRecord(memory, this.#parts.now())).then(
      () => true,
      (error: unknown) => {
        log('error', 'the record of a replica could not be written', { replica, error: String(error) });
        return false;
      },
    );
    this.#track(written);
    this.#deliver({ type: 'persisted', effect, replica, ok: await written });
  }

  #track(write: Promise<unknown>): void {
    this.#writes.add(write);
    void write.finally(() => this.#writes.delete(write));
  }

  /** For orders that are carried out at once: the machine is never called back from within a step. */
  #deliverSoon(event: RecoveryEvent): void {
    queueMicrotask(() => this.#deliver(event));
  }

  #deliver(event: RecoveryEvent): void {
    if (!this.#closing.signal.aborted) this.#parts.deliver(event);
  }
}

function whyFailed(wasLate: boolean, detail: string): 'timeout' | 'refused' | 'error' {
  if (wasLate) return 'timeout';
  return detail.includes('refused') ? 'refused' : 'error';
}

function whenAborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(null), { once: true }));
}
