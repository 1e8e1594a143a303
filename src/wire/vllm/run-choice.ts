/**
 * One answer of a request, from the core to text: generation, text assembly, stop strings. Whoever leaves the loop early, and
 * a stop string, end the generation at once, so that its slot is free.
 */
import { mix32 } from '../../base/random.ts';
import type { CoreFinish, EngineCore, GenerateRequest } from '../../contract/ports/engine-core.ts';
import type { GenerationSpec } from './parse-generation.ts';
import type { Prompt } from './parse-prompt.ts';
import { type Emission, TextAssembler } from './text-assembler.ts';

export interface ChoiceEnd {
  finishReason: 'stop' | 'length' | 'tool_calls';
  /** As vLLM: the stop string or stop token id; null for end of sequence and length. */
  stopReason: string | number | null;
  completionTokens: number;
}

export interface ChoicePlan {
  /** Index in the answer. */
  index: number;
  prompt: Prompt;
  request: GenerateRequest;
}

/** The answers of a request, prompt by prompt, as OpenAI numbers them. */
export function planChoices(spec: GenerationSpec, requestId: string): ChoicePlan[] {
  return spec.prompts.flatMap((prompt, promptIndex) =>
    Array.from({ length: spec.n }, (_, answer): ChoicePlan => {
      const index = promptIndex * spec.n + answer;
      return {
        index,
        prompt,
        request: requestOf(spec, prompt, promptIndex, answer, `${requestId}-${index}`),
      };
    }),
  );
}

function requestOf(
  spec: GenerationSpec,
  prompt: Prompt,
  promptIndex: number,
  answer: number,
  requestId: string,
): GenerateRequest {
  const { seed } = spec.sampling;
  return {
    requestId,
    promptTokens: prompt.tokens,
    maxTokens: spec.maxTokens[promptIndex] ?? 1,
    minTokens: spec.minTokens,
    stopTokenIds: spec.stopTokenIds,
    ignoreEos: spec.ignoreEos,
    // The first answer keeps the seed as it is, so that a continuation, which asks for one answer, finds the same chance.
    sampling:
      seed === undefined || answer === 0 ? spec.sampling : { ...spec.sampling, seed: mix32(seed, answer) },
    topLogprobs: spec.topLogprobs,
    jsonSchema: spec.jsonSchema,
    priority: spec.priority,
    ...(prompt.generatedPrefix > 0 && { generatedPrefix: prompt.generatedPrefix }),
    ...(spec.tools !== undefined && { tools: spec.tools }),
    ...(spec.reasoning && { reasoning: true }),
  };
}

/** Yields what may leave after each step; a step without releasable text yields nothing. */
export async function* runChoice(
  core: EngineCore,
  spec: GenerationSpec,
  plan: ChoicePlan,
  signal: AbortSignal,
): AsyncGenerator<Emission[], ChoiceEnd, void> {
  const assembler = new TextAssembler({
    stop: spec.stop,
    includeStop: spec.includeStop,
    minTokens: spec.minTokens,
  });
  const steps = core.generate(plan.request, signal);
  try {
    for (;;) {
      const step = await steps.next();
      if (step.done === true) {
        const rest = assembler.finish();
        if (rest.length > 0) yield rest;
        return { ...endOf(step.value, spec), completionTokens: assembler.tokenCount };
      }
      const emissions = assembler.push(step.value);
      const { stoppedBy } = assembler;
      if (stoppedBy !== null) await steps.return({ reason: 'stop', stopTokenId: -1 });
      if (emissions.length > 0) yield emissions;
      if (stoppedBy !== null) {
        return { finishReason: 'stop', stopReason: stoppedBy, completionTokens: assembler.tokenCount };
      }
    }
  } finally {
    await steps.return({ reason: 'length' });
  }
}

function endOf(finish: CoreFinish, spec: GenerationSpec): Omit<ChoiceEnd, 'completionTokens'> {
  if (finish.reason === 'length') return { finishReason: 'length', stopReason: null };
  const named = spec.stopTokenIds.includes(finish.stopTokenId);
  return { finishReason: 'stop', stopReason: named ? finish.stopTokenId : null };
}
