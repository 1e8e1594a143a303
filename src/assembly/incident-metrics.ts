/** Counters and times of incidents since the node process was started, as Prometheus text. */
import type { IncidentReport } from '../contract/incident-report.ts';
import { type Family, MetricSet } from '../wire/prometheus/metric-set.ts';

const SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

export const INCIDENT_METRICS: readonly Family[] = [
  { name: 'autoglm_open_incidents', type: 'gauge', help: 'Incidents that are not over (docs/incidents.md).' },
  {
    name: 'autoglm_incidents_total',
    type: 'counter',
    help: 'Incidents that are over, by class of the fault and outcome: recovered, given-up, stood-down.',
  },
  {
    name: 'autoglm_incident_detect_seconds',
    type: 'histogram',
    help: 'From the last sign of life of an engine to the finding of its fault, by class; where it is known.',
    bounds: SECONDS,
  },
  {
    name: 'autoglm_incident_isolate_seconds',
    type: 'histogram',
    help: 'From the finding to the moment from which no new request was sent there, by class.',
    bounds: SECONDS,
  },
  {
    name: 'autoglm_incident_recover_seconds',
    type: 'histogram',
    help: 'From the finding to the moment at which the replica served again, by class.',
    bounds: SECONDS,
  },
];

export class IncidentMetrics {
  readonly #metrics = new MetricSet(INCIDENT_METRICS);

  closed({ state, diagnosis, times }: IncidentReport): void {
    const labels = { class: diagnosis.class };
    this.#metrics.add('autoglm_incidents_total', { ...labels, outcome: state });
    const spans = { detect: times.detectMs, isolate: times.isolateMs, recover: times.recoverMs };
    for (const [name, ms] of Object.entries(spans))
      if (ms !== null) this.#metrics.observe(`autoglm_incident_${name}_seconds`, labels, ms / 1000);
  }

  render(open: number): string {
    this.#metrics.set('autoglm_open_incidents', {}, open);
    return this.#metrics.render();
  }
}
