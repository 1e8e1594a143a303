/**
 * The waiting requests of one priority class, fair between tenants by virtual token counters (Sheng et al., "Fairness in
 * Serving Large Language Models", OSDI 2024): each tenant has a counter of the tokens it was served, divided by its weight; the
 * one with the least goes next. Invariant: a tenant that comes back from idleness starts at the least counter of those that
 * wait, so that idling saves up nothing.
 */
import { BoundedQueue } from '../../../base/bounded-queue.ts';
import { type HeapItem, IndexedHeap } from '../../../base/indexed-heap.ts';

export interface Waiting {
  tenant: string;
  /** Share of the tenant against others; 1 is usual, must be above 0. */
  weight: number;
  /** Tokens that it is expected to use. */
  tokens: number;
}

interface Tenant<T> extends HeapItem {
  name: string;
  weight: number;
  /** Tokens served, by weight. */
  counter: number;
  waiting: BoundedQueue<T>;
  /** Served and not settled yet. */
  open: number;
  /** What the counter holds of those, which is no more than expected. */
  openCharge: number;
}

/** Entries that are offered before giving up: one may be choosy about where it goes, and another behind it not. */
const OFFERS_MAX = 8;

export class TenantLine<T extends Waiting> {
  readonly #tenants = new Map<string, Tenant<T>>();
  readonly #line = new IndexedHeap<Tenant<T>>((a, b) => a.counter < b.counter);
  size = 0;
  /** The counter of whoever was served last: where newcomers start when nobody waits. */
  #level = 0;

  /** Tenants that wait. */
  get waitingTenants(): number {
    return this.#line.size;
  }

  /** Sum of the weights of the tenants that wait. */
  get waitingWeight(): number {
    let sum = 0;
    for (const { weight } of this.#line) sum += weight;
    return sum;
  }

  waitingOf(tenant: string): number {
    return this.#tenants.get(tenant)?.waiting.size ?? 0;
  }

  push(entry: T): void {
    let tenant = this.#tenants.get(entry.tenant);
    if (tenant === undefined) {
      const waiting = new BoundedQueue<T>(Number.POSITIVE_INFINITY);
      tenant = {
        name: entry.tenant,
        weight: entry.weight,
        counter: 0,
        waiting,
        open: 0,
        openCharge: 0,
        heapAt: -1,
      };
      this.#tenants.set(entry.tenant, tenant);
    }
    tenant.weight = entry.weight;
    tenant.waiting.push(entry);
    this.size++;
    if (tenant.heapAt >= 0) return;
    tenant.counter = Math.max(tenant.counter, this.#start());
    this.#line.push(tenant);
  }

  /**
   * Where who comes from idleness starts: where the first that waits would be if all of its requests that run used nothing. What
   * they were expected to use is given back when they end, and would put the newcomer behind all that is served until then.
   */
  #start(): number {
    const { first } = this.#line;
    return first === undefined ? this.#level : first.counter - first.openCharge;
  }

  /** True when it waited here. */
  remove(entry: T): boolean {
    const tenant = this.#tenants.get(entry.tenant);
    if (tenant === undefined || !tenant.waiting.remove(entry)) return false;
    this.size--;
    this.#tidy(tenant);
    return true;
  }

  /** The next entry that `accept` takes, removed and counted as served: the tenant with the least counter first, and its oldest. */
  take(accept: (entry: T) => boolean): T | undefined {
    const passed: Tenant<T>[] = [];
    let taken: T | undefined;
    let offers = 0;
    while (taken === undefined && offers < OFFERS_MAX) {
      const tenant = this.#line.first;
      if (tenant === undefined) break;
      taken = tenant.waiting.take((entry) => offers++ < OFFERS_MAX && accept(entry));
      if (taken !== undefined) {
        this.#serve(tenant, taken);
      } else {
        this.#line.remove(tenant);
        passed.push(tenant);
      }
    }
    for (const tenant of passed) this.#line.push(tenant);
    return taken;
  }

  /** An entry that was taken has ended, and used `tokensUsed`. */
  settle(entry: T, tokensUsed: number): void {
    const tenant = this.#tenants.get(entry.tenant);
    if (tenant === undefined || tenant.open === 0) return;
    tenant.open--;
    tenant.openCharge = tenant.open === 0 ? 0 : tenant.openCharge - entry.tokens / tenant.weight;
    tenant.counter += (tokensUsed - entry.tokens) / tenant.weight;
    this.#line.moved(tenant);
    this.#tidy(tenant);
  }

  #serve(tenant: Tenant<T>, entry: T): void {
    this.size--;
    this.#level = tenant.counter;
    tenant.counter += entry.tokens / tenant.weight;
    tenant.open++;
    tenant.openCharge += entry.tokens / tenant.weight;
    this.#line.moved(tenant);
    this.#tidy(tenant);
  }

  /** Who neither waits nor is served is forgotten once its counter is not above the level. */
  #tidy(tenant: Tenant<T>): void {
    if (tenant.waiting.size > 0) return;
    this.#line.remove(tenant);
    if (tenant.open === 0 && tenant.counter <= this.#level) this.#tenants.delete(tenant.name);
    else this.#forgetSettled();
  }

  /** Bounds what is kept of tenants that left: beyond TENANTS_KEPT_MAX those that hold nothing are dropped, oldest first. */
  #forgetSettled(): void {
    if (this.#tenants.size <= TENANTS_KEPT_MAX + this.#line.size) return;
    for (const [name, tenant] of this.#tenants) {
      if (tenant.waiting.size > 0 || tenant.open > 0) continue;
      this.#tenants.delete(name);
      return;
    }
  }
}

/** Tenants whose counters are kept although they neither wait nor are served. */
const TENANTS_KEPT_MAX = 4_096;
