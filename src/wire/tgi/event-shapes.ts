/**
 * Answers of text-generation-inference (router/src/server.rs, chat.rs, 3.3): one event for each token, none of the role alone, every delta says the
 * role, ids are empty, and completions say "" as the finish reason of an event that goes on.
 */
import type { AnswerIdentity, FinishedChoice, Shaper, Usage } from '../vllm/answer-shapes.ts';
import { toolCallDeltas, usageOf, wholeToolCalls } from '../vllm/answer-shapes.ts';
import type { ChatParts } from '../vllm/chat-output.ts';
import type { GenerationSpec } from '../vllm/parse-generation.ts';
import type { ChoiceEnd, ChoicePlan } from '../vllm/run-choice.ts';
import type { Emission } from '../vllm/text-assembler.ts';

const TGI_FINGERPRINT = '3.3.6-native';

export class TgiShaper implements Shaper {
  readonly #spec: GenerationSpec;
  readonly #identity: AnswerIdentity;

  constructor(spec: GenerationSpec, identity: AnswerIdentity) {
    this.#spec = spec;
    this.#identity = identity;
  }

  opening(): null {
    return null;
  }

  /** One event for each token: those that only together make a character have none until the last. */
  delta(plan: ChoicePlan, { text, tokens }: Emission, { content, calls }: ChatParts): object[] {
    const silent = Array.from({ length: Math.max(0, tokens.length - 1) }, () =>
      this.#token(plan, '', '', []),
    );
    return [...silent, this.#token(plan, text, content, calls)];
  }

  #token(plan: ChoicePlan, text: string, content: string, calls: ChatParts['calls']): object {
    const { index } = plan;
    if (this.#spec.kind === 'completions')
      return this.#event('text_completion', [{ text, index, logprobs: null, finish_reason: '' }]);
    const delta = { role: 'assistant', content, ...toolCallDeltas(this.#identity, plan, calls) };
    return this.#event('chat.completion.chunk', [{ index, delta, logprobs: null, finish_reason: null }], {
      usage: null,
    });
  }

  closing({ index }: ChoicePlan, end: ChoiceEnd, usage: Usage): object {
    if (this.#spec.kind === 'completions') {
      const choice = { text: '', index, logprobs: null, finish_reason: tgiFinishReason(end) };
      return this.#event('text_completion', [choice], { usage });
    }
    const delta = { role: 'assistant', content: '' };
    const choice = { index, delta, logprobs: null, finish_reason: chatFinishReason(end) };
    return this.#event('chat.completion.chunk', [choice], { usage: null });
  }

  usageEvent(usage: Usage): object {
    return this.#event('chat.completion.chunk', [], { usage });
  }

  whole(finished: readonly FinishedChoice[]): object {
    const tokens = finished.reduce((sum, { end }) => sum + end.completionTokens, 0);
    const usage = usageOf(this.#spec, tokens);
    if (this.#spec.kind === 'completions') {
      const choices = finished.map(({ plan, parts, end }) => ({
        text: parts.content,
        index: plan.index,
        logprobs: null,
        finish_reason: chatFinishReason(end),
      }));
      return this.#event('text_completion', choices, { usage });
    }
    const choices = finished.map(({ plan, parts: { content, calls }, end }) => ({
      index: plan.index,
      message: { role: 'assistant', content, ...wholeToolCalls(this.#identity, plan, calls) },
      logprobs: null,
      finish_reason: chatFinishReason(end),
    }));
    return this.#event('chat.completion', choices, { usage });
  }

  #event(object: string, choices: object[], more: object = {}): object {
    const { created, model } = this.#identity;
    return { object, id: '', created, model, system_fingerprint: TGI_FINGERPRINT, choices, ...more };
  }
}

/** Its own words, which streamed completions let through. */
export function tgiFinishReason({ finishReason, stopReason }: ChoiceEnd): string {
  if (finishReason === 'length') return 'length';
  return typeof stopReason === 'string' ? 'stop_sequence' : 'eos_token';
}

/** Elsewhere only the end of sequence is put into OpenAI's words. */
function chatFinishReason(end: ChoiceEnd): string {
  const reason = tgiFinishReason(end);
  return reason === 'eos_token' ? 'stop' : reason;
}
