import { describe, expect, it } from 'vitest';
import { FakeExchange } from '../../../tests/support/fake-exchange.ts';
import { demoSnapshot, type PlaneParts, planeUnderTest } from '../../../tests/support/plane-under-test.ts';
import { systemClock } from '../../base/clock.ts';
import type { PoolView } from '../../contract/fleet.ts';
import { FleetTable, type ReplicaEntry, type SlottedSnapshot } from './fleet-table.ts';
import type { SharedState } from './shared-state.ts';

const snapshotOf = (generation: number, seq = generation) =>
  demoSnapshot(generation, { seq, settings: { ejectionMs: 60_000 } });

function entryOf(slotted: SlottedSnapshot): ReplicaEntry {
  return new FleetTable(slotted.snapshot.fleet, slotted).pools[0]?.replicas[0] as ReplicaEntry;
}

function planeOn(snapshot: SlottedSnapshot, send: PlaneParts['send'] = () => {}) {
  const { plane, shared, logged } = planeUnderTest({ snapshot, send });
  const ask = async (body: object) => {
    const exchange = new FakeExchange('POST', '/v1/chat/completions', {
      model: 'demo',
      messages: [],
      ...body,
    });
    plane.handle(exchange);
    await exchange.answered;
    // The request is settled in the turn after the answer.
    await new Promise(setImmediate);
    return exchange;
  };
  return { plane, shared, ask, logged };
}

const isEjected = (shared: SharedState) => shared.isEjected(0, systemClock.wallMs());

/** In flight by replica, and requests. */
const held = (shared: SharedState) => [shared.inFlight(0), shared.inFlight(1), shared.requests()];

describe('ejection', () => {
  it('holds for the generation that failed, and not for the one that came after it', () => {
    const first = snapshotOf(1);
    const { plane, shared } = planeOn(first);
    plane.ejectBriefly(entryOf(first));
    expect(isEjected(shared)).toBe(true);
    plane.update(snapshotOf(2));
    expect(isEjected(shared)).toBe(false);
    // Streams of the dead process break after its successor is up, too.
    plane.ejectBriefly(entryOf(first));
    expect(isEjected(shared)).toBe(false);
    plane.ejectBriefly(entryOf(snapshotOf(2)));
    expect(isEjected(shared)).toBe(true);
  });

  it('outlasts a snapshot that says nothing new about the replica', () => {
    const first = snapshotOf(1);
    const { plane, shared } = planeOn(first);
    plane.ejectBriefly(entryOf(first));
    plane.update(snapshotOf(1, 2));
    expect(isEjected(shared)).toBe(true);
  });
});

describe('a place on a replica', () => {
  it('is given back when the attempt throws, and the request ends as a bug of ours', async () => {
    const { ask, shared, logged } = planeOn(snapshotOf(1), () => {
      throw new TypeError('scripted');
    });
    const { status, json } = await ask({});
    expect([status, json.error.code]).toEqual([500, 'internal']);
    expect(logged.join('')).toContain('scripted');
    expect(held(shared)).toEqual([0, 0, 0]);
  });

  it('is given back when the body can not be made for the engine', async () => {
    const slotted = snapshotOf(1);
    const [pool] = slotted.snapshot.fleet.pools as [PoolView];
    // No JSON can be made of it, which stands for any bug on the way to the attempt.
    const servedModel = 1n as unknown as string;
    pool.replicas = pool.replicas.map((view) => ({ ...view, servedModel }));
    const { ask, shared } = planeOn(slotted);
    expect((await ask({})).status).toBe(500);
    expect(held(shared)).toEqual([0, 0, 0]);
  });

  it('is given back when its continuation throws', async () => {
    let calls = 0;
    const { ask, shared } = planeOn(snapshotOf(1), (_request, handler) => {
      if (calls++ > 0) throw new TypeError('scripted');
      setImmediate(() => {
        handler.onHead(200, { 'content-type': 'text/event-stream' });
        handler.onData(
          Buffer.from(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: 'Hi' } }] })}\n\n`),
        );
        handler.onError('connection-lost', new Error('cut'));
      });
    });
    const { text } = await ask({ stream: true });
    expect(calls).toBe(2);
    expect(text).toContain('"error"');
    expect(held(shared)).toEqual([0, 0, 0]);
  });
});
