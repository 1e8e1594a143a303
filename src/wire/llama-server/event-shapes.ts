/**
 * Answers of llama-server (tools/server/server-task.cpp, build 11434): chunks without null fields, the role with `content: null`,
 * an end of its own, `timings` in the last event. A prefilled answer is repeated: in whole answers by every build, in the first
 * event of a stream by builds before October 2026, which the simulator does because it is the harder case for a gateway.
 */
import type { EngineCore } from '../../contract/ports/engine-core.ts';
import type { AnswerIdentity, FinishedChoice, Shaper, Usage } from '../vllm/answer-shapes.ts';
import { toolCallDeltas, usageOf, wholeToolCalls } from '../vllm/answer-shapes.ts';
import type { ChatParts } from '../vllm/chat-output.ts';
import type { GenerationSpec } from '../vllm/parse-generation.ts';
import type { ChoiceEnd, ChoicePlan } from '../vllm/run-choice.ts';
import type { Emission } from '../vllm/text-assembler.ts';

export const LLAMA_FINGERPRINT = 'b11434-simulated';

export class LlamaServerShaper implements Shaper {
  readonly #spec: GenerationSpec;
  readonly #identity: AnswerIdentity;
  readonly #core: EngineCore;
  readonly #echoed = new Set<number>();

  constructor(spec: GenerationSpec, identity: AnswerIdentity, core: EngineCore) {
    this.#spec = spec;
    // Completions, too, are named chatcmpl.
    this.#identity = { ...identity, id: identity.id.replace(/^cmpl-/, 'chatcmpl-') };
    this.#core = core;
  }

  opening({ index }: ChoicePlan): object | null {
    if (this.#spec.kind === 'completions') return null;
    return this.#event([{ finish_reason: null, index, delta: { role: 'assistant', content: null } }]);
  }

  delta(plan: ChoicePlan, { text }: Emission, { content, calls }: ChatParts): object {
    const { index } = plan;
    if (this.#spec.kind === 'completions')
      return this.#event([{ text, index, logprobs: null, finish_reason: null }]);
    const prefill = this.#echoed.has(index) ? '' : this.#prefill(plan);
    this.#echoed.add(index);
    return this.#event([
      {
        finish_reason: null,
        index,
        delta: { content: prefill + content, ...toolCallDeltas(this.#identity, plan, calls) },
      },
    ]);
  }

  closing({ index }: ChoicePlan, { finishReason }: ChoiceEnd, usage: Usage): object {
    if (this.#spec.kind === 'completions') {
      const choice = { text: '', index, logprobs: null, finish_reason: finishReason };
      return this.#event([choice], { usage: withDetails(usage), timings: timings(usage) });
    }
    return this.#event([{ finish_reason: finishReason, index, delta: {} }]);
  }

  usageEvent(usage: Usage): object {
    return this.#event([], { usage: withDetails(usage), timings: timings(usage) });
  }

  whole(finished: readonly FinishedChoice[]): object {
    const chat = this.#spec.kind === 'chat';
    const tokens = finished.reduce((sum, { end }) => sum + end.completionTokens, 0);
    const usage = usageOf(this.#spec, tokens);
    const choices = finished.map(({ plan, parts: { content, calls }, end }) => {
      const { index } = plan;
      const finish = { finish_reason: end.finishReason, index };
      return chat
        ? {
            ...finish,
            message: {
              role: 'assistant',
              content: this.#prefill(plan) + content,
              ...wholeToolCalls(this.#identity, plan, calls),
            },
          }
        : { ...finish, text: content, logprobs: null };
    });
    const object = chat ? 'chat.completion' : 'text_completion';
    return { ...this.#event(choices, { usage: withDetails(usage), timings: timings(usage) }), object };
  }

  /** What the client had written of the answer. */
  #prefill({ prompt }: ChoicePlan): string {
    if (prompt.generatedPrefix === 0) return '';
    return new TextDecoder().decode(this.#core.detokenize(prompt.tokens.slice(-prompt.generatedPrefix)));
  }

  #event(choices: object[], more: object = {}): object {
    const { id, created, model } = this.#identity;
    const object = this.#spec.kind === 'chat' ? 'chat.completion.chunk' : 'text_completion';
    return { choices, created, id, model, system_fingerprint: LLAMA_FINGERPRINT, object, ...more };
  }
}

function withDetails(usage: Usage): object {
  return { ...usage, prompt_tokens_details: { cached_tokens: 0 } };
}

function timings({ prompt_tokens, completion_tokens }: Usage): object {
  return { cache_n: 0, prompt_n: prompt_tokens, predicted_n: completion_tokens };
}
