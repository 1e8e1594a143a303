/**
 * Goes on with a stream whose engine died after the first content token: reads back what was delivered, takes a place on
 * another replica ahead of the queue, and tries the tiers that request and engine allow (docs/continuation.md). The client
 * notices a pause at most. When no tier works the stream ends with a typed error and without [DONE] (tier D).
 */
import { PlatformError } from '../../contract/errors.ts';
import type { AttemptFailure } from '../../contract/facts.ts';
import { planContinuation } from '../../decide/scheduling/continuation.ts';
import {
  buildContinuation,
  choiceCountOf,
  continuationRequestOf,
  stopStringsOf,
  summaryOf,
} from '../../wire/openai/continuation-request.ts';
import { ContinuedStream } from '../../wire/openai/continued-stream.ts';
import { choiceOf, type Delivered } from '../../wire/openai/delivered-stream.ts';
import type { Lease } from './admission.ts';
import { ContinuedRelay } from './continued-relay.ts';
import { countContinuedPrompt, countDelivered, promptTokenIds } from './engine-tokenizer.ts';
import { atItsLimit, deliverLengthEnd, endComplete, isComplete, usageMissing } from './finish-stream.ts';
import type { StreamRun } from './stream-run.ts';

export interface Cut {
  lease: Lease;
  failure: AttemptFailure;
  detail: string;
}

export async function continueStream(run: StreamRun, cut: Cut): Promise<void> {
  const { context, record, stream } = run;
  const cutMs = context.clock.monotonicMs();
  let last = cut;
  for (let turn = 0; turn < context.settings.continuationsMax; turn++) {
    const delivered = stream.log.read();
    if (stream.log.overflowed || delivered.unreadable) {
      const why = delivered.unreadable
        ? 'its events were not readable'
        : `more than ${context.settings.replayBytesMax} bytes were delivered`;
      return interrupt(run, last, delivered, `it can not be continued: ${why}`);
    }
    if (isComplete(run, delivered) && !usageMissing(run, delivered)) return endComplete(run, delivered, null);
    const lease = await acquireElsewhere(run, delivered, last);
    if (lease === null) return;
    try {
      const end = await continueOn(run, lease, delivered, cutMs, last);
      if (end.kind === 'ended') {
        context.observeHealth(lease, { kind: run.cancelled ? 'cancelled' : 'streamed' });
        return;
      }
      context.observeHealth(lease, { ...end, kind: 'failed', answer: null });
      run.reportFailure(lease, end.failure);
      last = { lease, failure: end.failure, detail: end.detail };
    } finally {
      lease.release();
    }
  }
  const delivered = stream.log.read();
  if (isComplete(run, delivered)) return endComplete(run, delivered, null);
  interrupt(
    run,
    last,
    delivered,
    `it was continued ${record.continuations} times before, which is the limit (gateway.continuations)`,
  );
}

/** Null when no place was found: the stream has been ended then. */
async function acquireElsewhere(run: StreamRun, delivered: Delivered, cut: Cut): Promise<Lease | null> {
  try {
    return await run.acquire([...run.failed], true);
  } catch (thrown) {
    const error = PlatformError.from(thrown);
    if (!run.cancelled && isComplete(run, delivered)) endComplete(run, delivered, null);
    else if (error.code === 'request_quarantined') run.endInterrupted(error, usageOf(delivered));
    else interrupt(run, cut, delivered, error.message);
    return null;
  }
}

type TurnEnd = { kind: 'ended' } | { kind: 'failed'; failure: AttemptFailure; detail: string };

/** One replica: its tiers one after the other, until one carries the stream or the replica fails too. */
async function continueOn(
  run: StreamRun,
  lease: Lease,
  found: Delivered,
  cutMs: number,
  cut: Cut,
): Promise<TurnEnd> {
  const { context, envelope, record, stream } = run;
  const { view } = lease.replica;
  const deliveredTokens = await countDelivered(context, view, found);
  run.throwIfOver();
  const delivered = withLengthEnd(run, found, deliveredTokens);
  const complete = isComplete(run, delivered);
  if (complete && !usageMissing(run, delivered)) {
    endComplete(run, delivered, null);
    return { kind: 'ended' };
  }
  const plan = planContinuation(continuationRequestOf(envelope), summaryOf(delivered), view.capabilities);
  let refusal = '';
  for (const tier of plan.tiers) {
    // Only a replay says what the whole answer has used, where nothing else is missing.
    if (tier === 'D' || (complete && tier !== 'C')) continue;
    const promptIds = tier === 'A' ? await promptTokenIds(context, view, envelope, delivered) : null;
    if (tier === 'A' && promptIds === null) continue;
    const { path, body } = buildContinuation(tier, {
      envelope,
      delivered,
      deliveredTokens,
      servedModel: view.servedModel,
      promptIds,
    });
    const relay = new ContinuedRelay(run, {
      tier,
      cutMs,
      from: cut.lease.replica.view.id,
      to: view.id,
      continued: new ContinuedStream({
        tier,
        endpoint: envelope.endpoint === 'chat' ? 'chat' : 'completions',
        delivered,
        deliveredTokens,
        choices: choiceCountOf(envelope),
        includeUsage: envelope.includeUsage,
        stopStrings: stopStringsOf(envelope.fields),
        mayEchoPrefill: view.capabilities.mayEchoPrefill === true,
      }),
    });
    record.continuations++;
    const end = await run.attempt(
      { replica: lease.replica, path, body: Buffer.from(JSON.stringify({ ...view.fields, ...body })) },
      (attempt, settle) => relay.events(attempt, settle),
    );
    if (end.kind === 'streamed') {
      run.endCompleted();
      return { kind: 'ended' };
    }
    run.throwIfOver();
    if (end.kind === 'failed') return { kind: 'failed', failure: end.failure, detail: end.detail };
    refusal =
      relay.refusal ??
      `tier ${tier} was refused: ${end.kind === 'answered' ? `status ${end.status} ${end.body.toString('utf8', 0, 200)}` : end.kind}`;
    // A replay that diverged after new text had been sent can not be taken back.
    if (relay.delivering) break;
  }
  if (complete) endComplete(run, delivered, await countContinuedPrompt(context, view, envelope, delivered));
  else interrupt(run, cut, stream.log.read(), refusal === '' ? plan.reason : refusal);
  return { kind: 'ended' };
}

function withLengthEnd(run: StreamRun, delivered: Delivered, deliveredTokens: number): Delivered {
  if (isComplete(run, delivered) || !atItsLimit(run, delivered, deliveredTokens)) return delivered;
  deliverLengthEnd(run, delivered);
  return run.stream.log.read();
}

function interrupt(run: StreamRun, cut: Cut, delivered: Delivered, why: string): void {
  const { view } = cut.lease.replica;
  run.endInterrupted(
    new PlatformError(
      'stream_interrupted',
      `replica ${view.id} failed in the middle of the stream (${cut.failure}: ${cut.detail}); ${why}`,
    ),
    usageOf(delivered),
  );
}

function usageOf(delivered: Delivered): Record<string, unknown> {
  const choice = choiceOf(delivered, 0);
  return { completion_tokens: choice.tokenIds?.length ?? choice.textEvents };
}
