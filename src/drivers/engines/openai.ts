/** Any engine with the OpenAI API. Nothing is taken for granted but `/v1/models` and generation. */
import { createHttpEngine } from './http-engine.ts';
import { isSameWithLatest } from './latest-tag.ts';

export const openai = createHttpEngine({
  kind: 'openai',
  capabilities: {
    tokenReplay: false,
    chatContinuation: false,
    tokenize: false,
    // A replay is compared with what was delivered, so a wrong guess costs nothing but the attempt.
    determinism: 'greedy',
    wholeTokenEvents: false,
    // Some put completions through a chat template; a text that starts anew inside an answer is worse than an error.
    templatesCompletions: true,
    mayEchoPrefill: true,
  },
  defaultWindow: 256,
  healthPath: '/v1/models',
  sameModel: isSameWithLatest,
  metricNames: undefined,
});
