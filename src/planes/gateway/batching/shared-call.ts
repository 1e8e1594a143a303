/**
 * One call to an engine for several requests: the request loop runs it as a request of their tenant, with retries and limits of time
 * as ever, and each of them may leave it at any time. It ends when the last has left.
 */
import type { GatewayContext } from '../gateway-context.ts';
import { InferenceRun } from '../inference.ts';
import { newRecord, type RequestRecord } from '../request-record.ts';
import type { BatchMember } from './batch-member.ts';
import { MergedEnvelope } from './merged-envelope.ts';
import { type SharedAnswer, SharedExchange } from './shared-exchange.ts';

export interface CallEnd {
  /** Whose answer it is, those who have left since included. */
  carried: readonly BatchMember[];
  record: RequestRecord;
  answer: SharedAnswer;
}

export interface CallOptions {
  /** The pool that is asked. */
  model: string;
  /** What was tried before in another pool; null: nothing. */
  before: RequestRecord | null;
}

/** Null when all have left. Never rejects. */
export async function sharedCall(
  context: GatewayContext,
  members: readonly BatchMember[],
  { model, before }: CallOptions,
): Promise<CallEnd | null> {
  const [first] = members as readonly [BatchMember, ...BatchMember[]];
  const { traceparent } = first.request.exchange.headers;
  const exchange = new SharedExchange(traceparent === undefined ? {} : { traceparent });
  const envelope = new MergedEnvelope(members);
  const record = recordFor(members, model);
  record.attempts = before?.attempts ?? 0;
  record.queuedMs = before?.queuedMs ?? 0;
  for (const member of members) {
    member.join(record, () => {
      if (!members.some(({ isOpen }) => isOpen)) exchange.leave();
    });
  }
  payForRetries(context, members);
  const run = new InferenceRun(context, exchange, envelope, record);
  // Each of them counts as a request; the call itself is none.
  context.shared.addRequests(-1);
  await run.serve();
  context.shared.addRequests(1);
  return exchange.answer === null ? null : { carried: envelope.carried, record, answer: exchange.answer };
}

/** It lives as long as any of them may, and belongs to whom they belong to. */
function recordFor(members: readonly BatchMember[], model: string): RequestRecord {
  const records = members.map(({ request }) => request.record);
  const [first] = records as [RequestRecord, ...RequestRecord[]];
  const startedMs = Math.max(...records.map((one) => one.startedMs));
  const endsMs = records.map((one) => one.startedMs + (one.clientTimeoutMs ?? Number.POSITIVE_INFINITY));
  const clientTimeoutMs = Math.max(...endsMs) - startedMs;
  const record = newRecord({
    requestId: first.requestId,
    method: first.method,
    route: first.route,
    startedWallMs: first.startedWallMs,
    startedMs,
    clientTimeoutMs: Number.isFinite(clientTimeoutMs) ? clientTimeoutMs : null,
  });
  return Object.assign(record, {
    keyName: first.keyName,
    caller: first.caller,
    filler: first.filler,
    model,
  });
}

/** What they pay in and take as requests of their own; the call does so for one of them. */
function payForRetries(
  { retryBudget, settings, clock }: GatewayContext,
  members: readonly BatchMember[],
): void {
  for (const [place, { request }] of members.entries()) {
    if (place > 0) retryBudget.requestStarted(settings.retryBudgetRatio);
    if (request.record.clientRetries > 0) retryBudget.tryRetry(clock.machineMs());
  }
}
