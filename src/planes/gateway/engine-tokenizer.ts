/**
 * Asks an engine for tokens when a stream is continued: how many were delivered, and the ids of the prompt. Bounded in time
 * and size; an engine that can not answer gives null, and the caller has another way.
 */
import type { ReplicaView } from '../../contract/fleet.ts';
import { isRecord } from '../../wire/json/parse-object.ts';
import { choiceOf, type Delivered, isIdArray } from '../../wire/openai/delivered-stream.ts';
import type { Envelope } from '../../wire/openai/envelope.ts';
import { askEngine } from './ask-engine.ts';
import type { GatewayContext } from './gateway-context.ts';

const TIMEOUT_MS = 2_000;
const BYTES_MAX = 16 * 1024 * 1024;

/** Tokens delivered in the first choice: by their ids, by the engine's own count, or else one for each event. */
export async function countDelivered(
  context: GatewayContext,
  replica: ReplicaView,
  delivered: Delivered,
): Promise<number> {
  const choice = choiceOf(delivered, 0);
  if (choice.tokenIds !== null && (choice.tokenIds.length > 0 || choice.text === ''))
    return choice.tokenIds.length;
  const { tokenize: knowsPrompts, countTokens } = replica.capabilities;
  if (countTokens === 'events') return choice.events;
  if (!knowsPrompts && countTokens === undefined) return choice.textEvents;
  const question = knowsPrompts
    ? { prompt: choice.text, add_special_tokens: false }
    : { content: choice.text, add_special: false };
  const answer = await tokenize(context, replica, question);
  return answer?.length ?? choice.textEvents;
}

/** Ids of prompt and delivered text, for tier A; null when they can not be had. */
export async function promptTokenIds(
  context: GatewayContext,
  replica: ReplicaView,
  envelope: Envelope,
  delivered: Delivered,
): Promise<number[] | null> {
  const choice = choiceOf(delivered, 0);
  if (delivered.promptTokenIds !== null && choice.tokenIds !== null)
    return [...delivered.promptTokenIds, ...choice.tokenIds];
  const prompt = await tokenizePrompt(context, replica, envelope);
  if (prompt === null) return null;
  const text = await tokenize(context, replica, { prompt: choice.text, add_special_tokens: false });
  return text === null ? null : [...prompt, ...text];
}

/** Tokens of the prompt; null when nobody can count them. */
export async function countContinuedPrompt(
  context: GatewayContext,
  replica: ReplicaView,
  envelope: Envelope,
  delivered: Delivered,
): Promise<number | null> {
  if (delivered.promptTokenIds !== null) return delivered.promptTokenIds.length;
  if (!replica.capabilities.tokenize && !isIdArray(envelope.fields.prompt)) return null;
  return (await tokenizePrompt(context, replica, envelope))?.length ?? null;
}

async function tokenizePrompt(
  context: GatewayContext,
  replica: ReplicaView,
  { endpoint, fields }: Envelope,
): Promise<number[] | null> {
  if (isIdArray(fields.prompt)) return fields.prompt;
  const question =
    endpoint === 'chat'
      ? { messages: fields.messages, add_generation_prompt: fields.add_generation_prompt ?? true }
      : { prompt: fields.prompt };
  return await tokenize(context, replica, question);
}

async function tokenize(
  context: GatewayContext,
  replica: ReplicaView,
  question: Record<string, unknown>,
): Promise<number[] | null> {
  const { reply } = askEngine(context, replica, {
    path: '/tokenize',
    body: { model: replica.servedModel, ...question },
    timeoutMs: TIMEOUT_MS,
    bytesMax: BYTES_MAX,
  });
  const answer = await reply;
  return answer.kind === 'answered' && answer.status === 200 ? tokensIn(answer.body) : null;
}

function tokensIn(body: Buffer): number[] | null {
  try {
    const answer: unknown = JSON.parse(body.toString('utf8'));
    return isRecord(answer) && isIdArray(answer.tokens) ? answer.tokens : null;
  } catch {
    return null;
  }
}
