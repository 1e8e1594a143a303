/**
 * Two gateway processes of one node keep to limits together without Redis, as long as both are there: what one used before the
 * other came, what each is given, and what one leaves when it goes. The node's side is real, and so are the processes; a replaced
 * gateway goes on taking requests for a second and a half beside its successor.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { LimitSettings } from '../../src/contract/limits.ts';
import { createGatewayHost, type GatewayHost } from '../../src/planes/control/gateway-host.ts';
import { freePort, hostOptions } from '../support/gateway-host-under-test.ts';
import { eventually, poolOf } from '../support/gateway-under-test.ts';
import { isAlive, killQuietly } from '../support/system-under-test.ts';

const LIMIT = 100;
const CLIENTS = 1_000;
let directory: string;
let engine: HoldingEngine;
let host: GatewayHost;
let url: string;
let agents: Agent[];
const pids = new Set<number>();

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'autoglm-limits-'));
  engine = await startHoldingEngine();
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
  const patience = { firstTokenTimeoutMs: 100_000, stallTimeoutMs: 100_000, totalTimeoutMs: 100_000 };
  const settings = { keys: [key], queueSizeMax: 2_000, drainTimeoutMs: 60_000, ...patience };
  host = createGatewayHost(hostOptions({ directory, port: await freePort(), epoch: Date.now(), settings }));
  await host.start({ pools: [poolOf('demo', [{ url: engine.url, window: 500 }])] });
  url = `http://127.0.0.1:${host.address?.port}/v1/chat/completions`;
  for (const { pid } of host.status()) pids.add(pid);
}

/** Answers at once, or keeps all requests until they are released. */
interface HoldingEngine {
  url: string;
  holding: boolean;
  inFlight: number;
  mostInFlight: number;
  release(): void;
  close(): Promise<void>;
}

async function startHoldingEngine(): Promise<HoldingEngine> {
  const held: ServerResponse[] = [];
  const choices = [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }];
  const body = JSON.stringify({ id: 'c', object: 'chat.completion', model: 'demo', choices });
  const answer = (response: ServerResponse) => {
    running.inFlight--;
    response.setHeader('content-type', 'application/json').end(body);
  };
  const server = createServer((incoming, response) => {
    incoming.resume().on('end', () => {
      running.inFlight++;
      running.mostInFlight = Math.max(running.mostInFlight, running.inFlight);
      if (running.holding) held.push(response);
      else answer(response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const running: HoldingEngine = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    holding: false,
    inFlight: 0,
    mostInFlight: 0,
    release: () => {
      running.holding = false;
      for (const response of held.splice(0)) answer(response);
    },
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return running;
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
  // Connections to the first that stay open, more than are used at any time.
  const before = newAgent(CLIENTS);
  await Promise.all(many(CLIENTS / 2, before));
  engine.holding = true;
  const first = many(80, before);
  await eventually(() => engine.inFlight === 80);
  await overlap();
  let refused = 0;
  const rest = [...many(CLIENTS / 2, before), ...many(CLIENTS / 2, newAgent(null))];
  for (const answer of rest) void answer.then((status) => (refused += status === 429 ? 1 : 0));
  // Until all that are let in are at the engine, and all others were refused.
  await eventually(() => refused + engine.inFlight === CLIENTS + 80, 60_000);
  expect(engine.inFlight).toBeGreaterThanOrEqual(LIMIT - 5);
  engine.release();
  expect(await admitted([...first, ...rest])).toBeLessThanOrEqual(LIMIT);
  expect(engine.mostInFlight).toBeLessThanOrEqual(LIMIT);
  // Places that the old one has given back are the new one's.
  await eventually(() => host.status().length === 1, 30_000);
  engine.holding = true;
  const after = many(CLIENTS, newAgent(null));
  refused = 0;
  for (const answer of after) void answer.then((status) => (refused += status === 429 ? 1 : 0));
  await eventually(() => refused + engine.inFlight === CLIENTS, 60_000);
  engine.release();
  expect(await admitted(after)).toBe(LIMIT);
});
