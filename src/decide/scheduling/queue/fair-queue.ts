/**
 * The queue of a pool: priority classes with reserved shares, fairness between tenants inside each, deadlines, and refusals
 * that say honestly when to come back. Pure: the gateway owns the requests, tells the time and carries out what is decided.
 *
 * Invariants: an entry leaves by exactly one of `take`, `remove`, `expired`; what left is never given out again; nothing whose
 * deadline has passed is given out. Work that was admitted before (`urgent`) goes first and is never refused.
 */
import { BoundedQueue } from '../../../base/bounded-queue.ts';
import { type HeapItem, IndexedHeap } from '../../../base/indexed-heap.ts';
import { invariant } from '../../../base/invariant.ts';
import { RetryLedger } from './retry-ledger.ts';
import { TenantLine, type Waiting } from './tenant-line.ts';

/** From this share of the limit on, the lowest class that waits is refused. */
const SHED_RATIO = 0.8;

export interface PriorityClass {
  name: string;
  /** Share of served tokens that it gets even while higher classes wait; all together at most 1. */
  reservedShare: number;
}

/** Highest first. */
const DEFAULT_CLASSES: readonly PriorityClass[] = [
  { name: 'high', reservedShare: 0 },
  { name: 'normal', reservedShare: 0.2 },
  { name: 'low', reservedShare: 0.05 },
];

export interface QueueEntry extends Waiting, HeapItem {
  /** Place in the classes, 0 is the highest. */
  priority: number;
  urgent: boolean;
  /** What the request has in common with itself when it is sent again: a hash of tenant and body. */
  ticket: string;
  /** Monotonic. */
  deadlineMs: number;
}

export type Offer =
  | { kind: 'queued' }
  /** `shed`: from SHED_RATIO on; `full`: nothing goes in; `too-late`: it would wait beyond its deadline. */
  | { kind: 'refused'; reason: 'shed' | 'full' | 'too-late'; retryAfterS: number };

/** Against other queues: streams that must go on wait for nobody. */
const URGENT_WEIGHT = 1_000_000;
const QUEUED: Offer = { kind: 'queued' };
/** Share of the queue that is kept for those who were promised a place. */
const PROMISED_MAX_RATIO = 0.5;
/** Tokens that a class may save up of its reserved share while others are served. */
const CREDIT_MAX = 100_000;

export class FairQueue<T extends QueueEntry> {
  readonly #classes: readonly PriorityClass[];
  readonly #lines: TenantLine<T>[];
  /** Tokens of its reserved share that a class has not had yet. */
  readonly #credit: number[];
  readonly #urgent = new BoundedQueue<T>(Number.POSITIVE_INFINITY);
  readonly #deadlines = new IndexedHeap<T>((a, b) => a.deadlineMs < b.deadlineMs);
  readonly #ledger = new RetryLedger();

  constructor(classes: readonly PriorityClass[] = DEFAULT_CLASSES) {
    const reserved = classes.reduce((sum, { reservedShare }) => sum + reservedShare, 0);
    if (classes.length === 0 || reserved > 1 || classes.some(({ reservedShare }) => !(reservedShare >= 0))) {
      throw new RangeError(
        `reserved shares add up to ${reserved} in ${classes.length} classes; 0 to 1 in one class or more is right`,
      );
    }
    this.#classes = classes;
    this.#lines = classes.map(() => new TenantLine<T>());
    this.#credit = classes.map(() => 0);
  }

  get size(): number {
    return this.#deadlines.size;
  }

  /** All that wait, in no order. */
  entries(): Iterable<T> {
    return this.#deadlines;
  }

  /**
   * What this queue is worth against other queues for the same places: the weights of the tenants that wait in its highest class,
   * by what the class may have of the places that a higher one wants. 0: nobody waits.
   */
  get turnWeight(): number {
    if (this.#urgent.size > 0) return URGENT_WEIGHT;
    const highest = this.#lines.findIndex((line) => line.size > 0);
    if (highest < 0) return 0;
    return this.#lines[highest]!.waitingWeight * (highest === 0 ? 1 : this.#classes[highest]!.reservedShare);
  }

  get drainPerS(): number {
    return this.#ledger.drainPerS;
  }

  /** @param limit entries that may wait, as the adaptive limit says at this moment. */
  offer(entry: T, limit: number, nowMs: number): Offer {
    const { weight, tokens, priority } = entry;
    invariant(
      weight > 0 && tokens >= 0,
      `weight ${weight} and ${tokens} tokens; above 0 and from 0 on are right`,
    );
    invariant(this.#lines[priority] !== undefined, `priority ${priority} of ${this.#lines.length} classes`);
    if (!entry.urgent) {
      const refusal = this.#refusal(entry, limit, nowMs);
      if (refusal !== null) return refusal;
    }
    if (entry.urgent) this.#urgent.push(entry);
    else this.#lines[entry.priority]!.push(entry);
    this.#deadlines.push(entry);
    this.#ledger.waits(true);
    return QUEUED;
  }

  /**
   * The next entry that `accept` takes (it has found a place for it). Call `expired` first: what has expired is passed over, and
   * stands before others of its tenant until it is taken out.
   */
  take(accept: (entry: T) => boolean, nowMs: number): T | undefined {
    const inTime = (entry: T) => entry.deadlineMs > nowMs && accept(entry);
    const entry = this.#urgent.take(inTime) ?? this.#takeByClass(inTime);
    if (entry === undefined) return undefined;
    this.#deadlines.remove(entry);
    this.#ledger.drained(nowMs, this.size > 0);
    return entry;
  }

  /** Its client left. True when it waited. */
  remove(entry: T): boolean {
    if (!this.#deadlines.remove(entry)) return false;
    if (entry.urgent) this.#urgent.remove(entry);
    else this.#lines[entry.priority]!.remove(entry);
    this.#ledger.waits(this.size > 0);
    return true;
  }

  /** Takes out one whose deadline has passed; undefined: none is left. */
  expired(nowMs: number): T | undefined {
    const first = this.#deadlines.first;
    if (first === undefined || first.deadlineMs > nowMs) return undefined;
    this.remove(first);
    return first;
  }

  /** The next deadline, for a timer. */
  get nextDeadlineMs(): number {
    return this.#deadlines.first?.deadlineMs ?? Number.POSITIVE_INFINITY;
  }

  /** A request that was taken has ended, and used so many tokens. */
  settle(entry: T, tokensUsed: number): void {
    if (!entry.urgent) this.#lines[entry.priority]!.settle(entry, tokensUsed);
  }

  #refusal(entry: T, limit: number, nowMs: number): Offer | null {
    const { size } = this;
    // Rounded up: a queue of fewer than five is not nearly full before it is full.
    const shedFrom = Math.ceil(limit * SHED_RATIO - 1e-9);
    if (size >= limit) return this.#refuse('full', entry, size - shedFrom, shedFrom, nowMs);
    if (this.#ledger.redeem(entry.ticket, nowMs)) return null;
    if (nowMs + this.#waitMs(entry) > entry.deadlineMs) {
      return this.#refuse('too-late', entry, size, shedFrom, nowMs);
    }
    const promised = Math.min(this.#ledger.dueSoon(nowMs), shedFrom * PROMISED_MAX_RATIO);
    if (size + promised < shedFrom || this.#runsDry(shedFrom)) return null;
    if (this.#isAboveLowest(entry) || (size + promised < limit && this.#isUnderShare(entry, shedFrom)))
      return null;
    return this.#refuse('shed', entry, Math.max(0, size - shedFrom), shedFrom, nowMs);
  }

  #refuse(
    reason: 'shed' | 'full' | 'too-late',
    { ticket }: T,
    ahead: number,
    roomMax: number,
    nowMs: number,
  ): Offer {
    return { kind: 'refused', reason, retryAfterS: this.#ledger.promise(ticket, ahead, roomMax, nowMs) };
  }

  /** How long it would wait, when a standstill passes: higher classes, and of its own as many from each tenant as it has itself. 0: not known yet. */
  #waitMs(entry: T): number {
    const { paceWhenMoving } = this.#ledger;
    if (paceWhenMoving === 0) return 0;
    const line = this.#lines[entry.priority]!;
    let ahead = Math.min(line.size, (line.waitingOf(entry.tenant) + 1) * line.waitingTenants);
    for (let higher = 0; higher < entry.priority; higher++) ahead += this.#lines[higher]!.size;
    return (ahead / paceWhenMoving) * 1_000;
  }

  /** Less waits than is served in a second: promises that nobody redeems must not starve the engines. */
  #runsDry(shedFrom: number): boolean {
    return this.size < Math.min(Math.max(1, this.#ledger.drainPerS), shedFrom / 2);
  }

  /** Above the lowest class that waits, which is the one to shed. */
  #isAboveLowest({ priority }: T): boolean {
    return priority < this.#lines.findLastIndex((line) => line.size > 0);
  }

  /** Its tenant is not alone, and holds less than its share of the queue. */
  #isUnderShare({ priority, tenant, weight }: T, shedFrom: number): boolean {
    const line = this.#lines[priority]!;
    const own = line.waitingOf(tenant);
    const weights = line.waitingWeight + (own > 0 ? 0 : weight);
    return own + 1 <= (shedFrom * weight) / weights && weights > weight;
  }

  #takeByClass(accept: (entry: T) => boolean): T | undefined {
    const owed = this.#owedClass();
    const taken = (owed >= 0 ? this.#lines[owed]!.take(accept) : undefined) ?? this.#takeHighest(accept);
    if (taken === undefined) return undefined;
    for (let place = 0; place < this.#classes.length; place++) {
      if (this.#lines[place]!.size === 0 && place !== taken.priority) this.#credit[place] = 0;
      else {
        const gained = this.#credit[place]! + taken.tokens * this.#classes[place]!.reservedShare;
        this.#credit[place] = Math.min(CREDIT_MAX, gained);
      }
    }
    this.#credit[taken.priority] = Math.max(-CREDIT_MAX, this.#credit[taken.priority]! - taken.tokens);
    return taken;
  }

  /** The class that lacks most of its reserved share, -1: none. */
  #owedClass(): number {
    let owed = -1;
    for (let place = 0; place < this.#classes.length; place++) {
      if (this.#lines[place]!.size === 0 || this.#credit[place]! <= 0) continue;
      if (owed < 0 || this.#credit[place]! > this.#credit[owed]!) owed = place;
    }
    return owed;
  }

  #takeHighest(accept: (entry: T) => boolean): T | undefined {
    for (const line of this.#lines) {
      const taken = line.size > 0 ? line.take(accept) : undefined;
      if (taken !== undefined) return taken;
    }
    return undefined;
  }
}
