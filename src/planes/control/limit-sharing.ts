/**
 * Gives each gateway of the node its part of all limits while there is more than one: those that take requests share them evenly,
 * the remainder of a division included; those that only finish what they have hold what they hold. Who comes waits until those who
 * are there have made room, and begins with as much of its part used as theirs.
 *
 * Invariant: the parts that gateways were told, and have not been told to give up, add up to no more than the whole.
 */
import { Waiters } from '../../base/waiters.ts';
import type { HeldPlaces, LimitShare, LimitUse, UsedRates } from '../../contract/limit-share.ts';

/** Who does not say by then what it uses is taken at its last word. */
const ANSWER_MS = 500;

interface Member {
  id: string;
  send(share: LimitShare): void;
  taking: boolean;
  /** It was told its part. */
  isIn: boolean;
  /** At its last word; null: it has said nothing. */
  used: UsedRates | null;
  held: HeldPlaces;
  /** The newest question that it has answered. */
  answered: number;
}

type Left = LimitShare['left'][number];

export class LimitSharing {
  /** In the order of their parts. */
  readonly #members = new Map<string, Member>();
  readonly #waiters = new Waiters();
  #asked = 0;
  #joining: Promise<void> = Promise.resolve();

  /** A gateway can be spoken to, for the first time or again. Resolves when it has its part. */
  join(id: string, { taking, send }: { taking: boolean; send(share: LimitShare): void }): Promise<void> {
    this.#joining = this.#joining.then(() => this.#join(id, taking, send)).catch(() => {});
    return this.#joining;
  }

  said(id: string, { taking, used, held, answers }: LimitUse): void {
    const member = this.#members.get(id);
    if (member === undefined) return;
    const left = member.taking && !taking ? [this.#leftOf(member, used)] : [];
    const isNews = left.length > 0 || JSON.stringify(held) !== JSON.stringify(member.held);
    Object.assign(member, { used, held, taking: member.taking && taking });
    if (answers !== null) member.answered = Math.max(member.answered, answers);
    this.#waiters.check();
    if (isNews) this.#tellAll({ left, except: id });
  }

  /** The gateway has ended, or takes nothing any more and will not say what it used. */
  leave(id: string): void {
    const member = this.#members.get(id);
    if (member === undefined) return;
    const left = member.taking ? [this.#leftOf(member, null)] : [];
    this.#members.delete(id);
    this.#waiters.check();
    this.#tellAll({ left });
  }

  close(): void {
    this.#members.clear();
    this.#waiters.close();
  }

  async #join(id: string, taking: boolean, send: (share: LimitShare) => void): Promise<void> {
    const known = this.#members.get(id);
    if (known !== undefined) {
      known.send = send;
      if (known.isIn) this.#tell(known);
      return;
    }
    const member: Member = { id, send, taking, isIn: false, used: null, held: {}, answered: 0 };
    const before = this.#taking();
    this.#members.set(id, member);
    if (!taking || before.length === 0) {
      member.isIn = true;
      return this.#tellAll();
    }
    const ask = ++this.#asked;
    this.#tellAll({ ask });
    const haveAnswered = () => before.every((other) => other.answered >= ask || !this.#members.has(other.id));
    await this.#waiters.until(haveAnswered, ANSWER_MS);
    // It may have gone meanwhile.
    if (this.#members.get(id) !== member) return;
    member.isIn = true;
    member.used = meanOf(before.map(({ used }) => used));
    this.#tell(member, { begin: member.used });
  }

  #taking(): Member[] {
    return [...this.#members.values()].filter(({ taking }) => taking);
  }

  /** With the part that it had; the members are still those of before. */
  #leftOf(member: Member, used: UsedRates | null): Left {
    const taking = this.#taking();
    // Who never had its part has used nothing that others had not used before.
    return { part: taking.indexOf(member), of: taking.length, used: member.isIn ? used : member.used };
  }

  #tellAll(more: { left?: Left[]; ask?: number; except?: string } = {}): void {
    for (const member of this.#members.values())
      if (member.isIn && member.id !== more.except) this.#tell(member, more);
  }

  #tell(
    member: Member,
    { left = [], ask, begin }: { left?: Left[]; ask?: number; begin?: UsedRates } = {},
  ): void {
    const taking = this.#taking();
    const partOf = (one: Member) => (one.taking ? taking.indexOf(one) : null);
    const others = [...this.#members.values()].filter((other) => other !== member);
    member.send({
      part: Math.max(0, taking.indexOf(member)),
      of: Math.max(1, taking.length),
      others: others.map((other) => ({ part: partOf(other), held: other.held })),
      left,
      begin: begin ?? null,
      ask: ask ?? null,
    });
  }
}

/** Of each limited thing, how much of their parts is used by all together. */
function meanOf(all: readonly (UsedRates | null)[]): UsedRates {
  const mean: UsedRates = {};
  for (const used of all) {
    for (const [id, ratios] of Object.entries(used ?? {})) {
      const sum = mean[id] ?? [0, 0];
      mean[id] = [sum[0] + ratios[0] / all.length, sum[1] + ratios[1] / all.length];
    }
  }
  return mean;
}
