/**
 * What of a chat may be said in other words: the text of its last message, if a user wrote it. All else must be the same, so that
 * only answers to the same conversation, under the same instructions and settings, are compared.
 */
import { type CacheScope, cacheKey } from './cache-key.ts';

export interface SimilarQuestion {
  /** Equal exactly for requests that may be given each other's answers when their texts mean the same. */
  partitionText: string;
  text: string;
}

/** Beyond this a text says more than a vector can. */
const TEXT_CHARACTERS_MAX = 8_000;

export function similarQuestion(
  scope: CacheScope,
  body: Readonly<Record<string, unknown>>,
): SimilarQuestion | null {
  if (scope.endpoint !== 'chat' || !Array.isArray(body.messages)) return null;
  const last = body.messages.at(-1) as { role?: unknown; content?: unknown } | undefined;
  const text = last?.role === 'user' ? textOf(last.content) : null;
  if (text === null || text.trim() === '' || text.length > TEXT_CHARACTERS_MAX) return null;
  const messages = [...body.messages.slice(0, -1), { ...last, content: '' }];
  const key = cacheKey(scope, { ...body, messages });
  return key.kind === 'key' ? { partitionText: key.text, text } : null;
}

function textOf(content: unknown): string | null {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content) || content.length !== 1) return null;
  const [part] = content as [{ type?: unknown; text?: unknown } | null];
  return part?.type === 'text' && typeof part.text === 'string' ? part.text : null;
}
