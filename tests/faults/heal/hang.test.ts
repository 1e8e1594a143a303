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

describe('an engine that only looks ill', () => {
  it('is never restarted: saturated, in a prefill of 20 s, with /health late by 40 s, or with a dead metrics endpoint', async () => {
    const slowReader = ['--prefill-token-ms', '10'];
    system = await startSystem({
      models: [
        simulatorPool('saturated', 1, ['--max-num-seqs', '2']),
        simulatorPool('prefilling', 1, slowReader),
        simulatorPool('starved', 1),
        simulatorPool('unmeasured', 1),
      ],
    });
    const before = await system.status();
    const loads = [
      steadyStreams(system, 'saturated', { concurrency: 24 }),
      steadyStreams(system, 'prefilling', { concurrency: 2 }),
      steadyStreams(system, 'starved', { concurrency: 4 }),
      steadyStreams(system, 'unmeasured', { concurrency: 4 }),
    ];
    await arm(system, 'starved/0', { action: 'starve-frontend', delayMs: 40_000 });
    await arm(system, 'unmeasured/0', { action: 'metrics-dead' });
    const answered = await fetch(`${system.v1()}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'prefilling',
        max_tokens: 4,
        messages: [{ role: 'user', content: 'word '.repeat(2_000) }],
      }),
    });
    expect(answered.status).toBe(200);
    for (const load of loads) expect(errorsOf(await load.stop())).toEqual([]);
    for (const id of ['saturated/0', 'prefilling/0', 'starved/0', 'unmeasured/0']) {
      const { generation, pid, restarts } = replicaIn(before, id);
      expect(replicaIn(await system.status(), id)).toMatchObject({ generation, pid, restarts });
    }
    const remedies = await factsOf(system, 'remedyStarted');
    console.log(
      remedies.map(({ replica, remedy, because }) => `${replica}: ${remedy}: ${because}`).join('\n'),
    );
    expect(remedies.filter(({ remedy }) => remedy !== 'observe' && remedy !== 'page')).toEqual([]);
  });
});

describe('an engine that is stopped by a signal', () => {
  it('is found with its port open, ended by force, and costs no client anything', async () => {
    system = await startSystem({ models: [simulatorPool('sim', 2)] });
    const load = steadyStreams(system, 'sim');
    await system.until((status) => replicaIn(status, 'sim/0').inFlight > 0);
    const { generation, pid } = replicaIn(await system.status(), 'sim/0');
    const stoppedAtMs = Date.now();
    process.kill(pid ?? 0, 'SIGSTOP');
    await untilHealed(system, 'sim/0', generation);
    expect(errorsOf(await load.stop())).toEqual([]);
    const [opened] = await factsOf(system, 'incidentOpened', 'sim/0');
    console.log(`SIGSTOP: found after ${(opened?.atMs ?? 0) - stoppedAtMs} ms: ${opened?.summary}`);
    expect(opened?.diagnosis.class).toBe('hung');
    expect((opened?.atMs ?? 0) - stoppedAtMs).toBeLessThan(FOUND_MS_MAX * machinePace());
    expect(await factsOf(system, 'incidentOpened', 'sim/1')).toEqual([]);
  });
});

describe('an engine whose answers have become worthless', () => {
  it('is found by its canary, taken out and restarted', async () => {
    system = await startSystem({ models: [simulatorPool('sim', 2)] });
    const { generation } = replicaIn(await system.status(), 'sim/0');
    await arm(system, 'sim/0', { action: 'corrupt-text' });
    await untilHealed(system, 'sim/0', generation, 60_000);
    const [opened] = await factsOf(system, 'incidentOpened', 'sim/0');
    expect(opened?.diagnosis.class).toBe('corrupt-output');
    expect(await factsOf(system, 'incidentOpened', 'sim/1')).toEqual([]);
  });
});
