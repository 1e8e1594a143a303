/**
 * Keeps this gateway to its part of all limits while there are others of its node, in its main thread: takes the shares that the
 * node gives out, and says what is used and held. What is used is a share of a bucket, so a part that gets smaller keeps what
 * its bucket says, and who begins beside it begins with the same: together they have used what was used.
 *
 * Never on the side of too much: what nobody accounts for counts as used, and a bucket is raised before its part grows and lowered
 * after it.
 */
import type { Clock } from '../../../base/clock.ts';
import type { LimitShare, LimitUse, UsedRates } from '../../../contract/limit-share.ts';
import type { ConcurrencyCells } from '../../../decide/scheduling/limits/concurrency-cells.ts';
import { type RateCells, toNs } from '../../../decide/scheduling/limits/rate-cells.ts';
import { type BoundLimit, shareOfLimit } from '../../../decide/scheduling/limits/request-limits.ts';
import type { SlottedSnapshot } from '../fleet-table.ts';
import { concurrencyCellsOf, type LimitMemory, rateCellsOf } from './limit-memory.ts';
import { LimitParts } from './limit-parts.ts';
import { allLimited, boundLimits, isBookkeeping } from './limited.ts';

interface Kept {
  slot: number;
  limits: readonly BoundLimit[];
}

type Present = Pick<LimitShare, 'part' | 'of' | 'others'>;
const ALONE: Present = { part: 0, of: 1, others: [] };

export class ShareKeeper {
  readonly #rates: RateCells;
  readonly #counts: ConcurrencyCells;
  readonly #parts: LimitParts;
  readonly #clock: Pick<Clock, 'machineMs'>;
  /** By id of what is limited. */
  #kept: ReadonlyMap<string, Kept> = new Map();
  #present = ALONE;
  #taking = true;

  constructor(memory: LimitMemory, clock: Pick<Clock, 'machineMs'>) {
    this.#rates = rateCellsOf(memory);
    this.#counts = concurrencyCellsOf(memory, 0);
    this.#parts = new LimitParts(memory.parts);
    this.#clock = clock;
  }

  /** Whether others may want to know what is used here. */
  get isShared(): boolean {
    const { of, others } = this.#present;
    return !this.#taking || of > 1 || others.length > 0;
  }

  update({ snapshot, limitSlots }: SlottedSnapshot): void {
    const found = allLimited(snapshot).flatMap((limited): [string, Kept][] => {
      const slot = limitSlots[limited.id];
      return slot === undefined ? [] : [[limited.id, { slot, limits: boundLimits(limited, slot) }]];
    });
    this.#kept = new Map(found);
    this.#publish();
  }

  take(share: LimitShare): void {
    const nowNs = toNs(this.#clock.machineMs());
    const changes: { limit: BoundLimit; by: number }[] = [];
    for (const [id, { limits }] of this.#kept) {
      for (const limit of limits) {
        if (limit.kind === 'concurrency') continue;
        const by = this.#change(id, limit, share, nowNs);
        if (by !== 0) changes.push({ limit, by });
      }
    }
    this.#add(changes.filter(({ by }) => by > 0));
    this.#present = { part: share.part, of: share.of, others: share.others };
    this.#publish();
    this.#add(changes.filter(({ by }) => by < 0));
  }

  use(answers: number | null): LimitUse {
    const used: UsedRates = {};
    const held: Record<string, number> = {};
    const nowNs = toNs(this.#clock.machineMs());
    for (const [id, { limits }] of this.#kept) {
      const ratios: [number, number] = [0, 0];
      for (const limit of limits) {
        if (limit.kind !== 'concurrency')
          ratios[limit.kind === 'requests' ? 0 : 1] = this.#rates.usedRatio(limit.cell, limit.rate, nowNs);
        else if (!isBookkeeping(limit) && this.#counts.inFlight(limit.cell) > 0)
          held[id] = this.#counts.inFlight(limit.cell);
      }
      if (ratios[0] > 0 || ratios[1] > 0) used[id] = ratios;
    }
    return { taking: this.#taking, used, held, answers };
  }

  /** Nothing new is taken from here on: what is left of this part is for the others. */
  stopTaking(): LimitUse {
    const last = this.use(null);
    this.#taking = false;
    const rates = [...this.#kept.values()].flatMap(({ limits }) =>
      limits.filter(({ kind }) => kind !== 'concurrency'),
    );
    this.#add(rates.map((limit) => ({ limit, by: 1 })));
    return { ...last, taking: false };
  }

  /** By how much more, or less, of a bucket is used when the part changes. */
  #change(id: string, { kind, cell, rate }: BoundLimit, share: LimitShare, nowNs: bigint): number {
    const usedRatio = this.#rates.usedRatio(cell, rate, nowNs);
    const at = kind === 'requests' ? 0 : 1;
    if (share.begin !== null) return Math.max(0, (share.begin[id]?.[at] ?? 0) - usedRatio);
    const before = shareOfLimit(rate.amount, this.#present.of, this.#present.part);
    const after = shareOfLimit(rate.amount, share.of, share.part);
    if (after <= before) return 0;
    let unaccounted = after - before;
    let used = usedRatio * before;
    for (const left of share.left) {
      const taken = shareOfLimit(rate.amount, left.of, left.part) / share.of;
      unaccounted -= taken;
      used += taken * (left.used === null ? 1 : (left.used[id]?.[at] ?? 0));
    }
    return (used + Math.max(0, unaccounted)) / after - usedRatio;
  }

  #add(changes: readonly { limit: BoundLimit; by: number }[]): void {
    const nowNs = toNs(this.#clock.machineMs());
    for (const { limit, by } of changes)
      this.#rates.setUsedRatio(limit.cell, limit.rate, nowNs, (now) => Math.max(0, now + by));
  }

  #publish(): void {
    const { part, of, others } = this.#present;
    const isShared = of > 1 || others.length > 0;
    for (const [id, { slot, limits }] of this.#kept) {
      const places = limits.find((limit) => limit.kind === 'concurrency' && !isBookkeeping(limit));
      this.#parts.setPlaces(
        slot,
        places === undefined || !isShared ? null : placesHere(id, places.rate.amount, this.#present),
      );
    }
    this.#parts.setShare({ part, of, isShared });
  }
}

/** What the others hold, or may take, is not to be taken here. */
function placesHere(id: string, amount: number, { of, others }: Present): number {
  const elsewhere = others.reduce((sum, { part, held }) => {
    return sum + Math.max(held[id] ?? 0, part === null ? 0 : shareOfLimit(amount, of, part));
  }, 0);
  return Math.max(0, amount - elsewhere);
}
