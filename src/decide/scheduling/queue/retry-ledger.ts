/**
 * Retry-After that can be kept: who is refused is promised a place in a second in which the queue, draining as it does, has
 * one. Promises are booked per second, never more than that second can take, so that the refused do not all come back at
 * once. Who comes back in time redeems its promise before those that come for the first time; it is known by its ticket, which
 * clients need not know of: tenant and body of a request are the same when it is sent again. Beyond the horizon nothing is
 * promised, and the horizon is said.
 *
 * All times are monotonic milliseconds.
 */
const RETRY_HORIZON_S = 120;
/** How long after its second a promise may be redeemed: clients add jitter, and their clocks and networks are slow. */
const GRACE_S = 12;
/** Weight of the last second in the drain rate. */
const RATE_SMOOTHING = 0.2;
/** Share of the drain rate that is promised: the rest makes up for a rate that was measured too high. */
const PROMISED_RATIO = 0.9;
/** Promises that ended, from which on they say something about the next. */
const LEARN_FROM = 10;
/** Assumed until something has drained. */
const RATE_AT_START = 1;

interface BookedSecond {
  /** Promises that are not redeemed. */
  promises: number;
  byTicket: Map<string, number>;
}

export class RetryLedger {
  /** From the oldest second of grace to the horizon; only those with promises. A second holds no more than drains in it. */
  readonly #booked = new Map<number, BookedSecond>();
  #second = Number.NEGATIVE_INFINITY;
  #drainedThisSecond = 0;
  #busyThisSecond = false;
  #ratePerS = RATE_AT_START;
  #pacePerS = 0;
  #waits = false;
  /** Of the promises made lately, the share that was redeemed. */
  #redeemedRatio = 1;
  #redeemed = 0;
  #lapsed = 0;

  /** Requests that leave the queue per second, smoothed; falls while the queue stands still. */
  get drainPerS(): number {
    return this.#ratePerS;
  }

  /** The same of those seconds alone in which something left: the pace after a standstill that will pass. 0: not known yet. */
  get paceWhenMoving(): number {
    return this.#pacePerS;
  }

  /** A request left the queue for a replica. `waited`: somebody is still behind it, so that this is the pace of the engines. */
  drained(nowMs: number, waited: boolean): void {
    this.#advance(nowMs);
    this.#drainedThisSecond++;
    this.#waits = waited;
    if (waited) this.#busyThisSecond = true;
  }

  /** Whether somebody waits from here on. */
  waits(waits: boolean): void {
    this.#waits = waits;
  }

  /** Of the promises that are due within the next second, or were and may still come, as many as experience says will come. */
  dueSoon(nowMs: number): number {
    this.#advance(nowMs);
    let due = 0;
    for (let second = this.#second - GRACE_S; second <= this.#second + 1; second++) {
      due += this.#booked.get(second)?.promises ?? 0;
    }
    return due * this.#redeemedRatio;
  }

  /**
   * Books the first second that can take one more, and gives the seconds to wait for `Retry-After`.
   * @param ahead requests that must leave before the queue takes anybody.
   * @param roomMax requests that the queue can take at once.
   */
  promise(ticket: string, ahead: number, roomMax: number, nowMs: number): number {
    this.#advance(nowMs);
    const perSecond = Math.max(1 / RETRY_HORIZON_S, Math.min(this.#ratePerS * PROMISED_RATIO, roomMax));
    const first = Math.max(1, Math.ceil(ahead / Math.max(this.#ratePerS, 1 / RETRY_HORIZON_S)));
    for (let wait = first; wait <= RETRY_HORIZON_S; wait++) {
      const second = this.#second + wait;
      const takes = Math.floor((second + 1) * perSecond) - Math.floor(second * perSecond);
      if ((this.#booked.get(second)?.promises ?? 0) >= takes) continue;
      this.#book(second, ticket);
      return wait;
    }
    return RETRY_HORIZON_S;
  }

  /** Takes a promise of this ticket that is due; false: it has none. */
  redeem(ticket: string, nowMs: number): boolean {
    this.#advance(nowMs);
    if (this.#booked.size === 0) return false;
    for (let second = this.#second - GRACE_S; second <= this.#second; second++) {
      const booked = this.#booked.get(second);
      const count = booked?.byTicket.get(ticket) ?? 0;
      if (booked === undefined || count === 0) continue;
      booked.promises--;
      if (count === 1) booked.byTicket.delete(ticket);
      else booked.byTicket.set(ticket, count - 1);
      this.#redeemed++;
      return true;
    }
    return false;
  }

  #book(second: number, ticket: string): void {
    let booked = this.#booked.get(second);
    if (booked === undefined) {
      booked = { promises: 0, byTicket: new Map() };
      this.#booked.set(second, booked);
    }
    booked.promises++;
    booked.byTicket.set(ticket, (booked.byTicket.get(ticket) ?? 0) + 1);
  }

  #advance(nowMs: number): void {
    const second = Math.floor(nowMs / 1_000);
    if (second <= this.#second) return;
    if (Number.isFinite(this.#second)) {
      this.#measure(second - this.#second);
      this.#expire(second);
    }
    this.#second = second;
  }

  /** Only seconds in which somebody waited count: an idle gateway drains slowly because nobody comes. */
  #measure(seconds: number): void {
    if (this.#busyThisSecond) {
      const found = this.#drainedThisSecond / seconds;
      const weight = this.#pacePerS === 0 ? 1 : 1 - (1 - RATE_SMOOTHING) ** seconds;
      this.#ratePerS += weight * (found - this.#ratePerS);
      if (found > 0) this.#pacePerS += weight * (found - this.#pacePerS);
    }
    this.#drainedThisSecond = 0;
    this.#busyThisSecond = this.#waits;
  }

  #expire(second: number): void {
    for (const [booked, { promises }] of this.#booked) {
      if (booked >= second - GRACE_S) continue;
      this.#lapsed += promises;
      this.#booked.delete(booked);
    }
    this.#learn();
  }

  /** Clients that do not come back, or not as told, get fewer places kept. */
  #learn(): void {
    const ended = this.#redeemed + this.#lapsed;
    if (ended < LEARN_FROM) return;
    this.#redeemedRatio += RATE_SMOOTHING * (this.#redeemed / ended - this.#redeemedRatio);
    this.#redeemed = 0;
    this.#lapsed = 0;
  }
}
