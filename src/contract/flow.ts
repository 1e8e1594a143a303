/** What gateways see of the answers of one replica, all of them together: the second witness of whether it works. */
export interface FlowReading {
  /** Attempts on it that are not over. */
  inFlight: number;
  /** Since anything of an answer came; null: nothing lately. */
  sinceProgressMs: number | null;
  /** Attempts that have had no token yet, and the longest of their bodies. */
  waiting: number;
  waitingBytesMax: number;
  /** For one token, as measured; null: not known lately. */
  stepMs: number | null;
}

/** Of one gateway, by replica id. */
export interface WaitingAttempts {
  count: number;
  bytesMax: number;
}
