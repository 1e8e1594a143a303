/**
 * The end of a stream whose engine died when nothing was left to generate: what is still to be said is the end of a choice,
 * the usage, and [DONE], and no engine is needed for that. Called by continue-stream.ts.
 */
import { choiceCountOf, outputLimitOf } from '../../wire/openai/continuation-request.ts';
import { allFinished, type Delivered } from '../../wire/openai/delivered-stream.ts';
import { sseData } from '../../wire/sse/parse-event.ts';
import type { StreamRun } from './stream-run.ts';

/** Bytes per token where nothing better is known; English text has about four. */
const TOKEN_BYTES = 4;

/** Every choice has been delivered to its end. */
export function isComplete({ envelope }: StreamRun, delivered: Delivered): boolean {
  return delivered.done || allFinished(delivered, choiceCountOf(envelope));
}

export function usageMissing({ envelope }: StreamRun, delivered: Delivered): boolean {
  return envelope.includeUsage && delivered.usage === null && !delivered.done;
}

/** All tokens that the request allows were delivered, and only the end of the one choice is missing. */
export function atItsLimit({ envelope }: StreamRun, delivered: Delivered, deliveredTokens: number): boolean {
  const limit = outputLimitOf(envelope.fields);
  if (limit === null || choiceCountOf(envelope) !== 1 || delivered.choices.size !== 1) return false;
  return deliveredTokens >= limit;
}

export function deliverLengthEnd(run: StreamRun, delivered: Delivered): void {
  const end = { index: 0, finish_reason: 'length', logprobs: null };
  deliver(run, delivered, {
    choices: [run.envelope.endpoint === 'chat' ? { ...end, delta: {} } : { ...end, text: '' }],
  });
}

/** Says what is missing, and ends the stream. `promptTokens`: null where nobody can count them. */
export function endComplete(run: StreamRun, delivered: Delivered, promptTokens: number | null): void {
  if (usageMissing(run, delivered))
    deliver(run, delivered, { choices: [], usage: estimatedUsage(run, delivered, promptTokens) });
  if (!delivered.done) run.stream.deliver(Buffer.from(sseData('[DONE]')), run.context.clock.monotonicMs());
  run.endCompleted();
}

/** Marked, so that nobody takes it for what an engine has counted. */
function estimatedUsage(
  { envelope }: StreamRun,
  delivered: Delivered,
  promptTokens: number | null,
): Record<string, unknown> {
  const prompt = promptTokens ?? Math.ceil(envelope.bytes.length / TOKEN_BYTES);
  let completion = 0;
  for (const { tokenIds, textEvents } of delivered.choices.values())
    completion += tokenIds === null || tokenIds.length === 0 ? textEvents : tokenIds.length;
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    estimated: true,
  };
}

/** One more event with the identity of the stream. */
function deliver({ envelope, stream, context }: StreamRun, delivered: Delivered, fields: object): void {
  const event = {
    id: delivered.id,
    object: envelope.endpoint === 'chat' ? 'chat.completion.chunk' : 'text_completion',
    created: delivered.created,
    model: delivered.model,
    ...fields,
  };
  stream.deliver(Buffer.from(sseData(event)), context.clock.monotonicMs());
}
