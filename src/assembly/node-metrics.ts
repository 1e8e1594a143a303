/** What the node process knows, as Prometheus text: replicas and their states, restarts, pools. Labels are configured names. */
import type { PoolStatus } from '../contract/admin-api.ts';
import { REPLICA_STATES } from '../contract/fleet.ts';
import { type Family, MetricSet } from '../wire/prometheus/metric-set.ts';
import { RELEASE } from './config/release.ts';

export const NODE_METRICS: readonly Family[] = [
  { name: 'autoglm_node_info', type: 'gauge', help: 'Always 1; the release is a label.' },
  { name: 'autoglm_node_start_time_seconds', type: 'gauge', help: 'Start of the node process, Unix time.' },
  { name: 'autoglm_pool_replicas', type: 'gauge', help: 'Configured replicas of a pool.' },
  { name: 'autoglm_pool_ready_replicas', type: 'gauge', help: 'Replicas of a pool that take traffic.' },
  {
    name: 'autoglm_replica_state',
    type: 'gauge',
    help: '1 for the state that a replica is in, 0 for the others.',
  },
  { name: 'autoglm_replica_restarts_total', type: 'counter', help: 'Unasked restarts of a replica.' },
  { name: 'autoglm_replica_window', type: 'gauge', help: 'Requests that a replica takes at once.' },
];

export function nodeMetrics(pools: readonly PoolStatus[], startedAtMs: number): string {
  const metrics = new MetricSet(NODE_METRICS);
  metrics.set('autoglm_node_info', { release: RELEASE }, 1);
  metrics.set('autoglm_node_start_time_seconds', {}, startedAtMs / 1000);
  for (const { model, total, ready, replicas } of pools) {
    metrics.set('autoglm_pool_replicas', { model }, total);
    metrics.set('autoglm_pool_ready_replicas', { model }, ready);
    for (const replica of replicas) {
      const labels = { model, deployment: replica.id };
      metrics.set('autoglm_replica_restarts_total', labels, replica.restarts);
      metrics.set('autoglm_replica_window', labels, replica.window);
      for (const state of REPLICA_STATES) {
        metrics.set('autoglm_replica_state', { ...labels, state }, state === replica.state ? 1 : 0);
      }
    }
  }
  return metrics.render();
}
