/**
 * Two gateway processes of one node keep to limits together without Redis, as long as both are there: what one used before the
 * other came, what each is given, and what one leaves when it goes. The node's side is real, and so are the processes; a replaced
 * gateway goes on taking requests for a second and a half beside its successor.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { LimitSettings } from '../../src/contract/limits.ts';
import { createGatewayHost, type GatewayHost } from '../../src/planes/control/gateway-host.ts';
import { freePort, hostOptions } from '../support/gateway-host-under-test.ts';
import { eventually, poolOf } from '../support/gateway-under-test.ts';
import { type ScriptedEngine, startScriptedEngine } from '../support/scripted-engine.ts';
import { isAlive, killQuietly } from '../support/system-under-test.ts';

const LIMIT = 100;
const CLIENTS = 1_000;
let directory: string;
let engine: ScriptedEngine;
let host: GatewayHost;
let url: string;
let agents: Agent[];
const pids = new Set<number>();

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'autoglm-limits-'));
  engine = await startScriptedEngine();
  agents = [];
});

afterEach(async () => {
  for (const { pid } of host.status()) pids.add(pid);
  await Promise.all(agents.map((agent) => agent.destroy()));
  await host.close({ stop: false });
  for (const pid of pids) killQuietly(pid);
  await eventually(() => [...pids].every((pid) => !isAlive(pid)));
  pids.clear();
  await engine.close();
  rmSync(directory, { recursive: true, force: true });
});

async function start(limits: LimitSettings): Promise<void> {
  const key = { name: 'k', sha256: createHash('sha256').update('key-of-k').digest('hex'), limits };
  const settings = { keys: [key], queueSizeMax: 2_000, drainTimeoutMs: 20_000 };
  host = createGatewayHost(hostOptions({ directory, port: await freePort(), epoch: Date.now(), settings }));
  await host.start({ pools: [poolOf('demo', [{ url: engine.url, window: 500 }])] });
  url = `http://127.0.0.1:${host.address?.port}/v1/chat/completions`;
  for (const { pid } of host.status()) pids.add(pid);
}

/** Connections that stay open: those that were made before a gateway was replaced lead to the old one. */
function newAgent(connections: number | null): Agent {
  const agent = new Agent({ connections, pipelining: 1, headersTimeout: 60_000 });
  agents.push(agent);
  return agent;
}

async function ask(dispatcher: Agent): Promise<number> {
  const answer = await request(url, {
    method: 'POST',
    headers: { authorization: 'Bearer key-of-k' },
    body: JSON.stringify({ model: 'demo', max_tokens: 1, messages: [{ role: 'user', content: 'Hi' }] }),
    dispatcher,
  });
  await answer.body.dump();
  if (answer.statusCode !== 200 && answer.statusCode !== 429) throw new Error(`status ${answer.statusCode}`);
  return answer.statusCode;
}

async function admitted(answers: readonly Promise<number>[]): Promise<number> {
  return (await Promise.all(answers)).filter((status) => status === 200).length;
}

const many = (count: number, dispatcher: Agent) => Array.from({ length: count }, () => ask(dispatcher));

/** A second gateway listens, and the first has not let go of the port. */
async function overlap(): Promise<void> {
  await host.replace();
  for (const { pid } of host.status()) pids.add(pid);
  expect(host.status()).toHaveLength(2);
}

it('lets in 100 requests a minute over two gateways, those before and after the change included', async () => {
  await start({ requestsPerMinute: LIMIT });
  const before = newAgent(60);
  const beganMs = performance.now();
  // Sixty open connections, of which forty are used up by requests that are let in.
  let total = await admitted(many(40, before));
  expect(total).toBe(40);
  await overlap();
  const fresh = newAgent(null);
  total += await admitted([...many(CLIENTS / 2, before), ...many(CLIENTS / 2, fresh)]);
  await eventually(() => host.status().length === 1, 30_000);
  total += await admitted(many(CLIENTS, newAgent(50)));
  // What came back meanwhile, a hundredth of the limit every 0.6 s.
  const refilled = Math.ceil(((performance.now() - beganMs) / 60_000) * LIMIT);
  expect(total).toBeLessThanOrEqual(LIMIT + refilled);
  expect(total).toBeGreaterThanOrEqual(LIMIT - 5);
});

it('has no more than 100 requests at once over two gateways, whatever the first held when the second came', async () => {
  await start({ parallelRequests: LIMIT });
  engine.base = { quietMs: 8_000 };
  const before = newAgent(CLIENTS / 2);
  const first = many(80, before);
  await eventually(() => engine.inFlight === 80);
  await overlap();
  const fresh = newAgent(null);
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, engine.inFlight);
  }, 2);
  const rest = [...many(CLIENTS / 2, before), ...many(CLIENTS / 2, fresh)];
  await eventually(() => engine.inFlight >= LIMIT - 5);
  const total = await admitted([...first, ...rest]);
  clearInterval(watch);
  expect(most).toBeLessThanOrEqual(LIMIT);
  expect(total).toBeLessThanOrEqual(LIMIT);
  expect(total).toBeGreaterThanOrEqual(LIMIT - 5);
  // Places that the old one gives back are the new one's.
  engine.base = { quietMs: 2_000 };
  await eventually(() => host.status().length === 1, 30_000);
  const after = newAgent(null);
  expect(await admitted(many(CLIENTS, after))).toBe(LIMIT);
});
