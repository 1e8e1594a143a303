/**
 * The words in which the continuation of a cut stream is decided: read from the wire, judged by decide/scheduling.
 */

/** A: token replay. B: text continuation. C: full replay, delivered text suppressed. D: typed error. */
export type ContinuationTier = 'A' | 'B' | 'C' | 'D';

/** What the request asks for, as far as continuation depends on it. */
export interface ContinuationRequest {
  endpoint: 'chat' | 'completions';
  /** Temperature 0. */
  greedy: boolean;
  /** A seed was given. */
  seeded: boolean;
  n: number;
  tools: boolean;
  /** response_format, guided_* or a grammar: the state of the grammar can not be carried. */
  structured: boolean;
  logprobs: boolean;
  /** presence, frequency or repetition penalty: what was generated counts, and would become prompt. */
  penalties: boolean;
  stopStrings: boolean;
  echo: boolean;
  /** The prompt or the messages are text that can be extended. */
  extendable: boolean;
}

/** What reached the client before the cut. */
export interface DeliveredSummary {
  /** Prompt ids and all delivered ids are known. */
  tokenIds: boolean;
  /** Anything but plain text: tool calls, reasoning. */
  otherThanText: boolean;
  /** Something that can not be compared with a replay, such as audio. */
  opaque: boolean;
  /** Text begins or ends with white space, which chat templates may trim (vllm#9547). */
  trimmable: boolean;
}
