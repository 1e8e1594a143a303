/**
 * Has a batch of requests answered: by one call, whose answer is shared out; by a call to each half where an engine refused what is in
 * it, so that a bad request fails alone; or by a fallback. Every request of the batch is answered, left or gone when `send` resolves.
 */
import { type Batch, split } from '../../../decide/scheduling/batching/item-batcher.ts';
import {
  maySplit,
  type SplitBudget,
  splitBudget,
} from '../../../decide/scheduling/batching/refused-batch.ts';
import { shareAnswer } from '../../../wire/openai/merged/shared-answer.ts';
import { poolName } from '../fleet-table.ts';
import type { GatewayContext } from '../gateway-context.ts';
import type { RequestRecord } from '../request-record.ts';
import type { BatchMember } from './batch-member.ts';
import type { SplitReason } from './batched-request.ts';
import { type CallEnd, sharedCall } from './shared-call.ts';

export interface SenderEvents {
  onSplit(reason: SplitReason): void;
  /** Parts of so many inputs were answered, and all of them together were not. */
  onTooLarge(units: number): void;
}

/** Where a batch is sent. */
interface Target {
  model: string;
  /** As it is named, where it is not the pool that the clients named. */
  fallback: string | null;
  /** What is left to try. */
  fallbacks: readonly string[];
  before: RequestRecord | null;
}

/** `mixed`: some were refused, or have left. */
type Result = 'answered' | 'mixed';

const UNSERVED = ['no_replica', 'saturated', 'queue_timeout', 'model_not_found'];

export class BatchSender {
  readonly #context: GatewayContext;
  readonly #events: SenderEvents;

  constructor(context: GatewayContext, events: SenderEvents) {
    this.#context = context;
    this.#events = events;
  }

  async send(batch: Batch<BatchMember>): Promise<void> {
    const [first] = batch.items as readonly [BatchMember, ...BatchMember[]];
    const { pool } = first.request;
    const fallbacks = pool.view.fallbacks ?? [];
    const home: Target = { model: poolName(pool), fallback: null, fallbacks, before: null };
    await this.#send(batch, home, splitBudget(batch.items.length));
  }

  async #send(batch: Batch<BatchMember>, target: Target, budget: SplitBudget): Promise<Result> {
    const members = batch.items.filter(({ isOpen }) => isOpen);
    const [first] = members;
    if (first === undefined) return 'mixed';
    if (members.length === 1 && target.fallback === null)
      return (await first.goAlone()) ? 'answered' : 'mixed';
    const end = await sharedCall(this.#context, members, target);
    if (end === null) return 'mixed';
    const reason = this.#shareOut(end, target, budget);
    if (reason === null) return end.answer.status < 400 ? 'answered' : 'mixed';
    if (reason === 'unserved') return this.#fallBack(members, target, end);
    this.#events.onSplit(reason);
    // One of them kills engines: halves would kill two replicas each until it is found.
    if (reason === 'quarantined') {
      const ends = await Promise.all(
        members.filter(({ isOpen }) => isOpen).map((member) => member.goAlone()),
      );
      return ends.includes(false) ? 'mixed' : 'answered';
    }
    return this.#sendHalves({ key: batch.key, items: members }, target, { budget, reason });
  }

  /** Null: all have their answer. Else what stands in the way. */
  #shareOut(end: CallEnd, target: Target, budget: SplitBudget): SplitReason | 'unserved' | null {
    const { answer, record, carried } = end;
    const ofEngine = record.errorCode === null;
    if (answer.status < 400) {
      const shares = shareAnswer(
        answer.body,
        carried.map(({ part, request }) => ({ ...part, requestId: request.record.requestId })),
      );
      if (shares === null && carried.length > 1 && maySplit(400, budget)) return 'unreadable';
      this.#answerAll(end, target, shares);
      return null;
    }
    if (ofEngine && carried.length > 1 && maySplit(answer.status, budget))
      return answer.status < 500 ? 'refused' : 'engine-error';
    if (record.errorCode === 'request_quarantined' && carried.length > 1 && target.fallback === null)
      return 'quarantined';
    if (isUnserved(record) && target.fallbacks.length > 0) return 'unserved';
    this.#answerAll(end, target, null);
    return null;
  }

  /** @param shares null: the answer is that of each. */
  #answerAll(
    { carried, answer, record }: CallEnd,
    { fallback }: Target,
    shares: ReturnType<typeof shareAnswer>,
  ): void {
    const { status, headers, body } = answer;
    for (const [place, member] of carried.entries()) {
      const share = shares?.[place] ?? { body, usage: null };
      member.answer({ status, headers, ...share, call: record, fallback, size: carried.length });
    }
  }

  async #sendHalves(
    batch: Batch<BatchMember>,
    target: Target,
    { budget, reason }: { budget: SplitBudget; reason: SplitReason },
  ): Promise<Result> {
    const halves = split(batch);
    const results = await Promise.all(halves.map((half) => this.#send(half, target, budget)));
    if (results.includes('mixed')) return 'mixed';
    if (reason !== 'engine-error') this.#events.onTooLarge(Math.max(...halves.map(unitsOf)));
    return 'answered';
  }

  /** To the next fallback, as far as its limits allow; those that they do not allow try the one after it. */
  async #fallBack(members: readonly BatchMember[], target: Target, end: CallEnd): Promise<Result> {
    const context = this.#context;
    const open = members.filter(({ isOpen }) => isOpen);
    const [name, ...fallbacks] = target.fallbacks;
    if (name === undefined || open.length === 0) {
      this.#answerAll({ ...end, carried: open }, target, null);
      return 'mixed';
    }
    const pool = context.table.find(name);
    const admitted: BatchMember[] = [];
    // Models and aliases change at run time: one that is gone, or has become this model itself, is passed over.
    if (pool !== undefined && poolName(pool) !== target.model) {
      for (const member of open) {
        if (!member.isOpen) continue;
        const { record, envelope } = member.request;
        if (!(await context.limits.admitFallback(record, pool, envelope))) continue;
        if (member.isOpen) admitted.push(member);
        // Its client left meanwhile, and what was taken for it nobody else gives back.
        else record.hold?.settle(null);
      }
      const next = { model: poolName(pool), fallback: name, fallbacks, before: end.record };
      const budget = splitBudget(admitted.length);
      if (admitted.length > 0) await this.#send({ key: '', items: admitted }, next, budget);
    }
    const others = open.filter((member) => !admitted.includes(member));
    if (others.length > 0) await this.#fallBack(others, { ...target, fallbacks }, end);
    return 'mixed';
  }
}

/** Nothing was said against the requests, so another pool may serve them. */
function isUnserved({ errorCode, outcome, status }: RequestRecord): boolean {
  if (errorCode !== null && UNSERVED.includes(errorCode)) return true;
  return (
    outcome === 'failed-upstream' || (outcome === 'failed-by-engine' && errorCode === null && status >= 500)
  );
}

function unitsOf({ items }: Batch<BatchMember>): number {
  return items.reduce((sum, { units }) => sum + units, 0);
}
