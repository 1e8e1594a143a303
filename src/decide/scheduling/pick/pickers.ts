/**
 * Pickers choose one of the candidates that filters kept, by their total scores. A picker may remember between decisions
 * (per worker and pool); chance comes with the decision.
 */

import type { Decision } from './decision.ts';
import { REPLICA_SLOTS_MAX, type ReplicaColumns } from './replica-columns.ts';

export interface Picker {
  /** Index of the chosen one; at least one is kept. */
  pick(decision: Decision): number;
}

/** The best; equals in rotation. */
class Best implements Picker {
  #rotation = 0;

  pick({ columns, droppedBy, total }: Decision): number {
    const { count } = columns;
    const start = this.#rotation++ % count;
    let best = -1;
    for (let step = 0; step < count; step++) {
      const index = start + step < count ? start + step : start + step - count;
      if (droppedBy[index] === 0 && (best < 0 || total[index]! > total[best]!)) best = index;
    }
    return best;
  }
}

/** The better of two that chance draws: nearly as even as the best, and workers that see the same do not all choose the same. */
class TwoChoices implements Picker {
  pick({ columns, droppedBy, total, kept, chance }: Decision): number {
    const first = chance.int(kept);
    let second = kept > 1 ? chance.int(kept - 1) : first;
    if (second >= first && kept > 1) second++;
    let firstIndex = -1;
    let secondIndex = -1;
    for (let index = 0, seen = 0; index < columns.count; index++) {
      if (droppedBy[index] !== 0) continue;
      if (seen === first) firstIndex = index;
      if (seen === second) secondIndex = index;
      seen++;
    }
    return total[secondIndex]! > total[firstIndex]! ? secondIndex : firstIndex;
  }
}

/**
 * Smooth weighted round robin (as nginx has it in `ngx_http_upstream_round_robin.c`): each gains its score, the richest serves
 * and pays what all gained. Shares follow the scores exactly, also while these change; equal scores give
 * plain rotation.
 */
class Rotation implements Picker {
  readonly #credit = new Float64Array(REPLICA_SLOTS_MAX);
  readonly #life = new Int32Array(REPLICA_SLOTS_MAX).fill(-1);

  pick({ columns, droppedBy, total, chance }: Decision): number {
    let sum = 0;
    let best = -1;
    let most = 0;
    for (let index = 0; index < columns.count; index++) {
      if (droppedBy[index] !== 0) continue;
      const slot = columns.slot[index]!;
      if (this.#life[slot] !== columns.life[index]) this.#welcome(columns, index, chance.next());
      const credit = this.#credit[slot]! + total[index]!;
      this.#credit[slot] = credit;
      sum += total[index]!;
      if (best < 0 || credit > most) {
        best = index;
        most = credit;
      }
    }
    this.#credit[columns.slot[best]!]! -= sum;
    return best;
  }

  /** Chance turns the start, so that workers do not march in step. */
  #welcome(columns: ReplicaColumns, index: number, draw: number): void {
    const slot = columns.slot[index]!;
    this.#life[slot] = columns.life[index]!;
    this.#credit[slot] = draw / 2;
  }
}

export const PICKERS = {
  best: () => new Best(),
  'two-choices': () => new TwoChoices(),
  rotation: () => new Rotation(),
} as const satisfies Record<string, () => Picker>;
export type PickerName = keyof typeof PICKERS;
