import { describe, expect, it } from 'vitest';
import { createSharedMemory } from './shared-memory.ts';
import { SharedState } from './shared-state.ts';

describe('SharedState', () => {
  it('keeps a window exactly, over all workers', () => {
    const memory = createSharedMemory();
    const workers = [new SharedState(memory, 0), new SharedState(memory, 1)];
    const taken = Array.from({ length: 10 }, (_, turn) => workers[turn % 2]?.tryAcquire(3, 4));
    expect(taken.filter(Boolean)).toHaveLength(4);
    workers[0]?.release(3);
    expect(workers[1]?.tryAcquire(3, 4)).toBe(true);
    expect(workers[0]?.inFlight(3)).toBe(4);
  });

  it('takes back all that a dead worker held, and nothing else', () => {
    const memory = createSharedMemory();
    const alive = new SharedState(memory, 0);
    const dead = new SharedState(memory, 1);
    alive.tryAcquire(0, 9);
    dead.tryAcquire(0, 9);
    dead.tryAcquire(5, 9);
    dead.tryEnqueue(2, 9);
    dead.addRequests(1);
    SharedState.reclaim(memory, 1);
    expect([alive.inFlight(0), alive.inFlight(5), alive.queued(2), alive.requests()]).toEqual([1, 0, 0, 0]);
    SharedState.reclaim(memory, 1);
    expect(alive.inFlight(0)).toBe(1);
  });

  it('bounds the queue over all workers', () => {
    const memory = createSharedMemory();
    const workers = [new SharedState(memory, 0), new SharedState(memory, 1)];
    const queued = Array.from({ length: 6 }, (_, turn) => workers[turn % 2]?.tryEnqueue(1, 3));
    expect(queued.filter(Boolean)).toHaveLength(3);
    expect(workers[0]?.queued(1)).toBe(3);
  });

  it('wakes those that wait', async () => {
    const memory = createSharedMemory();
    const woken = new SharedState(memory, 0).nextWake();
    new SharedState(memory, 1).wake();
    expect(await woken).toBe('ok');
  });

  it('knows until when a replica is ejected', () => {
    const state = new SharedState(createSharedMemory(), 0);
    state.eject(7, 1_000);
    expect([state.isEjected(7, 999), state.isEjected(7, 1_000), state.isEjected(8, 0)]).toEqual([
      true,
      false,
      false,
    ]);
  });
});
