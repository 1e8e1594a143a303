/** The JSON of engine answers as tests read it: every field that any answer may have. A test that reads one asserts it. */
/** A list that a test may index without a look at its length. */
export type Some<T> = [T, T, T, T, T, ...T[]];

export interface AnswerJson {
  choices: Some<AnswerChoice>;
  usage: { prompt_tokens: number; completion_tokens: number; total_tokens: number };
  error: { message: string; type: string; param: string | null; code: string | null };
  data: Some<{ embedding: number[]; id: string }>;
  prompt_token_ids: number[];
  tokens: Some<number>;
  token_strs: string[];
  count: number;
  max_model_len: number;
  prompt: string;
}

export interface AnswerChoice {
  index: number;
  text: string;
  message: {
    role: string;
    content: string;
    reasoning_content: string;
    tool_calls: Some<AnswerToolCall>;
  };
  delta: { role?: string; content?: string; reasoning_content?: string; tool_calls?: AnswerToolCall[] };
  finish_reason: string | null;
  stop_reason: string | number | null;
  token_ids: number[];
  prompt_token_ids: number[];
  logprobs: {
    content: { token: string; logprob: number; bytes: number[]; top_logprobs: { logprob: number }[] }[];
    tokens: string[];
    token_logprobs: number[];
    text_offset: number[];
  };
}

export interface AnswerToolCall {
  index: number;
  id?: string;
  type?: string;
  function: { name?: string; arguments: string };
}
