/**
 * Active checks from end to end: the supervisor probes engines that run elsewhere, gateways follow. Who works is busy and never
 * taken out (rows 18 and 19 of conventions.md); who is late is used where nobody else is left; who refuses connections is out after
 * as many failed checks as the configuration says, and comes back when all checks pass. Engines are simulators.
 */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { SystemStatus } from '../../src/contract/admin-api.ts';
import { eventually } from '../support/gateway-under-test.ts';
import { type SimulatorUnderTest, startSimulator, stopSimulators } from '../support/simulator-under-test.ts';
import { type SystemUnderTest, startSystem } from '../support/system-under-test.ts';

let engines: SimulatorUnderTest[];
let system: SystemUnderTest;

beforeAll(async () => {
  engines = await Promise.all([startSimulator(), startSimulator()]);
});
beforeEach(async () => {
  system = await startSystem({
    supervisor: { probe_interval_ms: 300, probe_timeout_ms: 300, probe_failures: 3 },
    gateway: { slow_start_ms: 0 },
    models: [
      {
        model_name: 'demo',
        engine: 'simulator',
        served_model_name: 'simulated-model',
        urls: engines.map(({ url }) => url),
      },
    ],
  });
});
afterEach(async () => {
  await system.stop();
  for (const engine of engines) await engine.heal().catch(() => {});
});
afterAll(() => stopSimulators());

const replicaIn = ({ pools }: SystemStatus, ordinal: number) => pools[0]!.replicas[ordinal]!;
const STARVED = { action: 'starve-frontend', delayMs: 60_000 };

function ask(more: object = {}): Promise<Response> {
  return fetch(`${system.v1()}/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({
      model: 'demo',
      messages: [{ role: 'user', content: 'Hi' }],
      max_tokens: 8,
      ignore_eos: true,
      ...more,
    }),
  });
}

async function becameUnready(): Promise<string[]> {
  const { facts } = (await (await fetch(`${system.adminUrl()}/api/v1/facts?limit=1000`)).json()) as {
    facts: { type: string; to?: string; replica?: string }[];
  };
  return facts.flatMap(({ type, to, replica = '' }) =>
    type === 'replicaStateChanged' && to === 'unready' ? [replica] : [],
  );
}

it('never takes out an engine that is late with its health while it streams', async () => {
  const streams = Array.from({ length: 6 }, () =>
    ask({ stream: true, max_tokens: 600 }).then((r) => r.text()),
  );
  await system.until((status) => [0, 1].every((one) => replicaIn(status, one).inFlight > 0));
  await engines[0]!.arm(STARVED);
  await system.until((status) => replicaIn(status, 0).reason.startsWith('busy'));
  for (let turn = 0; turn < 60; turn++) {
    const status = await system.status();
    expect(replicaIn(status, 0).state).toBe('ready');
    await new Promise((done) => setTimeout(done, 50));
  }
  expect(await becameUnready()).toEqual([]);
  await engines[0]!.heal();
  for (const text of await Promise.all(streams)) expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
});

it('goes on using engines whose probes are all late, and leaves one out while another is well', async () => {
  await engines[0]!.arm(STARVED);
  await system.until((status) => replicaIn(status, 0).state === 'unready');
  for (let turn = 0; turn < 6; turn++) expect((await ask()).headers.get('x-autoglm-replica')).toBe('demo/1');
  await engines[1]!.arm(STARVED);
  // The answers to requests would show that it works; now nobody asks.
  await system.until((status) => replicaIn(status, 1).state === 'unready');
  const served = new Set<string | null>();
  await eventually(async () => {
    const answer = await ask();
    expect(answer.status).toBe(200);
    await answer.text();
    served.add(answer.headers.get('x-autoglm-replica'));
    return served.size === 2;
  });
  const metrics = await (await fetch(`${system.adminUrl()}/metrics`)).text();
  expect(metrics).toMatch(/autoglm_late_replicas_kept\{[^}]*model="demo"[^}]*\} 2/);
  for (const engine of engines) await engine.heal();
  await system.until(({ pools }) => pools[0]!.ready === 2);
});

it('takes out an engine that refuses connections after three failed checks, and back when it is there again', async () => {
  const [, second] = engines;
  const port = new URL(second!.url).port;
  await second!.kill();
  const status = await system.until((now) => replicaIn(now, 1).state === 'unready');
  expect(replicaIn(status, 1).reason).toContain('connection refused');
  for (let turn = 0; turn < 6; turn++) {
    const answer = await ask();
    expect([answer.status, answer.headers.get('x-autoglm-replica')]).toEqual([200, 'demo/0']);
  }
  engines[1] = await startSimulator(['--port', port]);
  await system.until((now) => replicaIn(now, 1).state === 'ready');
  await eventually(async () => (await ask()).headers.get('x-autoglm-replica') === 'demo/1');
});
