import { describe, expect, it, vi } from 'vitest';
import { SUSPECTS_MAX, type SuspectRecord } from '../../contract/suspects.ts';
import { SuspectList } from './suspect-list.ts';

const record = (fingerprint: string, more: Partial<SuspectRecord> = {}): SuspectRecord => ({
  ...{ fingerprint, model: 'm', endpoint: 'chat', status: 'convicted', crashes: [], requestId: 'r' },
  ...{ changedAtMs: 500, expiresAtMs: 9_000, ...more },
});

function setUp(records: SuspectRecord[] = []) {
  const clock = { wallMs: () => 1_000, monotonicMs: () => 0, machineMs: () => 0, sleep: async () => {} };
  const keep = vi.fn<(kept: readonly SuspectRecord[]) => void>();
  const tell = vi.fn();
  const log = vi.fn();
  return { list: new SuspectList({ clock, records, keep, tell, log }), keep, tell, log };
}

describe('the list of the node', () => {
  it('takes what changed last, keeps it, and tells the other gateways alone', async () => {
    const { list, keep, tell } = setUp([record('aaaaaaaa', { changedAtMs: 600 })]);
    list.take([record('aaaaaaaa', { status: 'held' }), record('bbbbbbbb')], 'gw-1');
    expect(tell.mock.calls).toEqual([[[record('bbbbbbbb')], 'gw-1']]);
    await vi.waitFor(() => expect(keep).toHaveBeenCalled());
    expect(keep.mock.lastCall?.[0]).toHaveLength(2);
    list.take([record('bbbbbbbb')], 'gw-1');
    expect(tell).toHaveBeenCalledTimes(1);
  });

  it('lets a request in again by the beginning of its fingerprint, and remembers that it did', () => {
    const { list, tell } = setUp([record('abcdef01'), record('abcdef99'), record('0123456789')]);
    expect(() => list.find('abcdef')).toThrow('2 fingerprints begin so');
    expect(() => list.find('0123')).toThrow('too short');
    expect(() => list.find('ffffffff')).toThrow('no suspect request');
    expect(list.release('012345')).toMatchObject({ status: 'released', changedAtMs: 1_000 });
    expect(tell.mock.lastCall?.[1]).toBeNull();
    expect(list.list().map(({ fingerprint }) => fingerprint)).toEqual(['abcdef01', 'abcdef99']);
    // A gateway that was away still believes otherwise.
    list.take([record('0123456789')], 'gw-2');
    expect(list.list()).toHaveLength(2);
  });

  it('goes on in memory when the disk fails', async () => {
    const { list, keep, log } = setUp();
    keep.mockImplementation(() => {
      throw new Error('ENOSPC');
    });
    list.take([record('aaaaaaaa')], 'gw-1');
    expect(list.list()).toHaveLength(1);
    await vi.waitFor(() => expect(log).toHaveBeenCalledOnce());
  });

  it('forgets what is over, and is bounded', () => {
    const { list } = setUp([record('aaaaaaaa', { status: 'suspected', expiresAtMs: 900 })]);
    expect(list.all()).toEqual([]);
    list.take(
      Array.from({ length: SUSPECTS_MAX + 5 }, (_, index) => record(`fingerprint-${index}`)),
      'gw-1',
    );
    expect(list.all()).toHaveLength(SUSPECTS_MAX);
  });
});
