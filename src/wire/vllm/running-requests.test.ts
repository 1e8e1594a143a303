import { expect, it } from 'vitest';
import { RunningRequests } from './running-requests.ts';

function start(requests: RunningRequests, id: string) {
  const { promise, resolve } = Promise.withResolvers<void>();
  let aborted = false;
  const run = requests.run(id, (abort) => {
    abort.signal.addEventListener('abort', () => {
      aborted = true;
      resolve();
    });
    return promise;
  });
  return { run, end: resolve, isAborted: () => aborted };
}

it('counts requests of one id apart, and is idle when the last has ended', async () => {
  const requests = new RunningRequests();
  const all = ['a', 'a', 'b', 'a'].map((id) => start(requests, id));
  let idle = false;
  const whenIdle = requests.untilIdle().then(() => {
    idle = true;
  });
  for (const [index, { end, run }] of all.entries()) {
    expect(requests.size).toBe(all.length - index);
    expect(idle).toBe(false);
    end();
    await run;
  }
  await whenIdle;
  expect(requests.size).toBe(0);
  await requests.untilIdle();
});

it('ends those that are meant, and says how many they were', async () => {
  const requests = new RunningRequests();
  const [first, second, other] = ['a', 'a', 'b'].map((id) => start(requests, id));
  expect(requests.abort(['nobody'])).toBe(0);
  expect(requests.abort(['a'])).toBe(2);
  expect([first?.isAborted(), second?.isAborted(), other?.isAborted()]).toEqual([true, true, false]);
  await Promise.all([first?.run, second?.run]);
  expect(requests.abort('all')).toBe(1);
  await other?.run;
  expect(requests.size).toBe(0);
});
