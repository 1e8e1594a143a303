import picocolors from 'picocolors';
import { expect, it } from 'vitest';
import type { SystemStatus } from '../contract/admin-api.ts';
import { renderStatus, showSpan } from './status-table.ts';

const status: SystemStatus = {
  release: '1.2.3',
  node: { pid: 10, startedAtMs: 0, adoptedEngines: 1, stateDir: '/s', configPath: null },
  gatewayAddress: 'http://127.0.0.1:8080',
  adminAddress: 'http://127.0.0.1:8081',
  gateways: [
    {
      id: 'gw-1',
      pid: 11,
      state: 'listening',
      address: 'http://127.0.0.1:8080',
      workers: [
        { index: 0, state: 'listening', restarts: 0 },
        { index: 1, state: 'starting', restarts: 2 },
      ],
      inFlight: 3,
      queued: 1,
    },
  ],
  pools: [
    {
      model: 'demo',
      aliases: ['d'],
      source: 'file',
      leaving: false,
      ready: 1,
      total: 2,
      queued: 1,
      replicas: [
        {
          id: 'demo/0',
          model: 'demo',
          engine: 'embedded',
          state: 'ready',
          reason: 'passed all rungs',
          managed: true,
          generation: 1,
          url: 'http://127.0.0.1:1',
          pid: 12,
          inFlight: 3,
          window: 16,
          restarts: 0,
          stateForMs: 5000,
          lastIncident: null,
          logFile: null,
        },
        {
          id: 'demo/1',
          model: 'demo',
          engine: 'vllm',
          state: 'quarantined',
          reason: 'restarted 5 times within 60 s\u001b[31m; last exit: code 1',
          managed: false,
          generation: 6,
          url: null,
          pid: null,
          inFlight: 0,
          window: 16,
          restarts: 5,
          stateForMs: 200_000,
          lastIncident: { atMs: 400_000, summary: 'exited with code 1' },
          logFile: '/s/logs/demo-1.log',
        },
      ],
    },
  ],
};

it('shows gateways, pools, states, load, restarts, incidents and reasons, and no escape sequences from elsewhere', () => {
  const text = renderStatus(status, { colors: picocolors.createColors(false), nowMs: 460_000, width: null });
  const lines = text.split('\n').map((line) => line.trimEnd());
  expect(lines[0]).toBe('autoglm 1.2.3   gateway http://127.0.0.1:8080/v1   admin http://127.0.0.1:8081');
  expect(text).toContain('demo (also d)   1/2 ready   queued 1');
  expect(lines.find((line) => line.startsWith('gw-1'))).toMatch(
    /listening +127.0.0.1:8080 +1\/2, 2 replaced +3 +1 +11/,
  );
  expect(lines.find((line) => line.startsWith('demo/0'))).toMatch(/embedded +ready +5 s +3\/16 +0 +12 +-$/);
  expect(lines.find((line) => line.startsWith('demo/1'))).toMatch(
    /vllm \(external\) +quarantined +3 min +0\/16 +5 +- +60 s ago$/,
  );
  expect(lines).toContain('  demo/1 is quarantined: restarted 5 times within 60 s[31m; last exit: code 1');
  expect(lines).toContain('  demo/1 last incident: exited with code 1');
  expect(lines).toContain('  demo/1 log: /s/logs/demo-1.log');
  expect(text).not.toContain('\u001b');
});

it('says of a replica that is slower than its peers how much it counts', () => {
  const [pool] = status.pools;
  const replicas = pool!.replicas.map((replica, index) =>
    index === 0 ? { ...replica, speedShare: 0.4 } : replica,
  );
  const text = renderStatus(
    { ...status, pools: [{ ...pool!, replicas }] },
    { colors: picocolors.createColors(false), nowMs: 0, width: null },
  );
  expect(text).toContain('  demo/0 is slower than its peers: it counts for 40 % of its weight');
  expect(text.match(/slower/g)).toHaveLength(1);
});

it('shows a long reason whole, and no text twice', () => {
  const reason = `restarted 5 times; model file /${'x'.repeat(200)}.gguf: found 10 bytes; its head says 3000096`;
  const [pool] = status.pools;
  const [, failing] = pool!.replicas;
  const replica = { ...failing!, reason, lastIncident: { atMs: 0, summary: reason } };
  const text = renderStatus(
    { ...status, pools: [{ ...pool!, replicas: [replica] }] },
    { colors: picocolors.createColors(false), nowMs: 0, width: null },
  );
  expect(text.split(reason)).toHaveLength(2);
  expect(text).toContain(`demo/1 is quarantined: ${reason}`);
});

it('fits the width of a terminal, and says texts that are longer on several lines', () => {
  const [pool] = status.pools;
  const replicas = pool!.replicas.map((replica) => ({
    ...replica,
    id: `inference-ops-demo-with-a-long-name/${replica.id.at(-1)}`,
    reason: 'word '.repeat(60),
  }));
  const text = renderStatus(
    { ...status, node: { ...status.node, stateDir: `/${'s/'.repeat(60)}` }, pools: [{ ...pool!, replicas }] },
    { colors: picocolors.createColors(false), nowMs: 460_000, width: 80 },
  );
  for (const line of text.split('\n')) {
    expect(line.length).toBeLessThanOrEqual(80);
    expect(line).toBe(line.trimEnd());
  }
  expect(text.match(/word/g)).toHaveLength(60);
});

it('fits 80 columns with the built-in model', () => {
  const [pool] = status.pools;
  const [replica] = pool!.replicas;
  const [gateway] = status.gateways;
  const one = {
    ...replica!,
    id: 'inference-ops-demo/0',
    pid: 1_234_567,
    lastIncident: { atMs: 0, summary: '' },
  };
  const text = renderStatus(
    {
      ...status,
      gateways: [{ ...gateway!, id: 'gw-mwxymu02-0', pid: 1_234_567, workers: [] }],
      pools: [{ ...pool!, replicas: [one] }],
    },
    { colors: picocolors.createColors(false), nowMs: 60_000, width: 80 },
  );
  expect(text).not.toContain('…');
});

it('shows spans in the unit that fits', () => {
  expect([850, 12_000, 119_999, 180_000, 7_200_000, 200_000_000].map(showSpan)).toEqual([
    '850 ms',
    '12 s',
    '120 s',
    '3 min',
    '2 h',
    '2 d',
  ]);
});
