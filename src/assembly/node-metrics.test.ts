import { expect, it } from 'vitest';
import { nodeMetrics } from './node-metrics.ts';

it('gives one state per replica the value 1', () => {
  const text = nodeMetrics(
    [
      {
        model: 'm',
        aliases: [],
        source: 'file',
        leaving: false,
        ready: 1,
        total: 1,
        queued: 0,
        replicas: [
          {
            id: 'm/0',
            model: 'm',
            engine: 'embedded',
            state: 'ready',
            reason: '',
            managed: true,
            generation: 2,
            url: null,
            pid: 1,
            inFlight: 0,
            window: 16,
            restarts: 3,
            stateForMs: 0,
            lastIncident: null,
            logFile: null,
          },
        ],
      },
    ],
    5_000,
  );
  expect(text).toContain('autoglm_node_start_time_seconds 5\n');
  expect(text).toContain('autoglm_replica_restarts_total{model="m",deployment="m/0"} 3\n');
  const states = text.split('\n').filter((line) => line.startsWith('autoglm_replica_state{'));
  expect(states.filter((line) => line.endsWith(' 1'))).toEqual([
    'autoglm_replica_state{model="m",deployment="m/0",state="ready"} 1',
  ]);
  expect(states).toHaveLength(9);
});
