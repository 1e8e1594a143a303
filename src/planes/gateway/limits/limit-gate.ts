/**
 * Lets a request on when its limits have room for it, before it waits for a place or reaches an engine; else says when to come
 * back. What it takes is held in the record of the request, whose end settles it.
 */
import type { Clock } from '../../../base/clock.ts';
import { PlatformError } from '../../../contract/errors.ts';
import type { SharedLimits } from '../../../contract/ports/shared-limits.ts';
import { durationText } from '../../../decide/scheduling/limits/rate-limit-headers.ts';
import {
  type BoundLimit,
  type LimitVerdict,
  RequestLimits,
} from '../../../decide/scheduling/limits/request-limits.ts';
import type { Envelope, InferenceEndpoint } from '../../../wire/openai/envelope.ts';
import type { FleetTable, PoolEntry, SlottedSnapshot } from '../fleet-table.ts';
import { tokensReserved } from '../places/token-estimate.ts';
import type { RequestRecord } from '../request-record.ts';
import { LimitBook } from './limit-book.ts';
import { LimitHold } from './limit-hold.ts';
import { concurrencyCellsOf, type LimitMemory, rateCellsOf } from './limit-memory.ts';
import { LimitParts } from './limit-parts.ts';
import { isForFiller } from './limited.ts';
import { type Asked, SharedTaking } from './shared-taking.ts';

export interface LimitGateOptions {
  clock: Clock;
  memory: LimitMemory;
  /** Index of the calling worker. */
  worker: number;
  slotted: SlottedSnapshot;
  table: FleetTable;
  /** Where several gateways keep count of rates together; null: this one counts for itself. */
  shared: SharedLimits | null;
  /** A request was let on, or not, without what others keep count of. */
  onAlone(): void;
}

/** They generate nothing and cost next to nothing. */
const UNLIMITED: readonly InferenceEndpoint[] = ['tokenize', 'detokenize'];
/** Lines of batches leave this much of a limit on tokens to the clients who share it. */
const SPARED_BY_FILLER = 0.5;

export class LimitGate {
  readonly #clock: Clock;
  readonly #state: RequestLimits;
  readonly #sharedTaking: SharedTaking | null;
  #book: LimitBook;

  constructor({ clock, memory, worker, slotted, table, shared, onAlone }: LimitGateOptions) {
    this.#clock = clock;
    const parts = new LimitParts(memory.parts, { placesOnly: shared !== null });
    this.#state = new RequestLimits(rateCellsOf(memory), concurrencyCellsOf(memory, worker), parts.of);
    const machineMs = () => clock.machineMs();
    this.#sharedTaking =
      shared === null ? null : new SharedTaking({ state: this.#state, shared, onAlone, machineMs });
    this.#book = new LimitBook(slotted, table);
  }

  update(slotted: SlottedSnapshot, table: FleetTable): void {
    this.#book = new LimitBook(slotted, table);
  }

  /**
   * Throws or rejects with `rate_limit_exceeded` or `tokens_exceed_limit`; `record.hold` is set in any case, for the headers.
   * A promise only where others keep count too.
   */
  admit(record: RequestRecord, pool: PoolEntry, envelope: Envelope): Promise<void> | undefined {
    if (record.hold !== null || UNLIMITED.includes(envelope.endpoint)) return;
    const limits = limitsFor(record, this.#book.limitsOf(record.keyName, pool));
    if (limits.length === 0) return;
    const hold = new LimitHold(this.#state, this.#clock, limits);
    record.hold = hold;
    const tokens = tokensReserved(envelope, pool.view.contextLength);
    const verdict = this.#take(record, hold, limits, tokens);
    if (!(verdict instanceof Promise)) return refuseUnlessAdmitted(verdict, record, hold);
    return verdict.then((found) => refuseUnlessAdmitted(found, record, hold));
  }

  /** Whether a request that was admitted for another model may be served by this one: its limits hold for all callers. */
  async admitFallback(record: RequestRecord, pool: PoolEntry, envelope: Envelope): Promise<boolean> {
    if (UNLIMITED.includes(envelope.endpoint)) return true;
    const limits = limitsFor(record, this.#book.limitsOfModel(pool));
    if (limits.length === 0) return true;
    record.hold ??= new LimitHold(this.#state, this.#clock, limits);
    const tokens = tokensReserved(envelope, pool.view.contextLength);
    return (await this.#take(record, record.hold, limits, tokens)).kind === 'admitted';
  }

  #take(
    { filler }: RequestRecord,
    hold: LimitHold,
    limits: readonly BoundLimit[],
    tokens: number,
  ): LimitVerdict | Promise<LimitVerdict> {
    const asked: Asked = { limits, tokens, sparedRatio: filler ? SPARED_BY_FILLER : 0, hold };
    return this.#sharedTaking === null ? this.#takeHere(asked) : this.#sharedTaking.take(asked);
  }

  #takeHere({ limits, tokens, sparedRatio, hold }: Asked): LimitVerdict {
    const verdict = this.#state.admit(limits, tokens, this.#clock.machineMs(), sparedRatio);
    if (verdict.kind === 'admitted') hold.add(verdict.reservation);
    return verdict;
  }
}

function refuseUnlessAdmitted(verdict: LimitVerdict, record: RequestRecord, hold: LimitHold): undefined {
  if (verdict.kind === 'admitted') return;
  const { scope, kind } = verdict.limit;
  record.limited = { scope, kind };
  throw refusal(verdict, hold);
}

function limitsFor({ filler }: RequestRecord, limits: readonly BoundLimit[]): readonly BoundLimit[] {
  return filler ? limits.filter(isForFiller) : limits;
}

function refusal(verdict: Exclude<LimitVerdict, { kind: 'admitted' }>, hold: LimitHold): PlatformError {
  const { limit } = verdict;
  const what = `${limit.subject} on ${UNITS[limit.kind]}: Limit ${limit.rate.amount}`;
  if (verdict.kind === 'too-large') {
    const message = `Request too large for ${what}, Requested ${verdict.units}. The prompt or the longest answer that it allows must be smaller.`;
    return new PlatformError('tokens_exceed_limit', message);
  }
  // Waiting to the millisecond must be enough.
  const retryAfterMs = Math.ceil(verdict.retryAfterMs);
  const used = limit.rate.amount - hold.read(limit).remaining;
  const message = `Rate limit reached for ${what}, Used ${used}. Please try again in ${durationText(retryAfterMs)}.`;
  return new PlatformError('rate_limit_exceeded', message, { retryAfterS: retryAfterMs / 1_000 });
}

/** As OpenAI words them, so that programs which look for these words find them. */
const UNITS: Record<BoundLimit['kind'], string> = {
  requests: 'requests per min (RPM)',
  tokens: 'tokens per min (TPM)',
  concurrency: 'requests at once',
};
