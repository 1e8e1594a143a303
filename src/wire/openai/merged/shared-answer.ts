/**
 * Shares out an engine's answer to a merged request: each request gets its own items, numbered as if it had been alone, byte for byte
 * as the engine wrote them, with an id of its own and its part of the usage. Null for an answer that is not one to all inputs.
 */
import { type ListAnswer, type NumberedItem, readListAnswer } from '../../json/list-answer.ts';
import { isRecord } from '../../json/parse-object.ts';
import type { Span } from '../../json/top-level-span.ts';
import type { TokenUsage } from '../usage-tail.ts';
import type { RequestPart } from './request-part.ts';

export interface Sharer extends Pick<RequestPart, 'units' | 'weight' | 'top'> {
  /** What `id` of its answer is made of. */
  requestId: string;
}

export interface AnswerShare {
  body: Buffer;
  /** Null when the engine said nothing. */
  usage: TokenUsage | null;
}

/** Where engines put the list: `results` for rerank, `data` for all else. */
const LIST_KEYS = ['data', 'results'];

export function shareAnswer(answer: Buffer, sharers: readonly Sharer[]): AnswerShare[] | null {
  const found = readListAnswer(answer, LIST_KEYS);
  if (found === null) return null;
  const items = itemsByOwner(found, sharers);
  if (items === null) return null;
  const usages = usageShares(answer, found, sharers);
  const prefix = idPrefix(answer, found);
  return sharers.map(({ requestId, top }, place) => {
    const own = items[place] as OwnItem[];
    const usage = usages?.[place] ?? null;
    const changes: Change[] = [
      { ...found.list, bytes: listOf(answer, top === null ? own : own.slice(0, top)) },
    ];
    const id = found.others.get('id');
    if (prefix !== null && id !== undefined)
      changes.push({ ...id, bytes: Buffer.from(JSON.stringify(`${prefix}${requestId}`)) });
    const used = found.others.get('usage');
    if (usage !== null && used !== undefined)
      changes.push({ ...used, bytes: Buffer.from(JSON.stringify(usage)) });
    return { body: replaceSpans(answer, changes), usage: usage === null ? null : tokensIn(usage) };
  });
}

interface OwnItem {
  item: NumberedItem;
  /** Its place among the inputs of its request. */
  index: number;
}

/** In the order of the answer, which for rerank is that of the scores. Null unless each input has exactly one item. */
function itemsByOwner({ items }: ListAnswer, sharers: readonly Sharer[]): OwnItem[][] | null {
  const owners = sharers.flatMap(({ units }, place) =>
    Array.from({ length: units }, (_, index) => ({ place, index })),
  );
  if (items.length !== owners.length) return null;
  const own: OwnItem[][] = sharers.map(() => []);
  const seen = new Set<number>();
  for (const item of items) {
    const owner = owners[item.index];
    if (owner === undefined || seen.has(item.index)) return null;
    seen.add(item.index);
    own[owner.place]?.push({ item, index: owner.index });
  }
  return own;
}

function listOf(answer: Buffer, own: readonly OwnItem[]): Buffer {
  const parts: Buffer[] = [Buffer.from('[')];
  for (const [place, { item, index }] of own.entries()) {
    if (place > 0) parts.push(Buffer.from(','));
    const { start, end, at } = item;
    parts.push(answer.subarray(start, at.start), Buffer.from(String(index)), answer.subarray(at.end, end));
  }
  parts.push(Buffer.from(']'));
  return Buffer.concat(parts);
}

interface Change extends Span {
  bytes: Buffer;
}

function replaceSpans(json: Buffer, changes: readonly Change[]): Buffer {
  const parts: Buffer[] = [];
  let from = 0;
  for (const { start, end, bytes } of changes.toSorted((a, b) => a.start - b.start)) {
    parts.push(json.subarray(from, start), bytes);
    from = end;
  }
  parts.push(json.subarray(from));
  return Buffer.concat(parts);
}

/** What stands in front of the request's own id, such as `embd-`; null: the answer has no such id. */
function idPrefix(answer: Buffer, { others }: ListAnswer): string | null {
  const id = valueAt(answer, others.get('id'));
  if (typeof id !== 'string') return null;
  return /^[a-z]{1,16}-/.exec(id)?.[0] ?? '';
}

type Usage = Record<string, unknown>;

/** Each number of the usage, shared out by weight; all together are what the engine said. */
function usageShares(answer: Buffer, { others }: ListAnswer, sharers: readonly Sharer[]): Usage[] | null {
  const usage = valueAt(answer, others.get('usage'));
  if (!isRecord(usage)) return null;
  const weights = sharers.map(({ weight }) => weight);
  const shares: Usage[] = sharers.map(() => ({}));
  for (const [name, value] of Object.entries(usage)) {
    const isCount = typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
    const parts = isCount ? shareOut(value, weights) : null;
    for (const [place, share] of shares.entries()) {
      // What is not a count (details, mostly null) is said of the whole call, or not at all.
      if (parts !== null) share[name] = parts[place];
      else if (typeof value !== 'object' || value === null) share[name] = value;
    }
  }
  return shares;
}

/** Whole numbers in proportion to `weights` (largest remainder) that add up to `total`. */
export function shareOut(total: number, weights: readonly number[]): number[] {
  const sum = weights.reduce((all, weight) => all + weight, 0);
  const exact = weights.map((weight) => (total * weight) / sum);
  const shares = exact.map(Math.floor);
  const left = total - shares.reduce((all, share) => all + share, 0);
  const byRemainder = exact
    .map((value, place) => ({ place, remainder: value - Math.floor(value) }))
    .sort((a, b) => b.remainder - a.remainder || a.place - b.place);
  for (const { place } of byRemainder.slice(0, left)) shares[place] = (shares[place] as number) + 1;
  return shares;
}

function tokensIn({
  prompt_tokens: prompt,
  total_tokens: total,
  completion_tokens: completion,
}: Usage): TokenUsage | null {
  const promptTokens = typeof prompt === 'number' ? prompt : total;
  if (typeof promptTokens !== 'number') return null;
  return { promptTokens, completionTokens: typeof completion === 'number' ? completion : 0 };
}

/** Undefined for what is not JSON, as for what is not there. */
function valueAt(json: Buffer, span: Span | undefined): unknown {
  if (span === undefined) return undefined;
  try {
    return JSON.parse(json.toString('utf8', span.start, span.end)) as unknown;
  } catch {
    return undefined;
  }
}
