/**
 * The JSON of answers, whole and in events, for chat and completions, as vLLM and OpenAI spell it. Pure: from emissions to
 * objects. One `AnswerShaper` per request; it remembers per choice how far its text has come.
 */
import { mix32 } from '../../base/random.ts';
import type { GeneratedToken } from '../../contract/ports/engine-core.ts';
import type { ChatParts } from './chat-output.ts';
import { chatLogprobs, completionLogprobs } from './logprob-shapes.ts';
import type { GenerationSpec } from './parse-generation.ts';
import type { ChoiceEnd, ChoicePlan } from './run-choice.ts';
import type { Emission } from './text-assembler.ts';

export interface AnswerIdentity {
  id: string;
  /** Unix seconds. */
  created: number;
  model: string;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}

export interface FinishedChoice {
  plan: ChoicePlan;
  /** Without the echoed prompt. */
  parts: ChatParts;
  tokens: GeneratedToken[];
  end: ChoiceEnd;
}

export function usageOf(spec: GenerationSpec, completionTokens: number): Usage {
  const promptTokens = spec.prompts.reduce((sum, prompt) => sum + prompt.tokens.length, 0);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}

/** Emissions of one request to the JSON of its answer. */
export interface Shaper {
  /** Before the first text of a choice. Null when there is nothing to say. */
  opening(plan: ChoicePlan, echoedText: string, usage: Usage): object | null;
  /** One event, or several. @param parts what the text of the emission means. */
  delta(plan: ChoicePlan, emission: Emission, parts: ChatParts, usage: Usage): object | object[];
  closing(plan: ChoicePlan, end: ChoiceEnd, usage: Usage): object;
  usageEvent(usage: Usage): object;
  whole(finished: readonly FinishedChoice[], echoed: (plan: ChoicePlan) => string): object;
}

export class AnswerShaper implements Shaper {
  readonly #spec: GenerationSpec;
  readonly #identity: AnswerIdentity;
  readonly #textLength = new Map<number, number>();

  constructor(spec: GenerationSpec, identity: AnswerIdentity) {
    this.#spec = spec;
    this.#identity = identity;
  }

  /** Before the first text of a choice: the role (chat), the prompt ids where asked for. Null when there is nothing to say. */
  opening(plan: ChoicePlan, echoedText: string, usage: Usage): object | null {
    const ids = this.#spec.returnTokenIds ? { prompt_token_ids: plan.prompt.tokens } : {};
    if (this.#spec.kind === 'chat') {
      const delta = { role: 'assistant', content: '' };
      return {
        ...this.#event([{ ...this.#choice(plan.index, { delta }, null), ...this.#tokenIds([]) }], usage),
        ...ids,
      };
    }
    this.#advance(plan.index, echoedText);
    if (echoedText === '' && !this.#spec.returnTokenIds) return null;
    const choice = this.#choice(plan.index, { text: echoedText }, null);
    return this.#event([{ ...choice, ...this.#tokenIds([]), ...ids }], usage);
  }

  delta(plan: ChoicePlan, emission: Emission, parts: ChatParts, usage: Usage): object {
    const body = this.#spec.kind === 'chat' ? { delta: this.#deltaOf(plan, parts) } : { text: emission.text };
    const logprobs = this.#logprobs(emission.tokens, this.#textLength.get(plan.index) ?? 0);
    this.#advance(plan.index, emission.text);
    const choice = { ...this.#choice(plan.index, body, null), logprobs, ...this.#tokenIds(emission.tokens) };
    return this.#event([choice], usage);
  }

  #deltaOf(plan: ChoicePlan, { reasoning, content, calls }: ChatParts): object {
    if (reasoning === '' && calls.length === 0) return { content };
    return {
      ...(reasoning !== '' && { reasoning_content: reasoning }),
      ...(content !== '' && { content }),
      ...toolCallDeltas(this.#identity, plan, calls),
    };
  }

  closing(plan: ChoicePlan, end: ChoiceEnd, usage: Usage): object {
    const body = this.#spec.kind === 'chat' ? { delta: {} } : { text: '' };
    const choice = this.#choice(plan.index, body, end.finishReason);
    return this.#event([{ ...choice, stop_reason: end.stopReason, ...this.#tokenIds([]) }], usage);
  }

  usageEvent(usage: Usage): object {
    return { ...this.#event([], usage), usage };
  }

  whole(finished: readonly FinishedChoice[], echoed: (plan: ChoicePlan) => string): object {
    const completionTokens = finished.reduce((sum, { end }) => sum + end.completionTokens, 0);
    const [first] = finished;
    const chatIds =
      this.#spec.kind === 'chat' && this.#spec.returnTokenIds && first !== undefined
        ? { prompt_token_ids: first.plan.prompt.tokens }
        : {};
    return {
      id: this.#identity.id,
      object: this.#spec.kind === 'chat' ? 'chat.completion' : 'text_completion',
      created: this.#identity.created,
      model: this.#identity.model,
      choices: finished.map((choice) => this.#wholeChoice(choice, echoed(choice.plan))),
      usage: usageOf(this.#spec, completionTokens),
      ...chatIds,
    };
  }

  #message(plan: ChoicePlan, { reasoning, content, calls }: ChatParts): object {
    return {
      role: 'assistant',
      content: content === '' && calls.length > 0 ? null : content,
      refusal: null,
      ...(reasoning !== '' && { reasoning_content: reasoning }),
      ...wholeToolCalls(this.#identity, plan, calls),
    };
  }

  #wholeChoice({ plan, parts, tokens, end }: FinishedChoice, echoed: string): object {
    const isChat = this.#spec.kind === 'chat';
    const body = isChat ? { message: this.#message(plan, parts) } : { text: echoed + parts.content };
    return {
      ...this.#choice(plan.index, body, end.finishReason),
      logprobs: this.#logprobs(tokens, echoed.length),
      stop_reason: end.stopReason,
      ...(!isChat && this.#spec.returnTokenIds && { prompt_token_ids: plan.prompt.tokens }),
      ...this.#tokenIds(tokens),
    };
  }

  #event(choices: object[], usage: Usage): object {
    return {
      id: this.#identity.id,
      object: this.#spec.kind === 'chat' ? 'chat.completion.chunk' : 'text_completion',
      created: this.#identity.created,
      model: this.#identity.model,
      choices,
      ...(this.#spec.continuousUsage && { usage }),
    };
  }

  #choice(index: number, body: object, finishReason: string | null): object {
    return { index, ...body, logprobs: null, finish_reason: finishReason };
  }

  #tokenIds(tokens: readonly GeneratedToken[]): object {
    return this.#spec.returnTokenIds ? { token_ids: tokens.map((token) => token.id) } : {};
  }

  #logprobs(tokens: readonly GeneratedToken[], textOffset: number): object | null {
    const top = this.#spec.topLogprobs;
    if (top === undefined) return null;
    return this.#spec.kind === 'chat'
      ? chatLogprobs(tokens, top)
      : completionLogprobs(tokens, top, textOffset);
  }

  #advance(index: number, text: string): void {
    this.#textLength.set(index, (this.#textLength.get(index) ?? 0) + text.length);
  }
}

type Calls = ChatParts['calls'];

/** `tool_calls` of a delta; no field without calls. */
export function toolCallDeltas(identity: AnswerIdentity, plan: ChoicePlan, calls: Calls): object {
  if (calls.length === 0) return {};
  return {
    tool_calls: calls.map(({ index, name, arguments: text }) =>
      name === undefined
        ? { index, function: { arguments: text } }
        : { index, ...toolCall(identity, plan, { index, name, text }) },
    ),
  };
}

/** `tool_calls` of a message; no field without calls. */
export function wholeToolCalls(identity: AnswerIdentity, plan: ChoicePlan, calls: Calls): object {
  if (calls.length === 0) return {};
  return {
    tool_calls: calls.map(({ index, name = '', arguments: text }) =>
      toolCall(identity, plan, { index, name, text }),
    ),
  };
}

function toolCall(
  identity: AnswerIdentity,
  plan: ChoicePlan,
  { index, name, text }: { index: number; name: string; text: string },
): object {
  const id = [1, 2, 3, 4].map((part) =>
    mix32(hashOf(identity.id), plan.index, index, part).toString(16).padStart(8, '0'),
  );
  return { id: `chatcmpl-tool-${id.join('')}`, type: 'function', function: { name, arguments: text } };
}

function hashOf(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = mix32(hash, text.charCodeAt(i));
  return hash;
}
