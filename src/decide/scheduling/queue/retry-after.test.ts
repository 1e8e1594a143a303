/**
 * Is Retry-After honest? A queue under more load than it can take, whose refused clients do what they are told: nearly all of
 * them must be admitted when they come back. Seeded; clients add up to 10 % of jitter, as SDKs do.
 */
import { expect, it } from 'vitest';
import { createRandom } from '../../../base/random.ts';
import { FairQueue, type QueueEntry } from './fair-queue.ts';

interface Scene {
  seed: number;
  limit: number;
  drainPerS: number;
  /** Arrivals against what drains, while the overload lasts; one half after it. */
  overload: number;
  overloadS: number;
  tenants: number;
}

interface Client extends QueueEntry {
  /** Refused before, and back as told. */
  back: boolean;
}

const TICK_MS = 10;
const QUEUE_TIMEOUT_MS = 60_000;

function obeyed({ seed, limit, drainPerS, overload, overloadS, tenants }: Scene): {
  back: number;
  admitted: number;
} {
  const chance = createRandom(seed);
  const queue = new FairQueue<Client>();
  const returning = new Map<number, Client[]>();
  const result = { back: 0, admitted: 0 };
  let clients = 0;
  let drainDebt = 0;
  let arrivalDebt = 0;
  const arrive = (client: Client, nowMs: number) => {
    client.deadlineMs = nowMs + QUEUE_TIMEOUT_MS;
    const offer = queue.offer(client, limit, nowMs);
    if (client.back) {
      result.back++;
      if (offer.kind === 'queued') result.admitted++;
    }
    if (offer.kind === 'queued' || client.back) return;
    client.back = true;
    const waitMs = offer.retryAfterS * 1_000 * (1 + 0.1 * chance.next());
    const tick = Math.ceil((nowMs + waitMs) / TICK_MS);
    returning.set(tick, [...(returning.get(tick) ?? []), client]);
  };
  for (let tick = 0; tick * TICK_MS < (overloadS + 130) * 1_000; tick++) {
    const nowMs = tick * TICK_MS;
    for (const client of returning.get(tick) ?? []) arrive(client, nowMs);
    arrivalDebt +=
      (nowMs < overloadS * 1_000 ? overload : 0.5) * drainPerS * (TICK_MS / 1_000) * 2 * chance.next();
    for (; arrivalDebt >= 1; arrivalDebt--) {
      arrive(
        {
          tenant: `t${chance.int(tenants)}`,
          weight: 1,
          tokens: 100,
          priority: 1,
          urgent: false,
          ticket: `${clients++}`,
          deadlineMs: 0,
          heapAt: -1,
          back: false,
        },
        nowMs,
      );
    }
    drainDebt = Math.min(drainDebt + drainPerS * (TICK_MS / 1_000) * 2 * chance.next(), 50);
    for (; drainDebt >= 1; drainDebt--) queue.take(() => true, nowMs);
    while (queue.expired(nowMs) !== undefined);
  }
  return result;
}

it.each([
  { name: 'a burst on one tenant', limit: 100, drainPerS: 20, overload: 3, overloadS: 20, tenants: 1 },
  { name: 'many tenants', limit: 100, drainPerS: 20, overload: 3, overloadS: 20, tenants: 50 },
  {
    name: 'a queue that is short for its pace',
    limit: 50,
    drainPerS: 200,
    overload: 2,
    overloadS: 15,
    tenants: 8,
  },
  { name: 'a long queue', limit: 1_000, drainPerS: 60, overload: 2.5, overloadS: 40, tenants: 8 },
  { name: 'slow engines', limit: 40, drainPerS: 2, overload: 4, overloadS: 20, tenants: 4 },
  {
    name: 'a little more than fits, for long',
    limit: 200,
    drainPerS: 50,
    overload: 1.2,
    overloadS: 120,
    tenants: 8,
  },
])('admits at least 95 % of those who come back as told: $name', ({ name: _name, ...scene }) => {
  for (let seed = 1; seed <= 20; seed++) {
    const { back, admitted } = obeyed({ ...scene, seed });
    expect(back).toBeGreaterThan(20);
    expect(admitted / back, `seed ${seed}: ${admitted} of ${back}`).toBeGreaterThanOrEqual(0.95);
  }
});
