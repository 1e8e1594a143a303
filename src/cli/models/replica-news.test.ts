import { expect, it } from 'vitest';
import type { ReplicaStatus } from '../../contract/admin-api.ts';
import { ReplicaNews } from './replica-news.ts';

it('says each change of a state once, and breaks a long silence with how it stands', () => {
  const said: string[] = [];
  let nowMs = 0;
  const news = new ReplicaNews(
    (text) => said.push(text),
    () => nowMs,
  );
  const replica = (state: string, reason: string) =>
    [{ id: 'd/0', state, reason }] as unknown as ReplicaStatus[];
  news.tell(replica('starting', 'port:\n refused'), '0 of 1 ready');
  nowMs = 4_000;
  news.tell(replica('starting', 'port: refused'), '0 of 1 ready');
  expect(said.splice(0)).toEqual(['  replica d/0 starting: port: refused']);
  nowMs = 5_000;
  news.tell(replica('starting', 'health: refused'), '0 of 1 ready');
  news.tell(replica('starting', 'health: refused'), '0 of 1 ready');
  expect(said.splice(0)).toEqual(['  after 5 s: 0 of 1 ready; d/0 is starting: health: refused']);
  news.tell(replica('ready', 'all probes passed'), '');
  expect(said).toEqual(['  replica d/0 ready: all probes passed']);
});
