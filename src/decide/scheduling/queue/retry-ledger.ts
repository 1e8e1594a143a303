/**
 * Retry-After that can be kept: who is refused is promised a place in a second in which the queue, draining as it does, has
 * one. Promises are booked per second, never more than that second can take, so that the refused do not all come back at
 * once. Who comes back in time redeems its promise before those that come for the first time; it is known by its ticket, which
 * clients need not know of: tenant and body of a request are the same when it is sent again. Beyond the horizon nothing is
 * promised, and the horizon is said.
 *
 * All times are monotonic milliseconds.
 */
export const RETRY_HORIZON_S = 120;
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

export class RetryLedger {
  /** Promises per second of the horizon, by second modulo its length; the seconds of grace are still in it. */
  readonly #promised = new Int32Array(RETRY_HORIZON_S + GRACE_S + 2);
  readonly #byTicket = new Map<string, Map<number, number>>();
  #second = Number.NEGATIVE_INFINITY;
  #drainedThisSecond = 0;
  #busyThisSecond = false;
  #ratePerS = RATE_AT_START;
  /** Of the promises made lately, the share that was redeemed. */
  #redeemedRatio = 1;
  #redeemed = 0;
  #lapsed = 0;
  #rated = false;

  /** Requests that leave the queue per second, smoothed. */
  get drainPerS(): number {
    return this.#ratePerS;
  }

  /** The rate was measured, and is not just assumed. */
  get rated(): boolean {
    return this.#rated;
  }

  /** A request left the queue for a replica. `waited`: somebody is still behind it, so that this is the pace of the engines. */
  drained(nowMs: number, waited: boolean): void {
    this.#advance(nowMs);
    this.#drainedThisSecond++;
    if (waited) this.#busyThisSecond = true;
  }

  /** Of the promises that are due within the next second, or were and may still come, as many as experience says will come. */
  dueSoon(nowMs: number): number {
    this.#advance(nowMs);
    let due = 0;
    for (let second = this.#second - GRACE_S; second <= this.#second + 1; second++) {
      due += this.#promised[this.#place(second)]!;
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
      const place = this.#place(second);
      const takes = Math.floor((second + 1) * perSecond) - Math.floor(second * perSecond);
      if (this.#promised[place]! >= takes) continue;
      this.#promised[place]!++;
      const own = this.#byTicket.get(ticket) ?? new Map<number, number>();
      own.set(second, (own.get(second) ?? 0) + 1);
      this.#byTicket.set(ticket, own);
      return wait;
    }
    return RETRY_HORIZON_S;
  }

  /** Takes a promise of this ticket that is due; false: it has none. */
  redeem(ticket: string, nowMs: number): boolean {
    this.#advance(nowMs);
    const own = this.#byTicket.get(ticket);
    if (own === undefined) return false;
    for (const [second, count] of own) {
      if (second > this.#second) continue;
      this.#promised[this.#place(second)]!--;
      this.#redeemed++;
      if (count === 1) own.delete(second);
      else own.set(second, count - 1);
      if (own.size === 0) this.#byTicket.delete(ticket);
      return true;
    }
    return false;
  }

  #place(second: number): number {
    const { length } = this.#promised;
    return ((second % length) + length) % length;
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
      this.#ratePerS = this.#rated ? this.#ratePerS + RATE_SMOOTHING * (found - this.#ratePerS) : found;
      this.#rated = true;
    }
    this.#drainedThisSecond = 0;
    this.#busyThisSecond = false;
  }

  #expire(second: number): void {
    const from = Math.max(this.#second - GRACE_S, second - this.#promised.length);
    for (let old = from; old < second - GRACE_S; old++) {
      this.#lapsed += this.#promised[this.#place(old)]!;
      this.#promised[this.#place(old)] = 0;
    }
    this.#learn();
    for (const [ticket, own] of this.#byTicket) {
      for (const due of own.keys()) if (due < second - GRACE_S) own.delete(due);
      if (own.size === 0) this.#byTicket.delete(ticket);
    }
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
