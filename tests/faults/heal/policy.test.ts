/**
 * Goal: `auto-recovery.yaml` of the documentation, as it is written there, does what it says to real engines. Method: the whole
 * system with that file beside its configuration, simulators that run out of memory and that hang, streams without a pause.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { arm, errorsOf, factsOf, replicaIn, steadyStreams, untilHealed } from '../../support/heal.ts';
import { type SystemUnderTest, simulatorPool, startSystem } from '../../support/system-under-test.ts';

const PAGE = readFileSync(resolve(import.meta.dirname, '../../../docs/auto-recovery.md'), 'utf8');
const SAMPLE = /```yaml\n(# auto-recovery\.yaml\n[^`]*)```/.exec(PAGE)?.[1] ?? '';

let system: SystemUnderTest;
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'policy-'));
  writeFileSync(join(directory, 'auto-recovery.yaml'), SAMPLE);
});
afterEach(async () => {
  await system?.stop();
  rmSync(directory, { recursive: true, force: true });
});

const start = async () => {
  const models = [simulatorPool('sim', 2, ['--control-calls'])];
  system = await startSystem({ models, auto_recovery: join(directory, 'auto-recovery.yaml') });
};

it('restarts an engine that ran out of memory after a second, and with safer settings when it happens again', async () => {
  await start();
  const load = steadyStreams(system, 'sim');
  for (const remedy of ['restart_process', 'restart_safer']) {
    const { generation } = replicaIn(
      await system.until((status) => replicaIn(status, 'sim/0').inFlight > 0),
      'sim/0',
    );
    const before = (await factsOf(system, 'remedyStarted', 'sim/0')).length;
    await arm(system, 'sim/0', { action: 'exit', code: 1, log: 'cuda-oom', when: { afterMs: 100 } });
    await untilHealed(system, 'sim/0', generation);
    const tried = (await factsOf(system, 'remedyStarted', 'sim/0')).slice(before);
    expect(tried.map((fact) => fact.remedy)).toEqual([remedy]);
    const opened = (await factsOf(system, 'incidentOpened', 'sim/0')).at(-1);
    expect(opened?.diagnosis.class).toBe('gpu-out-of-memory');
    // Without the policy it is 0.6 s at most; both times are of a wall clock, rounded.
    const started = (await factsOf(system, 'replicaStateChanged', 'sim/0')).findLast(
      ({ to }) => to === 'starting',
    );
    expect((started?.atMs ?? 0) - (opened?.atMs ?? 0)).toBeGreaterThanOrEqual(950);
  }
  expect(errorsOf(await load.stop())).toEqual([]);
});

it('ends what waits in an engine that is stuck and lets it go on, without a restart', async () => {
  await start();
  const load = steadyStreams(system, 'sim');
  const { generation, pid } = replicaIn(
    await system.until((status) => replicaIn(status, 'sim/0').inFlight > 0),
    'sim/0',
  );
  // Long enough to be found, and over before the remedy has to have helped.
  await arm(system, 'sim/0', { action: 'hang', durationMs: 15_000 });
  await system.until((status) => replicaIn(status, 'sim/0').state !== 'ready', 30_000);
  await system.until((status) => replicaIn(status, 'sim/0').state === 'ready', 60_000);
  expect(errorsOf(await load.stop())).toEqual([]);
  const [ended] = await factsOf(system, 'remedyEnded', 'sim/0');
  expect(ended).toMatchObject({ remedy: 'clear_queue_and_reset', helped: true });
  expect(replicaIn(await system.status(), 'sim/0')).toMatchObject({ generation, pid });
});
