/**
 * Port: the inside of an engine of ours (embedded, simulator), without HTTP. `wire/vllm` puts the vLLM dialect in front.
 * In the contract: `generate` yields each token exactly once, in order; it ends after an end-of-sequence token or `maxTokens`;
 * when its signal fires or the consumer leaves the loop, the slot is free at once. The core handles neither stop strings nor
 * text assembly (wire/vllm does), but honours `minTokens` by not ending before.
 */
export interface SamplingParams {
  /** 0: greedy. */
  temperature: number;
  /** 1: off. */
  topP: number;
  /** 0 or -1: off. */
  topK: number;
  /** 0: off. */
  minP: number;
  /** Undefined: the core chooses one. A token at absolute position p (prompt included) depends on (seed, p) only. */
  seed: number | undefined;
  /** 0: off. Counts generated tokens. */
  presencePenalty: number;
  /** 0: off. Counts generated tokens. */
  frequencyPenalty: number;
  /** 1: off. Counts prompt and generated tokens. */
  repetitionPenalty: number;
  /** Added to the logit, by token id. */
  logitBias: Readonly<Record<number, number>>;
}

export interface GenerateRequest {
  requestId: string;
  promptTokens: readonly number[];
  maxTokens: number;
  minTokens: number;
  /** Token ids that end generation besides the end-of-sequence token. */
  stopTokenIds: readonly number[];
  ignoreEos: boolean;
  sampling: SamplingParams;
  /** How many alternatives per token to report; undefined: no logprobs at all. */
  topLogprobs: number | undefined;
  /** JSON Schema that the text must obey; undefined: free text. `{}` means any JSON object. */
  jsonSchema: Readonly<Record<string, unknown>> | undefined;
  /** Lower is served first, as in vLLM. */
  priority: number;
  /**
   * A continuation: so many tokens at the end of `promptTokens` were generated before, by another replica. They count as
   * generated for penalties, and a grammar starts after them. Undefined: 0.
   */
  generatedPrefix?: number;
  /** LoRA adapter that the answer is computed with; undefined: none. */
  adapter?: string;
  /** Functions that the answer may call, or must; only for cores with `canCallTools`. Calls are written as in wire/vllm/chat-output.ts. */
  tools?: ToolUse;
  /** The answer begins with a thought between `<think>` and `</think>`; only for cores with `canReason`. */
  reasoning?: boolean;
}

/** A function that a model may call, with the JSON Schema of its arguments. */
export interface Tool {
  name: string;
  parameters: Readonly<Record<string, unknown>>;
}

export interface ToolUse {
  tools: readonly Tool[];
  /** `auto`: the model decides. `required`: at least one call. An object: just this function. */
  choice: 'auto' | 'required' | { name: string };
  /** More than one call in an answer. */
  parallel: boolean;
}

export interface TokenLogprob {
  id: number;
  bytes: Uint8Array;
  logprob: number;
}

export interface GeneratedToken {
  id: number;
  /** Bytes of the token; may be part of a character. Empty for special tokens. */
  bytes: Uint8Array;
  logprob?: number;
  /** Best first; the sampled token is not necessarily among them. */
  topLogprobs?: TokenLogprob[];
}

/** `stop`: an end-of-sequence or stop token was sampled (it is not yielded). */
export type CoreFinish = { reason: 'stop'; stopTokenId: number } | { reason: 'length' };

export interface EngineCoreInfo {
  /** The id in /v1/models. */
  model: string;
  ownedBy: string;
  /** Tokens per sequence, prompt and answer together. */
  contextLength: number;
  vocabularySize: number;
  canEmbed: boolean;
  /** Default false: tools are then ignored, or refused where a call is demanded. */
  canCallTools?: boolean;
  /** Default false. */
  canReason?: boolean;
}

/** A histogram as Prometheus wants it: upper bounds without +Inf, cumulative counts, sum and count. */
export interface HistogramSnapshot {
  bounds: readonly number[];
  cumulative: readonly number[];
  sum: number;
  count: number;
}

/** Counters and gauges; wire/vllm renders them with `vllm:` names. */
export interface EngineCoreMetrics {
  running: number;
  waiting: number;
  kvCacheUsageRatio: number;
  prefixCacheQueriesTotal: number;
  prefixCacheHitsTotal: number;
  promptTokensTotal: number;
  generationTokensTotal: number;
  preemptionsTotal: number;
  /** Decode steps since start: the progress counter. */
  stepsTotal: number;
  finishedTotal: Readonly<Record<'stop' | 'length' | 'abort', number>>;
  timeToFirstTokenSeconds: HistogramSnapshot;
  interTokenLatencySeconds: HistogramSnapshot;
  e2eRequestLatencySeconds: HistogramSnapshot;
}

export interface ChatTurn {
  role: string;
  content: string;
}

export interface RenderOptions {
  addGenerationPrompt: boolean;
  /** The last message is left open, so that generation goes on inside it. */
  continueFinalMessage: boolean;
}

export interface EngineCore {
  readonly info: EngineCoreInfo;
  /** Text to tokens. `parseSpecial`: whether texts such as `<|im_start|>` become their special token (off for user text). */
  tokenize(text: string, options: { parseSpecial: boolean }): number[];
  /** Tokens to bytes; special tokens give nothing. Throws RangeError for an id outside the vocabulary. */
  detokenize(tokens: readonly number[]): Uint8Array;
  /** A token as people read it: special tokens by name, partial characters as U+FFFD. Undefined: wire decodes the bytes. */
  tokenText?(id: number): string;
  /** Chat messages to prompt tokens; user text can not smuggle in special tokens. */
  renderChat(messages: readonly ChatTurn[], options: RenderOptions): number[];
  /** Each array holds the tokens of one step. The return value says why it ended. */
  generate(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GeneratedToken[], CoreFinish, void>;
  embed(tokens: readonly number[], signal: AbortSignal): Promise<number[]>;
  /** The most likely label, and the probability of each of the model's labels, in their order. Undefined: the core has none. */
  classify?(tokens: readonly number[], signal: AbortSignal): Promise<{ label: string; probs: number[] }>;
  /** The same engine, asked through one of its LoRA adapters. Undefined: the core knows none. */
  adapted?(adapter: string): EngineCore;
  /** False when no further request can be queued; the front end then answers 503 with Retry-After. */
  canAccept(): boolean;
  metrics(): EngineCoreMetrics;
  /** Drops computed prefixes that no request uses; false, and nothing dropped, while a request holds any. */
  clearCache?(): boolean;
  close(): Promise<void>;
}
