/**
 * What one answer said: text, token ids, finish reason and usage, out of a whole JSON body or out of the payloads of a
 * stream, for chat and for raw completions. Reads the first choice only, as the load client asks for one.
 */
export interface Usage {
  prompt_tokens?: number;
  completion_tokens?: number;
  total_tokens?: number;
}

export interface AnswerReading {
  text: string;
  /** Ids of the generated tokens, where the engine was asked for them (`return_token_ids`). */
  tokenIds: number[];
  finishReason: string | null;
  usage: Usage | null;
  /** The message of an error object in the answer. */
  errorMessage: string | null;
}

interface ChoiceJson {
  text?: string;
  delta?: { content?: string | null };
  message?: { content?: string | null };
  token_ids?: number[] | null;
  finish_reason?: string | null;
}

interface AnswerJson {
  choices?: ChoiceJson[];
  usage?: Usage | null;
  error?: { message?: string };
}

export function emptyReading(): AnswerReading {
  return { text: '', tokenIds: [], finishReason: null, usage: null, errorMessage: null };
}

/** Adds one JSON document to `reading`; returns whether it brought text. Throws SyntaxError for invalid JSON. */
export function readJson(reading: AnswerReading, json: string): boolean {
  const answer = JSON.parse(json) as AnswerJson;
  if (answer.error !== undefined) reading.errorMessage = answer.error.message ?? 'error without a message';
  if (answer.usage !== undefined && answer.usage !== null) reading.usage = answer.usage;
  const choice = answer.choices?.[0];
  if (choice === undefined) return false;
  const text = choice.delta?.content ?? choice.message?.content ?? choice.text ?? '';
  reading.text += text;
  if (Array.isArray(choice.token_ids)) reading.tokenIds.push(...choice.token_ids);
  if (choice.finish_reason !== undefined && choice.finish_reason !== null) {
    reading.finishReason = choice.finish_reason;
  }
  return text !== '';
}
