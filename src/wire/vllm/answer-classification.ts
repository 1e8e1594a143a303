/** Classification in vLLM's shape: for each input the most likely label and how likely each of them is. */
import type { Clock } from '../../base/clock.ts';
import { invariant } from '../../base/invariant.ts';
import type { EngineCore } from '../../contract/ports/engine-core.ts';
import type { WorkAnswer } from './dialect-variant.ts';
import { parsePrompts } from './parse-prompt.ts';
import { sendJson } from './send-json.ts';

/** As for the inputs of embeddings. */
const INPUTS_MAX = 2048;

/** Null: the core does not classify, and has no such path. vLLM answers at /classify, SGLang at /v1/classify. */
export function classification(core: EngineCore, clock: Clock): WorkAnswer | null {
  if (core.classify === undefined) return null;
  return async ({ exchange, fields, signal, requestId }) => {
    const inputs = parsePrompts(core, 'input', fields.input, INPUTS_MAX);
    const data: object[] = [];
    // One after the other, as for embeddings.
    for (const [index, { tokens }] of inputs.entries()) {
      const found = await core.classify?.(tokens, signal);
      invariant(found !== undefined, 'a core that classifies gives a class for every input');
      data.push({ index, label: found.label, probs: found.probs, num_classes: found.probs.length });
    }
    const promptTokens = inputs.reduce((sum, { tokens }) => sum + tokens.length, 0);
    sendJson(exchange, {
      id: `classify-${requestId}`,
      object: 'list',
      created: Math.floor(clock.wallMs() / 1000),
      model: core.info.model,
      data,
      usage: {
        prompt_tokens: promptTokens,
        total_tokens: promptTokens,
        completion_tokens: 0,
        prompt_tokens_details: null,
      },
    });
  };
}
