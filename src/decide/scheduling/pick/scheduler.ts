/**
 * Chooses the replica for an attempt: filters, then scorers, then the picker. One per pool and worker; a decision allocates
 * nothing, and its explanation is built only when somebody asks, from what the decision left behind.
 */
import type { Random } from '../../../base/random.ts';
import type { PrefixIndex } from '../affinity/prefix-index.ts';
import { type DataNeed, Decision, type RequestFacts } from './decision.ts';
import { FILTERS, type Filter, type Verdict } from './filters.ts';
import { PICKERS, type Picker } from './pickers.ts';
import type { ReplicaColumns } from './replica-columns.ts';
import { SCORERS, type Scorer } from './scorers.ts';
import { type StrategySpec, strategyProblems } from './strategies.ts';

/** `decide` gives the index of the chosen replica, or one of these. */
export const NONE_READY = -1;
export const NONE_CAPABLE = -2;
export const FULL = -3;
const CODES: Record<Verdict, number> = {
  'none-ready': NONE_READY,
  'none-capable': NONE_CAPABLE,
  full: FULL,
};

export interface Explanation {
  strategy: string;
  /** Id of the chosen replica, or why there is none. */
  picked: string | null;
  verdict: 'picked' | Verdict;
  reason: string;
  candidates: {
    replica: string;
    /** The filter that dropped it; null: it was in. */
    droppedBy: string | null;
    inFlight: number;
    /** How much of its weight counts, three digits; absent: all of it. Less in slow start, after failures, of a straggler. */
    share?: number;
    /** By scorer, 0 to 1, three digits; empty when it was dropped. */
    scores: Record<string, number>;
    total: number;
  }[];
}

export interface SchedulerOptions {
  /** For explanations. */
  name: string;
  spec: StrategySpec;
  columns: ReplicaColumns;
  chance: Random;
  available: ReadonlySet<DataNeed>;
  prefixIndex?: PrefixIndex;
}

export class Scheduler {
  readonly #name: string;
  readonly #spec: StrategySpec;
  readonly #filters: readonly Filter[];
  readonly #scorers: readonly Scorer[];
  readonly #weights: readonly number[];
  readonly #scores: readonly Float64Array[];
  readonly #picker: Picker;
  readonly #prefixIndex: PrefixIndex | null;
  readonly #decision: Decision;
  #last = NONE_READY;

  /** Throws a RangeError with all problems where data is missing; `strategyProblems` tells them at load. */
  constructor({ name, spec, columns, chance, available, prefixIndex }: SchedulerOptions) {
    const problems = strategyProblems(spec, available);
    if (available.has('prefix-index') && prefixIndex === undefined)
      problems.push('no prefix index was given');
    if (problems.length > 0) throw new RangeError(`strategy "${name}": ${problems.join('; ')}`);
    this.#name = name;
    this.#spec = spec;
    this.#filters = spec.filters.map((filter) => FILTERS[filter]());
    this.#scorers = spec.scorers.map((scorer) => SCORERS[scorer.name]);
    const sum = spec.scorers.reduce((total, { weight }) => total + weight, 0);
    this.#weights = spec.scorers.map(({ weight }) => weight / sum);
    this.#scores = spec.scorers.map(() => new Float64Array(columns.capacity));
    this.#picker = PICKERS[spec.picker]();
    const usesPrefix = this.#scorers.some(({ needs }) => needs.includes('prefix-index'));
    this.#prefixIndex = usesPrefix ? (prefixIndex ?? null) : null;
    this.#decision = new Decision(columns, EMPTY_REQUEST, chance);
  }

  /** Index of the chosen replica in the columns, or NONE_READY, NONE_CAPABLE, FULL. */
  decide(request: RequestFacts): number {
    const decision = this.#decision;
    decision.request = request;
    decision.droppedBy.fill(0);
    decision.kept = decision.columns.count;
    this.#lookUp(decision);
    const lost = decision.kept === 0 ? NONE_READY : this.#filter(decision);
    if (lost !== 0) {
      this.#last = lost;
      return lost;
    }
    this.#score(decision);
    const probe = probeAmong(decision);
    this.#last = probe >= 0 ? probe : this.#picker.pick(decision);
    return this.#last;
  }

  /** The chosen replica is given the request: what it will have seen is remembered. */
  settle(index: number, request: RequestFacts): void {
    const { slot, life } = this.#decision.columns;
    if (this.#prefixIndex !== null && request.blocks !== null) {
      this.#prefixIndex.remember(request.blocks, slot[index]!, life[index]!, request.nowMs);
    }
  }

  /** Tokens of work that the last decision's choice adds to the replica: what it has seen is not done again. */
  addedWork(index: number): number {
    return this.#decision.workWith(index) - this.#decision.columns.work[index]!;
  }

  /** Why the last decision fell as it did; call it before the next one. */
  explain(): Explanation {
    const { columns, droppedBy, total, kept } = this.#decision;
    const picked = this.#last >= 0 ? columns.ids[this.#last]! : null;
    const verdict = (Object.keys(CODES) as Verdict[]).find((name) => CODES[name] === this.#last) ?? 'picked';
    const candidates = columns.ids.map((replica, index) => {
      const dropped = droppedBy[index] === 0 ? null : this.#spec.filters[droppedBy[index]! - 1]!;
      const scored = picked !== null && dropped === null;
      return {
        replica,
        droppedBy: dropped,
        inFlight: columns.inFlight[index]!,
        ...(columns.share[index]! < 1 && { share: rounded(columns.share[index]!) }),
        scores: scored ? this.#scoresOf(index) : {},
        total: scored ? rounded(total[index]!) : 0,
      };
    });
    const reason =
      picked === null
        ? `${columns.count} candidates, none left: ${verdict}`
        : columns.probe[this.#last] === 1
          ? `${picked} waits for a probe`
          : `${picked} scored ${rounded(total[this.#last]!)}; ${this.#spec.picker} of ${kept} kept, ${columns.count} in all`;
    return { strategy: this.#name, picked, verdict, reason, candidates };
  }

  /** 0, or the code of the filter that left nobody. */
  #filter(decision: Decision): number {
    const { droppedBy, columns } = decision;
    for (let place = 0; place < this.#filters.length; place++) {
      const filter = this.#filters[place]!;
      filter.prepare?.(decision);
      const mark = place + 1;
      let kept = 0;
      for (let index = 0; index < columns.count; index++) {
        if (droppedBy[index] !== 0) continue;
        if (filter.keeps(decision, index)) kept++;
        else droppedBy[index] = mark;
      }
      if (kept > 0) {
        decision.kept = kept;
      } else if (filter.verdict === null) {
        for (let index = 0; index < columns.count; index++)
          if (droppedBy[index] === mark) droppedBy[index] = 0;
      } else {
        return CODES[filter.verdict];
      }
    }
    return 0;
  }

  #lookUp(decision: Decision): void {
    if (this.#prefixIndex === null) return;
    const { blocks, nowMs } = decision.request;
    if (blocks === null || blocks.count === 0) decision.depth.fill(0);
    else this.#prefixIndex.lookup(blocks, decision.columns, nowMs, decision.depth);
  }

  #score(decision: Decision): void {
    const { total, columns, droppedBy } = decision;
    total.fill(0);
    for (let place = 0; place < this.#scorers.length; place++) {
      const scores = this.#scores[place]!;
      const weight = this.#weights[place]!;
      this.#scorers[place]!.score(decision, scores);
      for (let index = 0; index < columns.count; index++) {
        if (droppedBy[index] === 0) total[index]! += weight * scores[index]!;
      }
    }
  }

  #scoresOf(index: number): Record<string, number> {
    return Object.fromEntries(
      this.#spec.scorers.map(({ name }, place) => [name, rounded(this.#scores[place]![index]!)]),
    );
  }
}

/** A candidate that waits for its probe, -1: none. */
function probeAmong({ columns, droppedBy }: Decision): number {
  for (let index = 0; index < columns.count; index++) {
    if (columns.probe[index] === 1 && droppedBy[index] === 0) return index;
  }
  return -1;
}

const EMPTY_REQUEST: RequestFacts = {
  blocks: null,
  sessionHash: 0,
  promptTokens: 0,
  answerTokens: 0,
  nowMs: 0,
};

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
