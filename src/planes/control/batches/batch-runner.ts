/**
 * Runs batches: takes up those that nobody runs, keeps their leases, shares out how many lines may be under way, and takes
 * away files that have expired. Any number of processes may do so at once; each batch is run by one. When this process dies,
 * its leases run out, and whoever comes next goes on (docs/adr/0009-batches.md).
 */
import type { Clock } from '../../../base/clock.ts';
import { PlatformError } from '../../../contract/errors.ts';
import type { FileContents } from '../../../contract/ports/file-contents.ts';
import type { Stores } from '../../../contract/ports/stores.ts';
import type { InputRules } from './batch-input.ts';
import { BatchRun } from './batch-run.ts';
import { ByteBudget } from './byte-budget.ts';
import { sweepFiles } from './file-sweep.ts';
import type { LineSender } from './line-sender.ts';

export interface BatchRunnerOptions {
  /** Names this process among holders of leases. */
  holder: string;
  stores: Pick<Stores, 'batches' | 'files'>;
  contents: FileContents;
  sender: LineSender;
  clock: Clock;
  rules: Omit<InputRules, 'endpoint'>;
  /** Lines of all batches together. */
  inFlightMax: number;
  log(level: 'info' | 'warn' | 'error', message: string, detail: Record<string, unknown>): void;
}

/** Turns of the loop: waits of lines and expiry are noticed this soon. */
const TICK_MS = 200;
/** New batches are looked for this often. */
const CLAIM_MS = 600;
/** A batch whose process died is taken up again no later than this. */
const LEASE_MS = 5_000;
/** Leases are renewed, and cancellations noticed, this often. */
const RENEW_MS = 1_000;
const SWEEP_MS = 60_000;
/** Batches that are sent from at once; others wait. */
const RUNS_MAX = 8;
/** Batches beyond them that only have to be ended. */
const ENDING_RUNS_MAX = 4;
/** Of requests under way. */
const REQUEST_BYTES_MAX = 67_108_864;

export class BatchRunner {
  readonly #options: BatchRunnerOptions;
  readonly #runs = new Set<BatchRun>();
  readonly #stopped = new AbortController();
  readonly #budget: ByteBudget;
  #loop: Promise<void> = Promise.resolve();
  /** Storage did not answer when it was last asked. */
  #troubled = false;

  constructor(options: BatchRunnerOptions) {
    this.#options = options;
    this.#budget = new ByteBudget({ bytesMax: REQUEST_BYTES_MAX, waitingMax: options.inFlightMax });
  }

  start(): void {
    this.#loop = this.#turn();
  }

  /** Lets go of all batches, so that another process takes them up at once. */
  async close(): Promise<void> {
    this.#stopped.abort();
    await this.#loop;
    const holds = [...this.#runs].filter((run) => !run.done).map((run) => run.hold);
    for (const run of this.#runs) run.stop();
    this.#runs.clear();
    await Promise.allSettled(holds.map((hold) => this.#options.stores.batches.release(hold)));
  }

  async #turn(): Promise<void> {
    const { clock } = this.#options;
    const due = { claimMs: 0, renewMs: 0, sweepMs: clock.monotonicMs() + SWEEP_MS };
    while (!this.#stopped.signal.aborted) {
      const nowMs = clock.monotonicMs();
      try {
        if (nowMs >= due.renewMs) {
          due.renewMs = nowMs + RENEW_MS;
          await this.#renew();
        }
        if (nowMs >= due.claimMs) {
          due.claimMs = nowMs + CLAIM_MS;
          await this.#claim();
        }
        if (nowMs >= due.sweepMs) {
          due.sweepMs = nowMs + SWEEP_MS;
          await sweepFiles(this.#options);
        }
      } catch (thrown) {
        this.#complain(thrown);
      }
      this.#tick();
      await clock.sleep(TICK_MS, this.#stopped.signal).catch(() => {});
    }
  }

  async #claim(): Promise<void> {
    const { holder, stores, clock } = this.#options;
    const room = RUNS_MAX - this.#runs.size;
    const nowMs = Math.floor(clock.wallMs());
    const limit = room > 0 ? room : RUNS_MAX + ENDING_RUNS_MAX - this.#runs.size;
    if (limit <= 0) return;
    const held = await stores.batches.claim({
      holder,
      nowMs,
      leaseUntilMs: nowMs + LEASE_MS,
      limit,
      endingOnly: room <= 0,
    });
    this.#troubled = false;
    for (const one of held) {
      const run = new BatchRun({ ...this.#options, budget: this.#budget }, one);
      this.#runs.add(run);
      run.start(this.#share());
    }
  }

  async #renew(): Promise<void> {
    if (this.#runs.size === 0) return;
    const { stores, clock } = this.#options;
    const runs = [...this.#runs];
    const leaseUntilMs = Math.floor(clock.wallMs()) + LEASE_MS;
    const present = await stores.batches.renew({ holds: runs.map(({ hold }) => hold), leaseUntilMs });
    this.#troubled = false;
    const byId = new Map(present.map((batch) => [batch.id, batch]));
    for (const run of runs) {
      const batch = byId.get(run.id);
      // Taken over by another process, or over.
      if (batch === undefined) run.stop();
      else if (batch.status === 'cancelling') run.hear({ type: 'cancelAsked' });
    }
  }

  #tick(): void {
    for (const run of this.#runs) if (run.done) this.#runs.delete(run);
    const nowMs = this.#options.clock.wallMs();
    const inFlightMax = this.#share();
    for (const run of this.#runs) {
      run.hear({ type: 'limitChanged', inFlightMax });
      run.hear({ type: 'ticked', nowMs });
    }
  }

  #share(): number {
    return Math.max(1, Math.floor(this.#options.inFlightMax / Math.max(1, this.#runs.size)));
  }

  /** Once per trouble. */
  #complain(thrown: unknown): void {
    if (this.#troubled) return;
    this.#troubled = true;
    const { message } = PlatformError.from(thrown);
    this.#options.log('warn', 'batches cannot be looked after', { problem: message });
  }
}
