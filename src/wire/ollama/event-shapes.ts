/**
 * Answers of Ollama's OpenAI end points (openai/openai.go, middleware/openai.go, August 2026): the role comes with the first
 * text, chunks carry no null fields, and a completion with `include_usage` carries a usage of zeros in every event.
 */
import type { AnswerIdentity, FinishedChoice, Shaper, Usage } from '../vllm/answer-shapes.ts';
import { toolCallDeltas, usageOf, wholeToolCalls } from '../vllm/answer-shapes.ts';
import type { ChatParts } from '../vllm/chat-output.ts';
import type { GenerationSpec } from '../vllm/parse-generation.ts';
import type { ChoiceEnd, ChoicePlan } from '../vllm/run-choice.ts';
import type { Emission } from '../vllm/text-assembler.ts';

const FINGERPRINT = 'fp_ollama';
const NO_USAGE: Usage = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };

export class OllamaShaper implements Shaper {
  readonly #spec: GenerationSpec;
  readonly #identity: AnswerIdentity;
  readonly #begun = new Set<number>();

  constructor(spec: GenerationSpec, identity: AnswerIdentity) {
    this.#spec = spec;
    this.#identity = identity;
  }

  opening(): null {
    return null;
  }

  delta(plan: ChoicePlan, { text }: Emission, { content, calls }: ChatParts): object {
    const { index } = plan;
    if (this.#spec.kind === 'completions') return this.#completion({ text, index, finish_reason: null });
    const first = !this.#begun.has(index);
    this.#begun.add(index);
    const delta = {
      ...(first && { role: 'assistant' }),
      content,
      ...toolCallDeltas(this.#identity, plan, calls),
    };
    return this.#event([{ index, delta, finish_reason: null }]);
  }

  closing({ index }: ChoicePlan, { finishReason }: ChoiceEnd): object {
    if (this.#spec.kind === 'completions')
      return this.#completion({ text: '', index, finish_reason: finishReason });
    return this.#event([{ index, delta: {}, finish_reason: finishReason }]);
  }

  usageEvent(usage: Usage): object {
    return this.#event([], { usage });
  }

  whole(finished: readonly FinishedChoice[]): object {
    const chat = this.#spec.kind === 'chat';
    const tokens = finished.reduce((sum, { end }) => sum + end.completionTokens, 0);
    const choices = finished.map(({ plan, parts: { content, calls }, end }) => ({
      index: plan.index,
      ...(chat
        ? { message: { role: 'assistant', content, ...wholeToolCalls(this.#identity, plan, calls) } }
        : { text: content }),
      finish_reason: end.finishReason,
    }));
    const object = chat ? 'chat.completion' : 'text_completion';
    return { ...this.#event(choices, { usage: usageOf(this.#spec, tokens) }), object };
  }

  #completion(choice: object): object {
    return this.#event([choice], this.#spec.includeUsage ? { usage: NO_USAGE } : {});
  }

  #event(choices: object[], more: object = {}): object {
    const { id, created, model } = this.#identity;
    const object = this.#spec.kind === 'chat' ? 'chat.completion.chunk' : 'text_completion';
    return { id, object, created, model, system_fingerprint: FINGERPRINT, choices, ...more };
  }
}
