/**
 * Requests that engines answer input by input (embeddings, classification, rerank, score), so that several can be sent as one: what
 * one brings, what two must have in common, and the body of all together. What is not sure to be answered the same in company as
 * alone has no part here.
 */
import { BATCHING_ENDPOINTS, type BatchingEndpoint } from '../../../contract/fleet.ts';
import { isRecord } from '../../json/parse-object.ts';
import type { Envelope } from '../envelope.ts';

export interface RequestPart {
  /** Equal for requests that may be sent as one. */
  kind: string;
  /** The field that holds its inputs, as lists; all of them have the same length. */
  inputs: Readonly<Record<string, readonly unknown[]>>;
  /** Length of those lists, 1 at least. */
  units: number;
  /** Its share of the tokens that a call uses, against those of others: an estimate, above 0. */
  weight: number;
  /** Of a rerank: it wants so many of the best; null: all. */
  top: number | null;
}

/** How the inputs of an end point are found. Null: such a request goes alone. */
const READERS: Readonly<Record<BatchingEndpoint, (fields: Envelope['fields']) => Inputs | null>> = {
  embeddings: ({ input, messages }) => (messages === undefined ? textsOrIds('input', input) : null),
  classify: ({ input, messages }) => (messages === undefined ? textsOrIds('input', input) : null),
  rerank: ({ documents, query }) => (typeof query === 'string' ? documentsOf(documents) : null),
  score: ({ text_1: left, text_2: right }) => pairs(left, right),
};

interface Inputs {
  /** What sort they are: an engine takes lists of one sort. */
  sort: string;
  lists: Readonly<Record<string, readonly unknown[]>>;
}

/** Null: it can only be sent by itself. */
export function requestPart({ endpoint, fields }: Pick<Envelope, 'endpoint' | 'fields'>): RequestPart | null {
  if (!isMergeable(endpoint)) return null;
  const inputs = READERS[endpoint](fields);
  if (inputs === null) return null;
  const { top_n: top = null } = fields;
  const isTop = top === null || (typeof top === 'number' && Number.isInteger(top) && top >= 0);
  if (endpoint === 'rerank' && !isTop) return null;
  const { sort, lists } = inputs;
  const units = Math.max(0, ...Object.values(lists).map(({ length }) => length));
  if (units === 0) return null;
  const common = commonFields(endpoint, fields, lists);
  if (common === null) return null;
  return {
    kind: JSON.stringify([endpoint, sort, common]),
    inputs: lists,
    units,
    weight: Object.values(lists).reduce((sum, list) => sum + weightOf(list), 0),
    // 0 is vLLM's way to say all.
    top: endpoint === 'rerank' && typeof top === 'number' && top > 0 ? top : null,
  };
}

/** The body of one call for all of `parts`, which are of one kind. `fields`: of any of them. */
export function mergedBody(fields: Envelope['fields'], parts: readonly RequestPart[]): Buffer {
  // Each client wants other numbers of the best; the engine is asked for all.
  const { top_n: _top, ...body } = fields;
  const names = Object.keys(parts[0]?.inputs ?? {});
  const lists = names.map((name) => [name, parts.flatMap(({ inputs }) => inputs[name] ?? [])] as const);
  return Buffer.from(JSON.stringify({ ...body, ...Object.fromEntries(lists) }));
}

function isMergeable(endpoint: Envelope['endpoint']): endpoint is BatchingEndpoint {
  return (BATCHING_ENDPOINTS as readonly string[]).includes(endpoint);
}

/** All but the inputs, in no order of names; null: nothing that two requests are likely to have in common. */
function commonFields(
  endpoint: BatchingEndpoint,
  fields: Envelope['fields'],
  lists: Inputs['lists'],
): [string, unknown][] | null {
  const common = Object.entries(fields)
    .filter(([name]) => !Object.hasOwn(lists, name) && !(endpoint === 'rerank' && name === 'top_n'))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return common.every(([, value]) => isFlat(value)) ? common : null;
}

/** Parameters of these end points are; what is nested could be nested too deeply to be written again. */
function isFlat(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return isExact(value);
  return Object.values(value).every(
    (inner) => (typeof inner !== 'object' || inner === null) && isExact(inner),
  );
}

/** Written again, it says what it said. */
function isExact(value: unknown): boolean {
  return typeof value !== 'number' || (Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER);
}

function textsOrIds(name: string, value: unknown): Inputs | null {
  if (!Array.isArray(value) || value.length === 0) return texts(name, value);
  if (isTokenIds(value)) return { sort: 'ids', lists: { [name]: [value] } };
  if (value.every(isTokenIds)) return { sort: 'ids', lists: { [name]: value } };
  return texts(name, value);
}

function texts(name: string, value: unknown): Inputs | null {
  const list = typeof value === 'string' ? [value] : value;
  return isTexts(list) ? { sort: 'text', lists: { [name]: list } } : null;
}

function documentsOf(value: unknown): Inputs | null {
  if (isTexts(value)) return { sort: 'text', lists: { documents: value } };
  const isObjects = Array.isArray(value) && value.every(isTextObject);
  return isObjects ? { sort: 'object', lists: { documents: value } } : null;
}

/** One text against many is one kind with the same text against others; anything else is pairs. */
function pairs(left: unknown, right: unknown): Inputs | null {
  const lefts = texts('text_1', left)?.lists.text_1;
  const rights = texts('text_2', right)?.lists.text_2;
  if (lefts === undefined || rights === undefined) return null;
  if (lefts.length === rights.length) return { sort: 'pairs', lists: { text_1: lefts, text_2: rights } };
  return lefts.length === 1 ? { sort: 'one-to-many', lists: { text_2: rights } } : null;
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.length > 0 && value.every((text) => typeof text === 'string');
}

function isTokenIds(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every(Number.isSafeInteger);
}

function isTextObject(value: unknown): boolean {
  return isRecord(value) && typeof value.text === 'string' && isFlat(value);
}

/** UTF-8 bytes of a token, roughly, in any script. */
const BYTES_PER_TOKEN = 4;

function weightOf(list: readonly unknown[]): number {
  return list.reduce<number>((sum, input) => sum + tokensOf(input), 0);
}

function tokensOf(input: unknown): number {
  if (Array.isArray(input)) return input.length;
  const text = isRecord(input) ? String(input.text) : String(input);
  return Math.max(1, Buffer.byteLength(text) / BYTES_PER_TOKEN);
}
