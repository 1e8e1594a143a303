/**
 * Ollama. It is told everything by its environment, has no metrics and no /health, and loads a model when it is first asked
 * for. Facts from its sources of August 2026: `envconfig/config.go`, `server/routes.go`, `openai/openai.go`. A model must have
 * been pulled before; its own name, with its tag, is the one that requests carry.
 */
import { commandLine } from './command-line.ts';
import { call } from './engine-calls.ts';
import { createHttpEngine } from './http-engine.ts';
import { isSameWithLatest } from './latest-tag.ts';
import { loadLogRules } from './log-rules.ts';

export const ollama = createHttpEngine({
  kind: 'ollama',
  capabilities: {
    tokenReplay: false,
    // Whether an answer goes on inside a last message of the assistant is up to each model's template.
    chatContinuation: false,
    tokenize: false,
    determinism: 'greedy',
    wholeTokenEvents: false,
    // /v1/completions is /api/generate without `raw`.
    templatesCompletions: true,
    // Under /v1 it has chats, completions, embeddings, images and the APIs of responses and messages; elsewhere its own.
    endpoints: [],
  },
  // OLLAMA_NUM_PARALLEL is 1 unless set; each further one costs a context of memory.
  defaultWindow: 4,
  healthPath: '/api/version',
  sameModel: isSameWithLatest,
  missingModelHint: (model) => `run \`ollama pull ${model}\``,
  metricNames: undefined,
  logRules: () => loadLogRules('ollama'),
  launch: (context) =>
    commandLine(context, ['ollama', 'serve', ...(context.args ?? [])], {
      OLLAMA_HOST: `${context.host}:${context.port}`,
      OLLAMA_NUM_PARALLEL: String(context.maxBatchSize),
      // Else the model leaves memory after five idle minutes, and the next request waits for it.
      OLLAMA_KEEP_ALIVE: '-1',
      ...(context.maxSeqLength !== undefined && { OLLAMA_CONTEXT_LENGTH: String(context.maxSeqLength) }),
    }),
  // The model leaves memory, with all that was computed, once its requests have ended; the next request loads it.
  clearCache: (target, signal) =>
    call(target, { path: '/api/generate', body: { model: target.servedModel, keep_alive: 0 } }, signal),
});
