/**
 * Refusals of an engine, which was asked by a chat request, in the words of the Responses API: a client is told of the field
 * that it sent, and not of the one that the field became.
 */
import { isRecord } from '../json/parse-object.ts';

/** As a path begins, and as a message names it. Longer ones first. */
const NAMES: readonly [RegExp, string][] = [
  [/\bmax_(completion_)?tokens\b/g, 'max_output_tokens'],
  [/\bresponse_format\.json_schema\b/g, 'text.format'],
  [/\bresponse_format\b/g, 'text.format'],
  [/\breasoning_effort\b/g, 'reasoning.effort'],
  [/\b(tools\[\d+\])\.function\b/g, '$1'],
];

export function inResponsesWords(text: string): string {
  return NAMES.reduce((words, [name, ours]) => words.replaceAll(name, ours), text);
}

/** The body of an answer with an error status; one that has no OpenAI error object stays as it is. */
export function errorInResponsesWords(body: Buffer): Buffer | string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString('utf8'));
  } catch {
    return body;
  }
  if (!isRecord(parsed) || !isRecord(parsed.error)) return body;
  const { message, param } = parsed.error;
  const error = {
    ...parsed.error,
    ...(typeof message === 'string' && { message: inResponsesWords(message) }),
    // Messages of the chat are made of items, some of several, so their numbers would mislead.
    ...(typeof param === 'string' && { param: inResponsesWords(param.replace(/^messages\b.*/, 'input')) }),
  };
  return JSON.stringify({ ...parsed, error });
}
