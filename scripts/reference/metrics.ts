/** `docs/reference/metrics.md`, from the families that node process and gateways render. */
import { INCIDENT_METRICS } from '../../src/assembly/incident-metrics.ts';
import { NODE_METRICS } from '../../src/assembly/node-metrics.ts';
import { SIGNAL_METRICS } from '../../src/assembly/signal-metrics.ts';
import { GATEWAY_METRICS } from '../../src/planes/gateway/gateway-counters.ts';
import type { Family } from '../../src/wire/prometheus/metric-set.ts';
import { GENERATED_BY, table } from './markdown.ts';

export function metricsPage(): string {
  return [
    `<!-- ${GENERATED_BY} -->`,
    '# Metrics',
    '',
    'Prometheus text at `/metrics` of the admin port. Units are seconds and bytes; labels hold configured names and closed lists only. Gateways add the label `gateway`; their counters begin anew when a gateway is replaced.',
    '',
    '## Gateway',
    '',
    families(GATEWAY_METRICS),
    '',
    '## Node',
    '',
    families([...NODE_METRICS, ...INCIDENT_METRICS]),
    '',
    '## Engines, from outside',
    '',
    'What sources of signals found last ([signals](../signals.md)); a figure that nobody can see here is left out.',
    '',
    families(SIGNAL_METRICS),
    '',
  ].join('\n');
}

function families(list: readonly Family[]): string {
  return table(
    ['name', 'type', 'meaning', 'buckets'],
    list.map(({ name, type, help, bounds }) => [`\`${name}\``, type, help, bounds?.join(', ') ?? '']),
  );
}
