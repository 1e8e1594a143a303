/**
 * Goal: restarting every replica of a pool, ten times over, costs clients nothing. Method: the whole system, 64 connections that are
 * kept alive and ask one small thing after another, 32 streams at a time, rolling restarts on command all the while.
 */
import { afterEach, expect, it } from 'vitest';
import { runLoad } from '../../../bench/load-client.ts';
import { errorsOf, replicaIn } from '../../support/heal.ts';
import { type SystemUnderTest, simulatorPool, startSystem } from '../../support/system-under-test.ts';

let system: SystemUnderTest;
afterEach(async () => {
  await system?.stop();
});

const ROUNDS = 10;

it('fails none of the requests of 64 connections and none of 32 streams in ten rolling restarts', async () => {
  system = await startSystem({ models: [simulatorPool('sim', 2)] });
  const enough = new AbortController();
  const load = (stream: boolean, concurrency: number, tokens: number) =>
    runLoad({
      url: `${system.v1()}/chat/completions`,
      stream,
      requests: Number.POSITIVE_INFINITY,
      concurrency,
      enough: enough.signal,
      body: (index) => ({
        model: 'sim',
        temperature: 0,
        max_tokens: tokens,
        messages: [{ role: 'user', content: `Question ${index % 50}` }],
      }),
    });
  const running = Promise.all([load(false, 64, 4), load(true, 32, 60)]);
  for (let round = 1; round <= ROUNDS; round++) {
    const answer = await system.post('/api/v1/pools/sim/restart');
    expect(answer.status, `round ${round}`).toBe(200);
    await system.until(
      (status) =>
        ['sim/0', 'sim/1'].every((id) => {
          const { state, generation } = replicaIn(status, id);
          return state === 'ready' && generation === round + 1;
        }),
      60_000,
    );
  }
  enough.abort();
  const [small, streams] = await running;
  console.log(
    `${small.records.length} requests and ${streams.records.length} streams in ${ROUNDS} rolling restarts`,
  );
  expect(errorsOf(small)).toEqual([]);
  expect(errorsOf(streams)).toEqual([]);
});
