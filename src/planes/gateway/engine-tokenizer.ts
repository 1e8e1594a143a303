/**
 * Asks an engine for tokens when a stream is continued: how many were delivered, and the ids of the prompt. Bounded in time
 * and size; an engine that can not answer gives null, and the caller has another way.
 */
import type { ReplicaView } from '../../contract/fleet.ts';
import { isRecord } from '../../wire/json/parse-object.ts';
import { choiceOf, type Delivered, isIdArray } from '../../wire/openai/delivered-stream.ts';
import type { Envelope } from '../../wire/openai/envelope.ts';
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
  const { fields } = envelope;
  const question =
    envelope.endpoint === 'chat'
      ? { messages: fields.messages, add_generation_prompt: fields.add_generation_prompt ?? true }
      : { prompt: fields.prompt };
  const prompt = isIdArray(fields.prompt) ? fields.prompt : await tokenize(context, replica, question);
  if (prompt === null) return null;
  const text = await tokenize(context, replica, { prompt: choice.text, add_special_tokens: false });
  return text === null ? null : [...prompt, ...text];
}

function tokenize(
  context: GatewayContext,
  replica: ReplicaView,
  question: Record<string, unknown>,
): Promise<number[] | null> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    let status = 0;
    const finish = (tokens: number[] | null) => {
      clearTimeout(timer);
      resolve(tokens);
    };
    const timer = setTimeout(() => {
      call.abort();
      finish(null);
    }, TIMEOUT_MS);
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    if (replica.engineKey !== undefined) headers.authorization = `Bearer ${replica.engineKey}`;
    const call = context.transport.send(
      {
        origin: replica.url,
        method: 'POST',
        path: '/tokenize',
        headers,
        body: Buffer.from(JSON.stringify({ model: replica.servedModel, ...question })),
        connectTimeoutMs: context.settings.connectTimeoutMs,
      },
      {
        onHead: (found) => {
          status = found;
        },
        onData: (chunk) => {
          size += chunk.length;
          if (size <= BYTES_MAX) chunks.push(chunk);
        },
        onEnd: () => finish(status === 200 && size <= BYTES_MAX ? tokensIn(Buffer.concat(chunks)) : null),
        onError: () => finish(null),
      },
    );
  });
}

function tokensIn(body: Buffer): number[] | null {
  try {
    const answer: unknown = JSON.parse(body.toString('utf8'));
    return isRecord(answer) && isIdArray(answer.tokens) ? answer.tokens : null;
  } catch {
    return null;
  }
}
