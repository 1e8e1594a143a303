/**
 * Answers one chat or completions request, streamed or whole. All choices of a request run side by side; when one fails, or
 * the client leaves, all end.
 */
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { EngineCore } from '../../contract/ports/engine-core.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import {
  type AnswerIdentity,
  AnswerShaper,
  type FinishedChoice,
  type Shaper,
  usageOf,
} from './answer-shapes.ts';
import {
  type AnswerOutput,
  appendParts,
  ChatOutput,
  type ChatParts,
  isEmpty,
  PLAIN_OUTPUT,
} from './chat-output.ts';
import { EventWriter } from './event-writer.ts';
import type { GenerationSpec } from './parse-generation.ts';
import { type ChoiceEnd, type ChoicePlan, planChoices, runChoice } from './run-choice.ts';
import type { StreamFormat } from './stream-format.ts';
import type { Emission } from './text-assembler.ts';

export interface GenerationContext {
  core: EngineCore;
  clock: Clock;
  exchange: HttpExchange;
  /** Fires when the client has gone. */
  signal: AbortSignal;
  requestId: string;
  /** How long a client may read nothing, ms. */
  stallMs: number;
  /** Called for each choice that a stop string ended, which the core can not tell from an abort. */
  onStopString(): void;
  /** Default: as vLLM. */
  createShaper?: (spec: GenerationSpec, identity: AnswerIdentity) => Shaper;
  format?: StreamFormat;
}

export async function answerGeneration(context: GenerationContext, spec: GenerationSpec): Promise<void> {
  const { core, requestId } = context;
  const identity: AnswerIdentity = {
    id: `${spec.kind === 'chat' ? 'chatcmpl' : 'cmpl'}-${requestId}`,
    created: Math.floor(context.clock.wallMs() / 1000),
    model: core.info.model,
  };
  const shaper = context.createShaper?.(spec, identity) ?? new AnswerShaper(spec, identity);
  const plans = planChoices(spec, requestId);
  if (spec.stream) await streamAnswer(context, spec, shaper, plans);
  else await wholeAnswer(context, spec, shaper, plans);
}

async function wholeAnswer(
  context: GenerationContext,
  spec: GenerationSpec,
  shaper: Shaper,
  plans: readonly ChoicePlan[],
): Promise<void> {
  const finished = await runAll(plans, context.signal, (plan, signal) =>
    collect(context, spec, plan, signal),
  );
  const body = shaper.whole(finished, (plan) => echoOf(context.core, spec, plan));
  context.exchange.send(200, { 'content-type': 'application/json' }, JSON.stringify(body));
}

async function collect(
  context: GenerationContext,
  spec: GenerationSpec,
  plan: ChoicePlan,
  signal: AbortSignal,
): Promise<FinishedChoice> {
  const parts: ChatParts = { reasoning: '', content: '', calls: [] };
  const choice: Omit<FinishedChoice, 'end'> = { plan, parts, tokens: [] };
  const output = outputOf(spec);
  const keepTokens = spec.returnTokenIds || spec.topLogprobs !== undefined;
  const end = await eachStep(context, spec, plan, signal, (emissions) => {
    for (const emission of emissions) {
      appendParts(parts, output.push(emission.text));
      if (keepTokens) choice.tokens.push(...emission.tokens);
    }
  });
  appendParts(parts, output.finish());
  return { ...choice, end: withCalls(spec, output, end) };
}

/** A model that thinks or calls tools writes more than text. */
function outputOf(spec: GenerationSpec): AnswerOutput {
  const tools = spec.tools !== undefined;
  return tools || spec.reasoning ? new ChatOutput({ reasoning: spec.reasoning, tools }) : PLAIN_OUTPUT;
}

/** As in the OpenAI API, an answer that was told which function to call ends with `stop`. */
function withCalls(spec: GenerationSpec, output: AnswerOutput, end: ChoiceEnd): ChoiceEnd {
  const chosen = typeof spec.tools?.choice === 'string';
  return chosen && output.calls > 0 && end.finishReason === 'stop'
    ? { ...end, finishReason: 'tool_calls' }
    : end;
}

async function streamAnswer(
  context: GenerationContext,
  spec: GenerationSpec,
  shaper: Shaper,
  plans: readonly ChoicePlan[],
): Promise<void> {
  const { exchange } = context;
  const writer = new EventWriter({
    exchange,
    clock: context.clock,
    stallMs: context.stallMs,
    signal: context.signal,
    ...(context.format !== undefined && { format: context.format }),
  });
  let completionTokens = 0;
  const usage = () => usageOf(spec, completionTokens);
  const quiet = !spec.returnTokenIds && spec.topLogprobs === undefined;
  try {
    await runAll(plans, context.signal, async (plan, signal) => {
      let opened = false;
      const output = outputOf(spec);
      const open = (): object[] => {
        if (opened) return [];
        opened = true;
        const event = shaper.opening(plan, echoOf(context.core, spec, plan), usage());
        return event === null ? [] : [event];
      };
      const end = await eachStep(context, spec, plan, signal, async (emissions) => {
        const events = open();
        for (const emission of emissions) {
          completionTokens += emission.tokens.length;
          const parts = output.push(emission.text);
          if (!quiet || !isEmpty(parts))
            events.push(...[shaper.delta(plan, emission, parts, usage())].flat());
        }
        await writer.write(events);
      });
      const events = open();
      const rest = output.finish();
      if (!isEmpty(rest))
        events.push(...[shaper.delta(plan, { text: '', tokens: [] }, rest, usage())].flat());
      await writer.write([...events, shaper.closing(plan, withCalls(spec, output, end), usage())]);
    });
    if (spec.includeUsage) await writer.write([shaper.usageEvent(usage())]);
    writer.done();
  } catch (error) {
    if (!exchange.headSent || context.signal.aborted) throw error;
    const failure = PlatformError.from(error, 'engine_failed');
    writer.fail(failure);
    if (failure.code === 'client_closed') exchange.destroy();
    throw error;
  }
}

async function eachStep(
  context: GenerationContext,
  spec: GenerationSpec,
  plan: ChoicePlan,
  signal: AbortSignal,
  take: (emissions: Emission[]) => void | Promise<void>,
): Promise<ChoiceEnd> {
  const steps = runChoice(context.core, spec, plan, signal);
  try {
    for (;;) {
      const step = await steps.next();
      if (step.done === true) {
        if (typeof step.value.stopReason === 'string') context.onStopString();
        return step.value;
      }
      await take(step.value);
    }
  } finally {
    await steps.return({ finishReason: 'length', stopReason: null, completionTokens: 0 });
  }
}

/** Runs all choices; the first failure ends the others and is what the caller sees, after all have ended. */
async function runAll<T>(
  plans: readonly ChoicePlan[],
  signal: AbortSignal,
  run: (plan: ChoicePlan, signal: AbortSignal) => Promise<T>,
): Promise<T[]> {
  const [only] = plans;
  if (plans.length === 1 && only !== undefined) return [await run(only, signal)];
  const failed = new AbortController();
  const joined = AbortSignal.any([signal, failed.signal]);
  const running = plans.map((plan) =>
    run(plan, joined).catch((error: unknown) => {
      failed.abort(error);
      throw error;
    }),
  );
  const results = await Promise.allSettled(running);
  joined.throwIfAborted();
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

/** The prompt as text, where the answer is to begin with it. */
function echoOf(core: EngineCore, spec: GenerationSpec, plan: ChoicePlan): string {
  return spec.echo ? new TextDecoder().decode(core.detokenize(plan.prompt.tokens)) : '';
}
