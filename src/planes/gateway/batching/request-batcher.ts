/**
 * Sends small requests to engines together, where their model is configured so: gathers what may share a call, and has each batch
 * sent when it is due. One per worker thread: requests meet only in the thread that their connections belong to. Called for every
 * inference request, so what is not concerned costs a look at its pool.
 */
import { PlatformError } from '../../../contract/errors.ts';
import type { BatchingEndpoint, PoolBatching } from '../../../contract/fleet.ts';
import { BatchCeiling } from '../../../decide/scheduling/batching/batch-ceiling.ts';
import { type Batch, ItemBatcher } from '../../../decide/scheduling/batching/item-batcher.ts';
import { requestPart } from '../../../wire/openai/merged/request-part.ts';
import { poolName } from '../fleet-table.ts';
import type { GatewayContext } from '../gateway-context.ts';
import { BatchMember } from './batch-member.ts';
import { BatchSender } from './batch-sender.ts';
import type { BatchedRequest, RequestBatching, SplitReason } from './batched-request.ts';

export interface BatchingCounters {
  /** A call is made for so many requests, each of which waited so long for company. */
  batchSent(model: string, endpoint: string, waitsMs: readonly number[]): void;
  batchSplit(model: string, endpoint: string, reason: SplitReason): void;
}

/** Bodies of one call together; a request that is larger is none of the small ones that company helps. */
const BODY_BYTES_MAX = 1_048_576;
/** Requests of one model and end point that may wait in one worker; whoever comes then goes alone. */
const PENDING_MAX = 4_096;

/** Requests for one model and end point. */
interface Line {
  model: string;
  endpoint: BatchingEndpoint;
  settings: PoolBatching;
  batcher: ItemBatcher<BatchMember>;
  ceiling: BatchCeiling;
  sender: BatchSender;
}

export class RequestBatcher implements RequestBatching {
  readonly #context: GatewayContext;
  readonly #counters: BatchingCounters;
  readonly #lines = new Map<string, Line>();
  #looksSoon = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(context: GatewayContext, counters: BatchingCounters) {
    this.#context = context;
    this.#counters = counters;
  }

  serve(request: BatchedRequest): Promise<void> | null {
    const { pool, envelope, record } = request;
    const { batching } = pool.view;
    if (batching === undefined) return null;
    const endpoint = batching.endpoints.find((one) => one === envelope.endpoint);
    // Why a request went where it went is a question about one.
    if (endpoint === undefined || record.caller.explain || envelope.bytes.length > BODY_BYTES_MAX)
      return null;
    const part = requestPart(envelope);
    if (part === null || part.units > batching.unitsMax) return null;
    const line = this.#lineOf(poolName(pool), endpoint, batching);
    const key = keyOf(request, part.kind);
    const onLeave = (member: BatchMember) => void line.batcher.remove(member);
    const member = new BatchMember(this.#context, request, { part, key, onLeave });
    if (!line.batcher.add(member, member.arrivedMs)) return null;
    // Alone or not, it is one of its kind: a promise of the queue to one of them is kept to the next.
    envelope.ticket = key;
    this.#lookSoon();
    return member.serve();
  }

  #lineOf(model: string, endpoint: BatchingEndpoint, settings: PoolBatching): Line {
    const name = `${endpoint} ${model}`;
    const known = this.#lines.get(name);
    if (known !== undefined) {
      known.settings = settings;
      return known;
    }
    this.#forgetModelsGone();
    const { clock } = this.#context;
    const ceiling = new BatchCeiling();
    const sender = new BatchSender(this.#context, {
      onSplit: (reason) => this.#counters.batchSplit(model, endpoint, reason),
      onTooLarge: (units) => ceiling.lower(units, clock.monotonicMs()),
    });
    const batcher = new ItemBatcher<BatchMember>(settingsOf(settings, settings.unitsMax));
    const line = { model, endpoint, settings, batcher, ceiling, sender };
    this.#lines.set(name, line);
    return line;
  }

  #forgetModelsGone(): void {
    for (const [name, { model, batcher }] of this.#lines)
      if (batcher.isIdle && this.#context.table.find(model) === undefined) this.#lines.delete(name);
  }

  /** In this turn of the event loop, when all that arrived with this one has been read: that costs nobody time. */
  #lookSoon(): void {
    if (this.#looksSoon) return;
    this.#looksSoon = true;
    setImmediate(() => {
      this.#looksSoon = false;
      this.#look();
    });
  }

  #look(): void {
    const nowMs = this.#context.clock.monotonicMs();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const line of this.#lines.values()) {
      const { batcher, ceiling, settings } = line;
      if (batcher.pending === 0) continue;
      batcher.update(settingsOf(settings, ceiling.unitsMax(settings.unitsMax, nowMs)));
      for (const batch of batcher.takeDue(nowMs)) void this.#send(line, batch, nowMs);
      nextMs = Math.min(nextMs, batcher.nextDueMs);
    }
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = nextMs === Number.POSITIVE_INFINITY ? null : setTimeout(() => this.#look(), nextMs - nowMs);
  }

  async #send(
    { model, endpoint, batcher, sender }: Line,
    batch: Batch<BatchMember>,
    nowMs: number,
  ): Promise<void> {
    for (const member of batch.items) member.waitedMs = nowMs - member.arrivedMs;
    this.#counters.batchSent(
      model,
      endpoint,
      batch.items.map(({ waitedMs }) => waitedMs),
    );
    try {
      await sender.send(batch);
    } catch (thrown) {
      const error = PlatformError.from(thrown);
      for (const member of batch.items) member.fail(error);
    }
    batcher.ended(batch.key);
    if (batcher.pending > 0) this.#lookSoon();
  }
}

/** Requests share a call with their like of the same tenant only: its turn, its tokens and its mistakes stay its own. */
function keyOf({ record, pool }: BatchedRequest, kind: string): string {
  const { tenant, priority, session = '' } = record.caller;
  return JSON.stringify([poolName(pool), record.keyName, tenant, priority, session, record.filler, kind]);
}

function settingsOf({ waitMaxMs }: PoolBatching, unitsMax: number) {
  return { unitsMax, weightMax: BODY_BYTES_MAX, waitMaxMs, pendingMax: PENDING_MAX };
}
