/**
 * Port: rates that several gateways keep count of together, as token buckets. Every call ends in time or rejects with
 * `storage_unavailable`; what was sent and had no answer in time may have been carried out.
 */
export interface SharedRate {
  /** The same for all gateways. */
  id: string;
  amount: number;
  windowMs: number;
}

export interface SharedCharge {
  rate: SharedRate;
  units: number;
  /** Must be left for others, too. */
  spared: number;
}

export interface SharedReading {
  remaining: number;
  /** Until the bucket is full. */
  resetMs: number;
}

export interface SharedTake {
  /** Null: all was taken. Else nothing was, and the charge that must be waited for longest. */
  refused: { index: number; retryAfterMs: number } | null;
  /** Of each rate, afterwards. */
  readings: SharedReading[];
}

export interface SharedLimits {
  /** All charges, or none. */
  take(charges: readonly SharedCharge[]): Promise<SharedTake>;
  /** Makes each charge of `units` one of `used`, whatever the bucket says. Never rejects. */
  adjust(charges: readonly (Pick<SharedCharge, 'rate' | 'units'> & { used: number })[]): void;
  /** Gateways that keep count there, this one included, as far as this one has heard. */
  readonly gateways: number;
  close(): void;
}
