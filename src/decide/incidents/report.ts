/** What is concluded from an incident: the line of the list, and the report. `wire/incidents` writes it for people. */
import { spanText } from '../../base/span-text.ts';
import type { IncidentReport, IncidentSummary } from '../../contract/incident-report.ts';
import type { Incident } from '../../contract/incidents.ts';
import { todoOf } from './advice.ts';
import { timesOf } from './times.ts';

export function summaryOf(incident: Incident): IncidentSummary {
  const { id, state, diagnosis, replica, summary, openedAtMs, closedAtMs, remedies, clients, evidence } =
    incident;
  return {
    ...{ id, state, replica, summary, openedAtMs, closedAtMs },
    class: diagnosis.class,
    confidence: diagnosis.confidence,
    times: timesOf(incident),
    remedies: remedies.map(({ remedy }) => remedy),
    requestsFailed: clients.requestsFailed,
    hasEvidence: evidence !== null,
  };
}

export function reportOf(incident: Incident): IncidentReport {
  return { ...incident, title: titleOf(incident), times: timesOf(incident), todo: todoOf(incident) };
}

function titleOf(incident: Incident): string {
  const { state, replica, diagnosis } = incident;
  const { recoverMs } = timesOf(incident);
  const end = recoverMs === null ? state : `recovered after ${spanText(recoverMs)}`;
  return `${diagnosis.class} at ${replica}, ${end}`;
}
