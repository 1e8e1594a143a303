/** What the `ResponseStore` port promises, asked of every database that can hold it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  CONVERSATION_BYTES_MAX,
  CONVERSATION_TURNS_MAX,
  type ResponseStore,
  type StoredResponse,
} from '../../src/contract/ports/response-store.ts';
import { STORE_BACKENDS, type StoresUnderTest } from '../support/stores-under-test.ts';

const NOW_MS = 1_800_000_000_000;

function stored(id: string, change: Partial<StoredResponse> = {}): StoredResponse {
  return {
    id,
    owner: 'ada',
    status: 'completed',
    previousId: null,
    createdAtMs: NOW_MS,
    expiresAtMs: NOW_MS + 1_000,
    inputJson: `["in of ${id}"]`,
    responseJson: `{"id":"${id}","text":"é🙂\\u0000"}`,
    eventsKept: false,
    aliveAtMs: null,
    ...change,
  };
}

const running = (id: string, change: Partial<StoredResponse> = {}) =>
  stored(id, { status: 'in_progress', aliveAtMs: NOW_MS, ...change });

describe.each(STORE_BACKENDS)('responses on $name', ({ create }) => {
  let under: StoresUnderTest;
  let one: ResponseStore;
  let other: ResponseStore;
  beforeEach(() => {
    under = create();
    one = under.open().responses;
    other = under.open().responses;
  });
  afterEach(() => under.dispose());

  const found = (id: string, owner = 'ada', nowMs = NOW_MS) => other.find({ id, owner, nowMs });

  it('gives back to one process what another wrote, to the character', async () => {
    await one.create(stored('resp_a', { previousId: 'gone', eventsKept: true }));
    expect(await found('resp_a')).toEqual(stored('resp_a', { previousId: 'gone', eventsKept: true }));
  });

  it('shows nothing to another owner, and nothing that has expired', async () => {
    await one.create(stored('resp_a'));
    expect(await found('resp_a', 'bob')).toBeNull();
    expect(await found('resp_a', '')).toBeNull();
    expect(await found('resp_a', 'ada', NOW_MS + 1_000)).toBeNull();
    expect(await one.remove({ id: 'resp_a', owner: 'bob' })).toBe(false);
    expect(await found('resp_a')).not.toBeNull();
  });

  it('does not change a response that has ended', async () => {
    await one.create(running('resp_a'));
    const end = { id: 'resp_a', status: 'cancelled', responseJson: '{}', aliveAtMs: null } as const;
    expect(await one.update(end)).toBe(true);
    expect(await other.update({ ...end, status: 'completed', responseJson: '{"late":true}' })).toBe(false);
    expect(await found('resp_a')).toMatchObject({ status: 'cancelled', responseJson: '{}', aliveAtMs: null });
    expect(await one.update({ ...end, id: 'resp_unknown' })).toBe(false);
  });

  it('removes a response with its events, once', async () => {
    await one.create(running('resp_a', { eventsKept: true }));
    await one.appendEvents('resp_a', [{ sequence: 0, data: '{}' }]);
    expect(await other.remove({ id: 'resp_a', owner: 'ada' })).toBe(true);
    expect(await one.remove({ id: 'resp_a', owner: 'ada' })).toBe(false);
    expect(await one.events({ id: 'resp_a', after: -1, limit: 10 })).toEqual([]);
    // A runner that has not heard of it yet.
    await one.appendEvents('resp_a', [{ sequence: 1, data: '{}' }]);
    expect(await one.events({ id: 'resp_a', after: -1, limit: 10 })).toEqual([]);
  });

  it('gives a conversation from its first turn to its last, and keeps it as long as its last turn', async () => {
    await one.create(stored('resp_1'));
    await one.create(stored('resp_2', { previousId: 'resp_1' }));
    await one.create(stored('resp_3', { previousId: 'resp_2', expiresAtMs: NOW_MS + 9_000 }));
    expect(await other.conversation({ id: 'resp_3', owner: 'ada', nowMs: NOW_MS + 8_000 })).toMatchObject({
      kind: 'whole',
      turns: [
        { id: 'resp_1', inputJson: '["in of resp_1"]', status: 'completed' },
        { id: 'resp_2' },
        { id: 'resp_3' },
      ],
    });
  });

  it('names the turn of a conversation that is gone, expired or of another owner', async () => {
    await one.create(stored('resp_1'));
    await one.create(stored('resp_2', { previousId: 'resp_1' }));
    await one.remove({ id: 'resp_1', owner: 'ada' });
    const read = (id: string, owner = 'ada') => one.conversation({ id, owner, nowMs: NOW_MS });
    expect(await read('resp_2')).toEqual({ kind: 'broken', missing: 'resp_1' });
    expect(await read('resp_9')).toEqual({ kind: 'broken', missing: 'resp_9' });
    expect(await read('resp_2', 'bob')).toEqual({ kind: 'broken', missing: 'resp_2' });
  });

  it('gives no conversation that is too long, by turns or by bytes', async () => {
    for (let turn = 0; turn <= CONVERSATION_TURNS_MAX + 5; turn++) {
      await one.create(stored(`resp_${turn}`, { previousId: turn === 0 ? null : `resp_${turn - 1}` }));
    }
    const read = (turn: number) => one.conversation({ id: `resp_${turn}`, owner: 'ada', nowMs: NOW_MS });
    expect(await read(CONVERSATION_TURNS_MAX - 1)).toMatchObject({ kind: 'whole' });
    expect(await read(CONVERSATION_TURNS_MAX)).toEqual({ kind: 'too-long' });
    expect(await read(CONVERSATION_TURNS_MAX + 5)).toEqual({ kind: 'too-long' });
    const half = 'x'.repeat(CONVERSATION_BYTES_MAX / 2);
    await one.create(stored('resp_big', { responseJson: half }));
    await one.create(stored('resp_bigger', { responseJson: half, previousId: 'resp_big' }));
    const readBig = (id: string) => one.conversation({ id, owner: 'ada', nowMs: NOW_MS });
    expect(await readBig('resp_big')).toMatchObject({ kind: 'whole' });
    expect(await readBig('resp_bigger')).toEqual({ kind: 'too-long' });
  });

  it('tells the runner at its next sign of life to stop what has ended or was removed elsewhere', async () => {
    for (const id of ['resp_a', 'resp_b', 'resp_c']) await one.create(running(id));
    expect(await one.heartbeat({ ids: ['resp_a', 'resp_b', 'resp_c'], nowMs: NOW_MS + 5 })).toEqual([]);
    expect((await found('resp_a'))?.aliveAtMs).toBe(NOW_MS + 5);
    await other.update({ id: 'resp_a', status: 'cancelled', responseJson: '{}', aliveAtMs: null });
    await other.remove({ id: 'resp_c', owner: 'ada' });
    expect(await one.heartbeat({ ids: ['resp_a', 'resp_b', 'resp_c'], nowMs: NOW_MS })).toEqual([
      'resp_a',
      'resp_c',
    ]);
    expect(await one.heartbeat({ ids: [], nowMs: NOW_MS })).toEqual([]);
  });

  it('keeps events in order and gives those after a number', async () => {
    await one.create(running('resp_a', { eventsKept: true }));
    const events = Array.from({ length: 30 }, (_, sequence) => ({ sequence, data: `{"n":${sequence}}` }));
    await one.appendEvents('resp_a', events.slice(0, 20));
    await one.appendEvents('resp_a', events.slice(20));
    expect(await other.events({ id: 'resp_a', after: -1, limit: 100 })).toEqual(events);
    expect(await other.events({ id: 'resp_a', after: 7, limit: 3 })).toEqual(events.slice(8, 11));
    const last = [{ sequence: 30, data: '{"last":true}' }];
    const end = { id: 'resp_a', status: 'completed', responseJson: '{}', aliveAtMs: null } as const;
    await one.update({ ...end, events: last });
    await one.update({ ...end, events: [{ sequence: 31, data: '{}' }] });
    await one.appendEvents('resp_a', [{ sequence: 32, data: '{}' }]);
    expect(await other.events({ id: 'resp_a', after: 29, limit: 10 })).toEqual(last);
  });

  it('sweeps what has expired and the oldest beyond the bytes, and leaves what runs', async () => {
    const text = 'x'.repeat(1_000);
    const small = under.open({ responsesBytesMax: 5_500 }).responses;
    await small.create(stored('resp_expired', { expiresAtMs: NOW_MS - 1 }));
    await small.create(running('resp_running', { createdAtMs: 1, responseJson: text }));
    for (let index = 0; index < 8; index++) {
      await one.create(stored(`resp_${index}`, { createdAtMs: 10 + index, responseJson: text }));
    }
    await small.sweep(NOW_MS);
    expect(await found('resp_expired', 'ada', 0)).toBeNull();
    expect(await found('resp_running')).not.toBeNull();
    expect(await found('resp_3')).toBeNull();
    expect(await found('resp_4')).not.toBeNull();
    expect(await found('resp_7')).not.toBeNull();
  });

  it('holds the limit of bytes without a sweep too', async () => {
    const small = under.open({ responsesBytesMax: 50_000 }).responses;
    for (let index = 0; index < 200; index++) {
      await small.create(stored(`resp_${index}`, { createdAtMs: index, responseJson: 'x'.repeat(1_000) }));
    }
    expect(await found('resp_100')).toBeNull();
    expect(await found('resp_199')).not.toBeNull();
  });
});
