import { expect, it, vi } from 'vitest';
import { systemClock } from '../../../base/clock.ts';
import type { Fact } from '../../../contract/facts.ts';
import type { IncidentReport } from '../../../contract/incident-report.ts';
import type { Incident } from '../../../contract/incidents.ts';
import { IncidentBook } from './incident-book.ts';

const T = 1_800_000_000_000;

function setUp(kept: Incident[] = [], nowMs = T) {
  const disk = new Map<string, { incident: Incident; report: string }>();
  let fails = false;
  const store = {
    read: () => kept,
    write: vi.fn(async (incident: Incident, report: string) => {
      if (fails) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
      disk.set(incident.id, { incident, report });
    }),
    remove: vi.fn(async (id: string) => void disk.delete(id)),
  };
  const fail = (value: boolean) => {
    fails = value;
  };
  const closed: IncidentReport[] = [];
  const log = vi.fn();
  const clock = { ...systemClock, wallMs: () => nowMs, sleep: async () => {} };
  const book = new IncidentBook({ clock, store, onClosed: (report) => closed.push(report), log });
  return { book, disk, store, closed, log, fail };
}

function opened(incident: string, replica = 'm/0', atMs = T): Fact {
  const diagnosis = { class: 'hung', confidence: 0.9, evidence: [], ruledOut: [] };
  const about = { generation: 1, summary: 'it hangs', diagnosis, lastGoodAtMs: null, isolated: true };
  return { type: 'incidentOpened', atMs, incident, replica, ...about };
}

const closing = (incident: string, replica = 'm/0'): Fact => ({
  ...{ type: 'incidentClosed', atMs: T + 1_000, incident, replica },
  ...{ outcome: 'recovered', text: 'ready again' },
});

it('keeps each incident as it is, with its report, and says once that it is over', async () => {
  const { book, disk, closed } = setUp();
  book.record(opened('inc_aaaaaaaaa1'));
  expect(book.openCount()).toBe(1);
  expect(book.isOpen('inc_aaaaaaaaa1')).toBe(true);
  book.record(closing('inc_aaaaaaaaa1'));
  book.record(closing('inc_aaaaaaaaa1'));
  await book.close();
  expect(disk.get('inc_aaaaaaaaa1')?.incident.state).toBe('recovered');
  expect(disk.get('inc_aaaaaaaaa1')?.report).toContain('# Incident inc_aaaaaaaaa1: hung at m/0, recovered');
  expect(closed.map(({ times }) => times.recoverMs)).toEqual([1_000]);
  expect(book.openCount()).toBe(0);
});

it('goes on from what a former node process has kept', async () => {
  const first = setUp();
  first.book.record(opened('inc_aaaaaaaaa1'));
  await first.book.close();
  const kept = [...first.disk.values()].map(({ incident }) => incident);
  const second = setUp(kept, T + 500);
  expect(second.book.report('inc_aaaaaaaaa1').state).toBe('open');
  second.book.record(closing('inc_aaaaaaaaa1'));
  expect(second.book.list()).toMatchObject([{ id: 'inc_aaaaaaaaa1', state: 'recovered' }]);
  expect(second.closed).toHaveLength(1);
});

it('serves on while the disk takes nothing, says so once, and writes all when it does again', async () => {
  const { book, disk, log, fail } = setUp();
  fail(true);
  book.record(opened('inc_aaaaaaaaa1', 'm/0'));
  await book.close();
  book.record(opened('inc_aaaaaaaaa2', 'm/1'));
  await book.close();
  expect(book.list()).toHaveLength(2);
  expect(log).toHaveBeenCalledTimes(1);
  fail(false);
  book.record(closing('inc_aaaaaaaaa2', 'm/1'));
  await book.close();
  expect([...disk.keys()].sort()).toEqual(['inc_aaaaaaaaa1', 'inc_aaaaaaaaa2']);
});

it('deletes on disk what it does not keep in memory', async () => {
  const { book, store } = setUp();
  for (let index = 100; index < 320; index++) {
    book.record(opened(`inc_aaaaaa${index}`, `m/${index}`));
    book.record(closing(`inc_aaaaaa${index}`, `m/${index}`));
  }
  await book.close();
  expect(book.list()).toHaveLength(200);
  expect(book.list()[0]?.id).toBe('inc_aaaaaa319');
  expect(store.remove).toHaveBeenCalledTimes(20);
});

it('finds an incident by the beginning of its id, and says what would be right', () => {
  const { book } = setUp();
  book.record(opened('inc_aaaaaaaaa1', 'm/0'));
  book.record(opened('inc_aaaaaaaab2', 'm/1'));
  expect(book.report('inc_aaaaaaaab').id).toBe('inc_aaaaaaaab2');
  expect(() => book.report('inc_aaaaaaa')).toThrow('2 ids begin so');
  expect(() => book.report('inc_a')).toThrow(/2 ids begin so; would be right: a whole id/);
  expect(() => book.report('inc_zz')).toThrow('`autoglm incidents` lists them');
  expect(() => book.report('')).toThrow('there is no incident ""');
});

it('keeps no key that stood in a line of a log', async () => {
  const { book, disk } = setUp();
  const fact = opened('inc_aaaaaaaaa1') as Extract<Fact, { type: 'incidentOpened' }>;
  const evidence = [{ signal: 'log', text: 'ValueError: api_key=canary-77 is refused' }];
  book.record({
    ...fact,
    summary: 'it died (api_key=canary-77 is refused)',
    diagnosis: { ...fact.diagnosis, evidence },
  });
  await book.close();
  expect(JSON.stringify([...disk.values()])).not.toContain('canary');
  expect(book.report('inc_aaaaaaaaa1').diagnosis.evidence[0]?.text).toContain('ValueError: api_key=[secret]');
});
