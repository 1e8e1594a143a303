/**
 * Filters drop candidates that must not, or need not, serve the request. A soft filter steps back when it would leave nobody.
 * The first hard filter that leaves nobody gives the decision its verdict.
 */
import type { DataNeed, Decision } from './decision.ts';

export type Verdict = 'none-ready' | 'none-capable' | 'full';

export interface Filter {
  readonly needs: readonly DataNeed[];
  /** What the decision says when the filter leaves nobody; null: soft. */
  readonly verdict: Verdict | null;
  /** 1 for what is kept. Called for each candidate that is still in. */
  keeps(decision: Decision, index: number): boolean;
  /** Looks at all candidates that are still in, before `keeps`. */
  prepare?(decision: Decision): void;
}

/** The affinity choice has at most this much of the work in flight that the least-loaded choice would have. */
export const LOAD_BOUND = 1.2;

const serving: Filter = {
  needs: [],
  verdict: 'none-ready',
  keeps: ({ columns }, index) => columns.serving[index] === 1,
};

const capable: Filter = {
  needs: [],
  verdict: 'none-capable',
  keeps: ({ columns }, index) => columns.capable[index] === 1,
};

/** Leaves out what failed this request before, as long as another can serve it, even if it must be waited for. */
const fresh: Filter = {
  needs: [],
  verdict: null,
  keeps: ({ columns }, index) => columns.avoided[index] === 0,
};

const room: Filter = {
  needs: [],
  verdict: 'full',
  keeps: ({ columns }, index) => columns.inFlight[index]! < columns.effectiveWindow(index),
};

/** Keeps what would not have more than LOAD_BOUND times the work of the least-loaded choice, this request included. */
class LoadBound implements Filter {
  readonly needs = ['work-in-flight'] as const;
  readonly verdict = null;
  #most = 0;

  prepare(decision: Decision): void {
    let least = Number.POSITIVE_INFINITY;
    for (let index = 0; index < decision.columns.count; index++) {
      if (decision.droppedBy[index] === 0) least = Math.min(least, decision.workWith(index));
    }
    this.#most = least * LOAD_BOUND;
  }

  keeps(decision: Decision, index: number): boolean {
    return decision.columns.probe[index] === 1 || decision.workWith(index) <= this.#most;
  }
}

/** Makers, because a filter may keep something between `prepare` and `keeps`. */
export const FILTERS = {
  serving: () => serving,
  capable: () => capable,
  fresh: () => fresh,
  room: () => room,
  'load-bound': () => new LoadBound(),
} as const satisfies Record<string, () => Filter>;
export type FilterName = keyof typeof FILTERS;
