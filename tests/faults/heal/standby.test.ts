/**
 * Goal: a loaded standby takes the place of a replica that dies at once, and what died comes back as the standby. Method: the whole
 * system, one replica and one standby, streams without a pause, SIGKILL.
 */
import { afterEach, expect, it } from 'vitest';
import { errorsOf, factsOf, replicaIn, steadyStreams } from '../../support/heal.ts';
import { machinePace } from '../../support/machine-pace.ts';
import {
  killQuietly,
  type SystemUnderTest,
  simulatorPool,
  startSystem,
} from '../../support/system-under-test.ts';

let system: SystemUnderTest;
afterEach(async () => {
  await system?.stop();
});

/** From the death of the process to the promotion, both as the supervisor tells them. */
const PROMOTED_MS_MAX = 100;

it('promotes a standby in the moment in which the other one dies, and makes that one the standby', async () => {
  system = await startSystem({ models: [{ ...simulatorPool('sim', 1), standby: 1 }] });
  await system.until((status) => replicaIn(status, 'sim/1').state === 'standby');
  const load = steadyStreams(system, 'sim', { concurrency: 4 });
  for (const [active, standing] of [
    ['sim/0', 'sim/1'],
    ['sim/1', 'sim/0'],
  ] as const) {
    const { pid } = replicaIn(
      await system.until((status) => replicaIn(status, active).inFlight === 4),
      active,
    );
    const killedAtMs = Date.now();
    killQuietly(pid ?? 0);
    await system.until((status) => replicaIn(status, standing).state === 'ready');
    const promoted = (await factsOf(system, 'replicaStateChanged', standing)).findLast(
      ({ from, to }) => from === 'standby' && to === 'ready',
    );
    console.log(`${standing} was promoted ${(promoted?.atMs ?? 0) - killedAtMs} ms after the kill`);
    expect((promoted?.atMs ?? Number.POSITIVE_INFINITY) - killedAtMs).toBeLessThan(
      PROMOTED_MS_MAX * machinePace(),
    );
    await system.until((status) => replicaIn(status, active).state === 'standby');
  }
  expect(errorsOf(await load.stop())).toEqual([]);
  const { pools } = await system.status();
  expect(pools[0]).toMatchObject({ ready: 1, total: 1 });
});
