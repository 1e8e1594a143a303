/** Requests that are sent together, in a whole request loop with pretend engines and a pretend Redis. */
import { expect, it, vi } from 'vitest';
import { FakeExchange } from '../../../../tests/support/fake-exchange.ts';
import { poolOf, TEST_SETTINGS } from '../../../../tests/support/gateway-under-test.ts';
import { planeUnderTest } from '../../../../tests/support/plane-under-test.ts';
import type { PoolView } from '../../../contract/fleet.ts';
import type { SharedCharge, SharedLimits, SharedTake } from '../../../contract/ports/shared-limits.ts';
import { SlotAssigner } from '../fleet-table.ts';
import { createSharedMemory } from '../shared-memory.ts';
import { SharedState } from '../shared-state.ts';
import { slotTables } from '../slot-tables.ts';

/** Answers when the test says so. */
class SlowLimits implements SharedLimits {
  readonly gateways = 1;
  readonly taken: (() => void)[] = [];
  /** Units that were given back, by what each call was used for. */
  readonly given: [units: number, used: number][] = [];

  take(charges: readonly SharedCharge[]): Promise<SharedTake> {
    return new Promise((resolve) => {
      this.taken.push(() =>
        resolve({ refused: null, readings: charges.map(() => ({ remaining: 9, resetMs: 1 })) }),
      );
    });
  }

  adjust(charges: Parameters<SharedLimits['adjust']>[0]): void {
    for (const { units, used } of charges) this.given.push([units, used]);
  }

  close(): void {}
}

const memory = createSharedMemory();

/** `vectors` can not be reached; `spare` takes one request at once, and any number of them a minute. */
function setUp() {
  const vectors: PoolView = {
    ...poolOf('vectors', [{ url: 'http://vectors' }]),
    batching: { unitsMax: 8, waitMaxMs: 60_000, endpoints: ['embeddings'] },
    fallbacks: ['spare'],
  };
  const spare: PoolView = {
    ...poolOf('spare', [{ url: 'http://spare' }]),
    limits: { parallelRequests: 1, requestsPerMinute: 1_000 },
  };
  const slotted = new SlotAssigner(slotTables(memory, new SharedState(memory, 0))).assign({
    version: { epoch: 1, seq: 1 },
    settings: { ...TEST_SETTINGS, retryAttemptsMax: 0 },
    fleet: { pools: [vectors, spare] },
  });
  const sharedLimits = new SlowLimits();
  const bodies: string[] = [];
  const { plane } = planeUnderTest({
    snapshot: slotted,
    sharedLimits,
    send: ({ origin, body }, handler) =>
      setImmediate(() => {
        if (origin === 'http://vectors') return handler.onError('connect-refused', new Error('refused'));
        bodies.push(String(body));
        handler.onHead(200, { 'content-type': 'application/json' });
        handler.onData(Buffer.from(JSON.stringify({ object: 'list', data: [{ index: 0, embedding: [1] }] })));
        handler.onEnd();
      }),
  });
  const ask = (input: string) => {
    const exchange = new FakeExchange('POST', '/v1/embeddings', { model: 'vectors', input });
    plane.handle(exchange);
    return exchange;
  };
  return { ask, sharedLimits, bodies };
}

it('gives back what it took of the limits of a fallback for a client that left meanwhile', async () => {
  const { ask, sharedLimits, bodies } = setUp();
  const [leaves, stays] = [ask('leaves'), ask('stays')];
  await vi.waitFor(() => expect(sharedLimits.taken).toHaveLength(1));
  leaves.leave();
  sharedLimits.taken[0]!();
  // The only place of the fallback is free again, and nothing counts as used.
  await vi.waitFor(() => expect(sharedLimits.taken).toHaveLength(2));
  expect(sharedLimits.given).toEqual([[1, 0]]);
  sharedLimits.taken[1]!();
  await stays.answered;
  expect(stays.status).toBe(200);
  expect(bodies).toHaveLength(1);
  expect(bodies[0]).toContain('stays');
});
