/**
 * Goal: what went wrong is told afterwards as it was: an incident with its times, remedies, evidence and what clients felt, by API,
 * command and metrics, also by the node process that comes next. Method: the whole system, one engine that hangs under a load, and
 * one that is killed while no other can take over.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createAdminClient } from '../../../src/client/admin-client.ts';
import { eventually } from '../../support/gateway-under-test.ts';
import { arm, errorsOf, replicaIn, steadyStreams, untilHealed } from '../../support/heal.ts';
import { type SystemUnderTest, simulatorPool, startSystem } from '../../support/system-under-test.ts';

let system: SystemUnderTest;
afterEach(async () => {
  await system?.stop();
});

const ROOT = join(import.meta.dirname, '../../..');

function command(...words: string[]): string {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [join(ROOT, 'bin/autoglm.mjs'), 'incidents', ...words, '--config', system.configFile],
    { encoding: 'utf8', env: { ...process.env, NO_COLOR: '1' } },
  );
  expect(status, stderr).toBe(0);
  return stdout;
}

/** The only incident, as it is kept; empty before it is. */
function onDisk(): string {
  const directory = join(system.stateDir, 'incidents');
  const [id = 'none'] = existsSync(directory) ? readdirSync(directory) : [];
  const file = join(directory, id, 'incident.json');
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

describe('an incident', () => {
  it('of an engine that hung has its report and its evidence, and is there after the node process', async () => {
    system = await startSystem({ models: [simulatorPool('sim', 2)] });
    const client = createAdminClient({ url: system.adminUrl() });
    expect(await client.incidents(10)).toEqual([]);
    const load = steadyStreams(system, 'sim');
    await system.until((status) => replicaIn(status, 'sim/0').inFlight > 0);
    const { generation } = replicaIn(await system.status(), 'sim/0');
    await arm(system, 'sim/0', { action: 'hang' });
    await untilHealed(system, 'sim/0', generation);
    await eventually(async () => (await client.incidents(10))[0]?.state === 'recovered', 10_000);
    expect(errorsOf(await load.stop())).toEqual([]);
    const [summary] = await client.incidents(10);
    expect(summary).toMatchObject({
      class: 'hung',
      replica: 'sim/0',
      remedies: ['restart_process'],
      requestsFailed: 0,
      hasEvidence: true,
    });
    const id = summary?.id as string;
    const report = await client.incident(id);
    // Its health check was answered all the while: that is no sign of life.
    expect(report.times.detectMs).toBeGreaterThan(2_000);
    expect(report.times.isolateMs).toBeLessThan(1_000);
    expect(report.times.recoverMs).toBeGreaterThan(0);
    expect(report.clients.requestsFailed).toBe(0);
    // Streams stood still on it, and went on at the other one.
    expect(Object.keys(report.clients.streamsContinued)).not.toEqual([]);
    expect(report.clients.gapMaxMs).toBeGreaterThan(0);

    const evidence = await client.incidentEvidence(id);
    const [bundle] = evidence.bundles;
    const states = Object.fromEntries(bundle?.manifest.parts.map(({ name, state }) => [name, state]) ?? []);
    expect(states).toMatchObject({
      signals: 'taken',
      log: 'taken',
      stacks: 'taken',
      requests: 'taken',
      configuration: 'taken',
      processes: 'taken',
    });
    expect(existsSync(join(bundle?.path as string, 'stacks.txt'))).toBe(true);
    expect(bundle?.manifest.tookMs).toBeLessThan(1_500);

    expect(command()).toMatch(new RegExp(`${id} .*recovered .*hung .*sim/0`));
    expect(command('show', id)).toContain('WHAT TO DO NOW');
    expect(command('show', id, '--markdown')).toBe(await client.incidentReport(id, 'markdown'));
    expect(command('evidence', id)).toContain('stacks.txt');
    expect(JSON.parse(command('show', id, '--json'))).toEqual(report);
    const metrics = await (await fetch(`${system.adminUrl()}/metrics`)).text();
    expect(metrics).toContain('autoglm_incidents_total{class="hung",outcome="recovered"} 1\n');
    expect(metrics).toContain('autoglm_incident_recover_seconds_count{class="hung"} 1\n');
    expect(metrics).toContain('autoglm_open_incidents 0\n');

    const { pid } = (await system.status()).node;
    process.kill(pid, 'SIGKILL');
    await system.until((status) => status.node.pid !== pid);
    expect(await client.incident(id)).toEqual(report);
    const folder = join(system.stateDir, 'incidents', id);
    expect(readFileSync(join(folder, 'report.md'), 'utf8')).toBe(await client.incidentReport(id, 'markdown'));
  });

  it('that a node process left open is taken up by the next one, and closed', async () => {
    system = await startSystem({ models: [simulatorPool('sim', 1, ['--load-ms', '4000'])] });
    const client = createAdminClient({ url: system.adminUrl() });
    const before = await system.status();
    process.kill(replicaIn(before, 'sim/0').pid as number, 'SIGKILL');
    await eventually(() => onDisk().includes('"state": "healing"'), 5_000);
    process.kill(before.node.pid, 'SIGKILL');
    await system.until(({ node }) => node.pid !== before.node.pid);
    const [left] = await client.incidents(10);
    expect(left?.closedAtMs).toBeNull();
    await eventually(async () => (await client.incidents(10))[0]?.state === 'recovered', 20_000);
    const list = await client.incidents(10);
    expect(list.map(({ id }) => id)).toEqual([left?.id]);
    const { timeline, times } = await client.incident(left?.id as string);
    expect(timeline.map(({ text }) => text)).toContain(
      'the node process that dealt with it has ended, and another one has taken over',
    );
    expect(times.recoverMs).toBeGreaterThan(2_000);
  });

  it('of the only engine says how many requests failed for their clients', async () => {
    system = await startSystem({
      gateway: { queue_timeout_ms: 200, retry_attempts: 0, continuations: 0 },
      supervisor: { backoff_initial_ms: 1_000 },
      models: [simulatorPool('sim', 1)],
    });
    const client = createAdminClient({ url: system.adminUrl() });
    const load = steadyStreams(system, 'sim', { concurrency: 4 });
    const { pid } = replicaIn(
      await system.until((status) => replicaIn(status, 'sim/0').inFlight === 4),
      'sim/0',
    );
    process.kill(pid as number, 'SIGKILL');
    await eventually(async () => (await client.incidents(10))[0]?.state === 'recovered', 20_000);
    // Those that came later found no free replica: they were never on it.
    const lost = errorsOf(await load.stop()).filter(({ message }) => message.includes('connection-lost'));
    const [incident] = await client.incidents(10);
    expect(lost.length).toBeGreaterThanOrEqual(1);
    expect(incident?.requestsFailed).toBe(lost.length);
    const report = await client.incident(incident?.id as string);
    expect(report.clients.attemptsFailed).toEqual({ 'connection-lost': lost.length });
    expect(report.times.isolateMs).toBe(0);
  });
});
