/** Answers as SGLang shapes them (srt/entrypoints/openai/protocol.py, 0.5.23): vLLM's, with names and nulls of its own. */

import type { AnswerIdentity, FinishedChoice, Shaper, Usage } from '../vllm/answer-shapes.ts';
import { AnswerShaper } from '../vllm/answer-shapes.ts';
import type { ChatParts } from '../vllm/chat-output.ts';
import type { GenerationSpec } from '../vllm/parse-generation.ts';
import type { ChoiceEnd, ChoicePlan } from '../vllm/run-choice.ts';
import type { Emission } from '../vllm/text-assembler.ts';

type Json = Record<string, unknown>;

export class SglangShaper implements Shaper {
  readonly #inner: AnswerShaper;

  constructor(spec: GenerationSpec, identity: AnswerIdentity) {
    // It names requests by a uuid without a prefix.
    this.#inner = new AnswerShaper(spec, { ...identity, id: identity.id.replace(/^(chatcmpl|cmpl)-/, '') });
  }

  opening(plan: ChoicePlan, echoedText: string, usage: Usage): object | null {
    const event = this.#inner.opening(plan, echoedText, usage);
    return event === null ? null : asSglang(event);
  }

  delta(plan: ChoicePlan, emission: Emission, parts: ChatParts, usage: Usage): object {
    return asSglang(this.#inner.delta(plan, emission, parts, usage));
  }

  closing(plan: ChoicePlan, end: ChoiceEnd, usage: Usage): object {
    return asSglang(this.#inner.closing(plan, end, usage));
  }

  usageEvent(usage: Usage): object {
    return { ...this.#inner.usageEvent(usage), usage: { ...usage, prompt_tokens_details: null } };
  }

  whole(finished: readonly FinishedChoice[], echoed: (plan: ChoicePlan) => string): object {
    const answer = this.#inner.whole(finished, echoed) as Json;
    return { ...asSglang(answer), metadata: { weight_version: 'default' } };
  }
}

/** `matched_stop` for `stop_reason`; deltas carry every field, null where it has nothing to say; events say `usage: null`. */
function asSglang(event: object): object {
  const choices = (event as { choices: Json[] }).choices.map((choice) => {
    const { stop_reason: matched = null, delta, message, ...rest } = choice;
    const fields = { role: null, content: null, reasoning_content: null, tool_calls: null };
    return {
      ...rest,
      ...(delta !== undefined && { delta: { ...fields, ...(delta as Json) } }),
      ...(message !== undefined && {
        message: { reasoning_content: null, tool_calls: null, ...(message as Json) },
      }),
      matched_stop: matched,
    };
  });
  return { usage: null, ...event, choices };
}
