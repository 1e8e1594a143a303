/** One prompt, one answer, for end points that are not OpenAI's: the text as it comes, and the end. */
import type { EngineCore, GeneratedToken } from '../../contract/ports/engine-core.ts';
import type { GenerationSpec } from './parse-generation.ts';
import { type ChoiceEnd, planChoices, runChoice } from './run-choice.ts';
import type { Emission } from './text-assembler.ts';

export interface SingleEnd extends ChoiceEnd {
  text: string;
  tokens: GeneratedToken[];
}

export interface SingleRun {
  promptTokens: number;
  stream: boolean;
  /** Runs to the end; `take` gets the text of each step as soon as it may leave. Call it once. */
  run(take: (emissions: Emission[]) => void | Promise<void>): Promise<SingleEnd>;
}

export interface SingleRunOptions {
  core: EngineCore;
  spec: GenerationSpec;
  requestId: string;
  signal: AbortSignal;
  onStopString(): void;
}

export function createSingleRun(options: SingleRunOptions): SingleRun {
  const { core, spec, requestId, signal } = options;
  const [plan] = planChoices({ ...spec, n: 1, prompts: spec.prompts.slice(0, 1) }, requestId);
  return {
    promptTokens: plan?.prompt.tokens.length ?? 0,
    stream: spec.stream,
    run: async (take) => {
      if (plan === undefined) throw new RangeError('a request without a prompt');
      const steps = runChoice(core, spec, plan, signal);
      const answer: Pick<SingleEnd, 'text' | 'tokens'> = { text: '', tokens: [] };
      try {
        for (;;) {
          const step = await steps.next();
          if (step.done === true) {
            if (typeof step.value.stopReason === 'string') options.onStopString();
            return { ...answer, ...step.value };
          }
          for (const { text, tokens } of step.value) {
            answer.text += text;
            answer.tokens.push(...tokens);
          }
          await take(step.value);
        }
      } finally {
        await steps.return({ finishReason: 'length', stopReason: null, completionTokens: 0 });
      }
    },
  };
}
