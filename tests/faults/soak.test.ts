/**
 * Goal: nothing grows and nothing is lost, however long it runs and whatever dies. Method: three minutes of the soak of
 * bench/soak.ts (which takes 20), of which one is warming up; heaps are read right after a collection that is forced in each
 * thread, and slopes are judged by their confidence interval: a heap fails when it grows beyond chance.
 */
import { expect, it } from 'vitest';
import { interval } from '../../bench/soak/figures.ts';
import { runSoak } from '../../bench/soak/run-soak.ts';

it('loses no request and grows by nothing in three minutes in which an engine is killed every 15 seconds', {
  timeout: 300_000,
}, async () => {
  const { load, kills, restarts, processes, problems } = await runSoak({
    minutes: 3,
    warmUpMinutes: 1,
    factor: 1,
    // In its first minutes a process still compiles; half a megabyte is for the 20 minutes.
    heapSlopeMax: 2,
  });
  const lanes = Object.entries(load).map(
    ([lane, { sent, failures }]) => `${lane} ${sent}, lost ${failures.length}`,
  );
  console.log(`soak: ${lanes.join('; ')}; ${kills} kills, ${restarts} restarts`);
  for (const { name, heapMb, fds } of processes)
    console.log(`soak: heap of the ${name} ${interval(heapMb)} MB a minute, descriptors ${interval(fds)}`);
  expect(problems).toEqual([]);
  expect(kills).toBeGreaterThanOrEqual(6);
});
