/**
 * What the pretend model writes by plan instead of by chance: a thought, calls of tools, a document for a schema. The same
 * for the same model, prompt and seed, as text in the form that wire/vllm/chat-output.ts reads.
 */
import { createRandom, mix32, type Random } from '../base/random.ts';
import type { GenerateRequest, Tool, ToolUse } from '../contract/ports/engine-core.ts';
import { jsonFor } from './json-text.ts';
import { modelWords } from './words.ts';

/** As many calls at most in one answer; with fewer tools, one of each. */
const CALLS_MAX = 3;
const THOUGHT_WORDS = { least: 6, most: 18 };
const WORDS = modelWords();

export interface ScriptedText {
  text: string;
  /** The answer ends with it; else free text follows. */
  whole: boolean;
}

/** Null: free text from the beginning; no seed is then asked for. */
export function scriptedText(request: GenerateRequest, seedOf: () => number): ScriptedText | null {
  const { tools, jsonSchema, reasoning } = request;
  if (tools === undefined && jsonSchema === undefined && reasoning !== true) return null;
  const seed = seedOf();
  const thought = reasoning === true ? writeThought(createRandom(mix32(seed, 0x7468696e))) : '';
  if (tools !== undefined) return { text: thought + writeCalls(tools, seed), whole: true };
  if (jsonSchema !== undefined) return { text: thought + jsonFor(jsonSchema, seed), whole: true };
  return { text: thought, whole: false };
}

function writeThought(random: Random): string {
  const count = THOUGHT_WORDS.least + random.int(THOUGHT_WORDS.most - THOUGHT_WORDS.least + 1);
  const words = Array.from({ length: count }, () => random.pick(WORDS));
  return `<think>\n${words.join(' ')}.\n</think>\n\n`;
}

function writeCalls(use: ToolUse, seed: number): string {
  return toolsToCall(use, createRandom(mix32(seed, 0x63616c6c)))
    .map(({ name, parameters }, index) => {
      const call = `{"name": ${JSON.stringify(name)}, "arguments": ${jsonFor(parameters, mix32(seed, index))}}`;
      return `<tool_call>\n${call}\n</tool_call>`;
    })
    .join('\n');
}

function toolsToCall({ tools, choice, parallel }: ToolUse, random: Random): Tool[] {
  if (typeof choice === 'object') return tools.filter(({ name }) => name === choice.name).slice(0, 1);
  return parallel ? tools.slice(0, CALLS_MAX) : [random.pick(tools)];
}
