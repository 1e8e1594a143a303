/**
 * What of a snapshot is limited (keys, keys on single models, models) and where in shared memory each has its cells. What is
 * limited keeps its slot as long as it is known; the main thread assigns them, workers look them up.
 */
import type { GatewaySnapshot, KeySettings } from '../../../contract/gateway-snapshot.ts';
import type { LimitScope, LimitSettings } from '../../../contract/limits.ts';
import type { BoundLimit } from '../../../decide/scheduling/limits/request-limits.ts';

export interface Limited {
  /** Also how messages name it. */
  id: string;
  scope: LimitScope;
  settings: LimitSettings;
}

const WINDOW_MS = 60_000;
/** More requests than a gateway can have under way. */
const UNBOUNDED = 2_000_000_000;

export function limitedKey({ name, limits }: KeySettings): Limited | null {
  if (limits === undefined) return null;
  return { id: `key ${JSON.stringify(name)}`, scope: 'key', settings: limits };
}

/** `model`: as the configuration names it. */
export function limitedKeyModel(key: string, model: string, settings: LimitSettings): Limited {
  const id = `key ${JSON.stringify(key)} on model ${JSON.stringify(model)}`;
  return { id, scope: 'key-model', settings };
}

export function limitedModel(model: string, settings: LimitSettings): Limited {
  return { id: `model ${JSON.stringify(model)}`, scope: 'model', settings };
}

/** All of them, each once. */
export function allLimited({ settings, fleet }: GatewaySnapshot): Limited[] {
  const found = new Map<string, Limited>();
  const add = (limited: Limited | null) => {
    if (limited !== null) found.set(limited.id, limited);
  };
  for (const key of settings.keys) {
    add(limitedKey(key));
    for (const [model, limits] of Object.entries(key.modelLimits ?? {}))
      add(limitedKeyModel(key.name, model, limits));
  }
  for (const { model, limits } of fleet.pools) if (limits !== undefined) add(limitedModel(model, limits));
  return [...found.values()];
}

/**
 * The limits of one limited thing. The first of its rate cells is for requests, the second for tokens; the first of its counts
 * is for what is under way and limited, the second for all that holds anything of it, whether that is limited or not: its
 * slot is given to nobody else before.
 */
export function boundLimits({ id, scope, settings }: Limited, slot: number): BoundLimit[] {
  const { requestsPerMinute, tokensPerMinute, parallelRequests } = settings;
  const bound = (kind: BoundLimit['kind'], cell: number, amount: number): BoundLimit => ({
    kind,
    scope,
    subject: id,
    cell,
    rate: { amount, windowMs: WINDOW_MS },
  });
  return [
    ...(requestsPerMinute === undefined ? [] : [bound('requests', 2 * slot, requestsPerMinute)]),
    ...(tokensPerMinute === undefined ? [] : [bound('tokens', 2 * slot + 1, tokensPerMinute)]),
    ...(parallelRequests === undefined ? [] : [bound('concurrency', 2 * slot, parallelRequests)]),
    bound('concurrency', holdsCell(slot), UNBOUNDED),
  ];
}

/** Of the concurrency cells: how many requests hold something of this slot. */
export function holdsCell(slot: number): number {
  return 2 * slot + 1;
}

/** Counts who holds anything, and limits nothing. */
export function isBookkeeping({ kind, rate }: BoundLimit): boolean {
  return kind === 'concurrency' && rate.amount === UNBOUNDED;
}

/** Work that may wait is charged its tokens, and holds; how many requests it makes, and at once, is nobody's concern. */
export function isForFiller(limit: BoundLimit): boolean {
  return limit.kind === 'tokens' || isBookkeeping(limit);
}
