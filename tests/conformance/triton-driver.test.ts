/**
 * The driver of Triton against pretend Tritons, over each protocol: what each rung of readiness says of servers that are well,
 * loading, gone or silent, loading and unloading of models, and the metrics of each backend.
 */

import type { AddressInfo } from 'node:net';
import { createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { engineDrivers } from '../../src/assembly/engines.ts';
import { ENGINE_PROTOCOLS, type EngineProtocol } from '../../src/contract/fleet.ts';
import {
  type EngineDriver,
  type EngineTarget,
  READINESS_RUNGS,
  type ReadinessRung,
} from '../../src/contract/ports/engine-driver.ts';
import type { TritonBackend } from '../../src/wire/triton/model-declaration.ts';
import { type SimulatorUnderTest, startSimulator, stopSimulators } from '../support/simulator-under-test.ts';

const driver = engineDrivers.get('triton') as EngineDriver;
afterEach(stopSimulators);

async function start(backend: TritonBackend = 'vllm'): Promise<SimulatorUnderTest> {
  return startSimulator([
    ...['--dialect', 'triton', '--triton-backend', backend, '--model-name', 'demo'],
    ...['--grpc-port', '0', '--metrics-port', '0', '--openai-port', '0'],
  ]);
}

function targetOf({ url, ports }: SimulatorUnderTest, protocol: EngineProtocol): EngineTarget {
  const port = { openai: ports.openai, 'kserve-http': new URL(url).port, 'kserve-grpc': ports.grpc }[
    protocol
  ];
  return {
    url: `http://127.0.0.1:${port}`,
    servedModel: 'demo',
    protocol,
    metricsUrl: `http://{host}:${ports.metrics}/metrics`,
  };
}

const probe = (target: EngineTarget, rung: ReadinessRung, ms = 3_000) =>
  driver.probe(target, rung, AbortSignal.timeout(ms));

describe.each(ENGINE_PROTOCOLS)('over %s', (protocol) => {
  it('climbs the whole ladder of a server that is well', async () => {
    const target = targetOf(await start(), protocol);
    for (const rung of READINESS_RUNGS) expect(await probe(target, rung), rung).toMatchObject({ ok: true });
  });

  it('says so when nobody listens', async () => {
    const simulator = await start();
    const target = targetOf(simulator, protocol);
    await simulator.kill();
    for (const rung of READINESS_RUNGS)
      expect(await probe(target, rung), rung).toEqual({ ok: false, detail: 'connection refused' });
    expect(await driver.readMetrics(target, AbortSignal.timeout(1_000))).toBeUndefined();
    expect(await driver.setModelLoaded?.(target, true, AbortSignal.timeout(1_000))).toEqual({
      ok: false,
      detail: 'connection refused',
    });
  });

  it('ends by its signal when the server is silent', async () => {
    const server: Server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const sockets: { destroy(): void }[] = [];
    server.on('connection', (socket) => sockets.push(socket));
    for (const rung of ['health', 'model', 'generation'] as const)
      expect(await probe({ url, servedModel: 'demo', protocol }, rung, 60), rung).toEqual({
        ok: false,
        detail: 'no answer in time',
      });
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  it('unloads a model, sees that it is not ready, and loads it again', async () => {
    const target = targetOf(await start(), protocol);
    const set = (loaded: boolean) => driver.setModelLoaded?.(target, loaded, AbortSignal.timeout(2_000));
    expect(await set(false)).toEqual({ ok: true, detail: "model 'demo' is unloaded" });
    expect(await probe(target, 'health')).toMatchObject({ ok: false });
    if (protocol !== 'openai') {
      expect(await probe(target, 'model')).toMatchObject({
        ok: false,
        detail: expect.stringContaining('not ready'),
      });
      expect(await probe(target, 'generation')).toMatchObject({ ok: false });
    }
    expect(await set(true)).toMatchObject({ ok: true });
    expect(await probe(target, 'generation')).toMatchObject({ ok: true });
    const unknown = { ...target, servedModel: 'other' };
    expect(await driver.setModelLoaded?.(unknown, true, AbortSignal.timeout(2_000))).toMatchObject({
      ok: false,
    });
  });
});

describe.each(['kserve-http', 'kserve-grpc'] as const)('models behind %s', (protocol) => {
  it.each([
    'tensorrtllm',
    'python',
    'embedding',
  ] as const)('%s are ready by their own kind of answer', async (backend) => {
    const target = targetOf(await start(backend), protocol);
    for (const rung of ['model', 'generation'] as const)
      expect(await probe(target, rung), rung).toMatchObject({ ok: true });
  });

  it('that are not there are named', async () => {
    const target = { ...targetOf(await start(), protocol), servedModel: 'other' };
    expect(await probe(target, 'model')).toMatchObject({
      ok: false,
      detail: expect.stringContaining("'other'"),
    });
  });
});

it('reads the metrics of each backend from their own port', async () => {
  for (const backend of ['vllm', 'tensorrtllm'] as const) {
    const simulator = await start(backend);
    const target = targetOf(simulator, 'kserve-grpc');
    await probe(target, 'generation');
    const metrics = await driver.readMetrics(target, AbortSignal.timeout(2_000));
    expect(metrics, backend).toMatchObject({ waiting: 0, progressCount: 1 });
    if (backend === 'tensorrtllm') expect(metrics).toMatchObject({ running: 0, kvCacheUsageRatio: 0 });
    else expect(metrics).toMatchObject({ generationTokensTotal: 1 });
  }
  const front = await start();
  const own = targetOf(front, 'openai');
  delete own.metricsUrl;
  expect(await driver.readMetrics(own, AbortSignal.timeout(2_000))).toMatchObject({ waiting: 0 });
});
