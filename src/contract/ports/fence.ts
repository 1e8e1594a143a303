/**
 * Port: who may act on the engines of a state directory. In the contract: numbers grow, none is given twice, also to two who ask
 * at once; from the moment at which a number is given nobody with a smaller one holds the fence. `isHeld` is asked before each
 * act, at once. Not in the contract: that a former holder hears of it; it may be paused, and is refused when it goes on.
 */
export interface Fence {
  readonly number: number;
  isHeld(): boolean;
}

export interface FenceStore {
  /** Rejects where nothing can be written. `owner`: who takes it, for people. */
  take(owner: string): Promise<Fence>;
}
