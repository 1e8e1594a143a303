/**
 * Goal: an engine that makes no step while it has work is found and restarted, though its health check passes, and no client
 * notices; one that is only busy, slow or silent at its edges is left alone. Method: the whole system, simulators with faults and
 * real signals, streams without a pause.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { arm, errorsOf, factsOf, replicaIn, steadyStreams, untilHealed } from '../../support/heal.ts';
import { machinePace } from '../../support/machine-pace.ts';
import { type SystemUnderTest, simulatorPool, startSystem } from '../../support/system-under-test.ts';

let system: SystemUnderTest;
afterEach(async () => {
  await system?.stop();
});

/** Between the last step and the incident: a floor of 4 s, and looks that are 0.4 s apart. */
const FOUND_MS_MAX = 5_000;

describe('an engine that hangs', () => {
  it('is found by its counter though /health answers, restarted, and costs no client anything', async () => {
    system = await startSystem({ models: [simulatorPool('sim', 2)] });
    const load = steadyStreams(system, 'sim');
    await system.until((status) => replicaIn(status, 'sim/0').inFlight > 0);
    const { generation } = replicaIn(await system.status(), 'sim/0');
    const armedAtMs = Date.now();
    await arm(system, 'sim/0', { action: 'hang' });
    await untilHealed(system, 'sim/0', generation);
    const result = await load.stop();
    expect(errorsOf(result)).toEqual([]);
    const [opened] = await factsOf(system, 'incidentOpened', 'sim/0');
    console.log(`hang: found after ${(opened?.atMs ?? 0) - armedAtMs} ms`, JSON.stringify(opened?.diagnosis));
    expect(opened?.diagnosis.class).toBe('hung');
    expect((opened?.atMs ?? 0) - armedAtMs).toBeLessThan(FOUND_MS_MAX * machinePace());
    const [remedy] = await factsOf(system, 'remedyEnded', 'sim/0');
    expect(remedy).toMatchObject({ remedy: 'restart_process', helped: true });
    const [closed] = await factsOf(system, 'incidentClosed', 'sim/0');
    expect(closed?.outcome).toBe('recovered');
    expect(await factsOf(system, 'incidentOpened', 'sim/1')).toEqual([]);
  });
});
