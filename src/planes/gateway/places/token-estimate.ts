/** How many tokens a request will use, before any engine has counted: for the turn in the queue, and for limits. */
import { choiceCountOf, outputLimitOf } from '../../../wire/openai/continuation-request.ts';
import type { Envelope } from '../../../wire/openai/envelope.ts';

/** Bytes of a JSON body per token of its prompt, roughly; engines report the truth at the end. */
const BYTES_PER_TOKEN = 4;
/** Tokens that an answer is expected to have when the client names no limit. */
export const ANSWER_TOKENS = 256;

/** Smaller bodies hold no picture worth looking for. */
const MEDIA_BYTES_MIN = 4_096;
const MEDIA_MARK = ';base64,';
/** Of one picture or recording; engines differ, and none needs a token for four bytes of it. */
const MEDIA_TOKENS = 1_024;

export function promptTokensIn(body: Buffer): number {
  const bytes = body.length;
  if (bytes < MEDIA_BYTES_MIN) return Math.ceil(bytes / BYTES_PER_TOKEN);
  let mediaBytes = 0;
  let media = 0;
  for (let at = body.indexOf(MEDIA_MARK); at >= 0; at = body.indexOf(MEDIA_MARK, at)) {
    const end = body.indexOf('"', at);
    if (end < 0) break;
    mediaBytes += end - at;
    media++;
    at = end;
  }
  return Math.ceil((bytes - mediaBytes) / BYTES_PER_TOKEN) + media * MEDIA_TOKENS;
}

/** What a limit on tokens reserves: the prompt and the longest answer that the request allows, none longer than the context. */
export function tokensReserved(envelope: Envelope, contextLength = Number.POSITIVE_INFINITY): number {
  const prompt = Math.min(promptTokensIn(envelope.bytes), contextLength);
  if (envelope.endpoint !== 'chat' && envelope.endpoint !== 'completions') return prompt;
  const named = outputLimitOf(envelope.fields);
  const answer = named !== null && named >= 1 ? Math.floor(named) : ANSWER_TOKENS;
  return prompt + choiceCountOf(envelope) * Math.min(answer, contextLength);
}
