import picocolors from 'picocolors';
import { expect, it } from 'vitest';
import type { IncidentSummary } from '../contract/incident-report.ts';
import { renderEvidence, renderIncidents } from './incidents.ts';

const colors = picocolors.createColors(false);
const T = 1_800_000_000_000;

const summary: IncidentSummary = {
  ...{ id: 'inc_0mwycknyjerzf', state: 'given-up', class: 'gpu-lost', confidence: 0.9, replica: 'm/0' },
  ...{ summary: 'the GPU is gone', openedAtMs: T - 300_000, closedAtMs: T, remedies: [], requestsFailed: 2 },
  times: { detectMs: 4_100, isolateMs: 7, recoverMs: null },
  hasEvidence: true,
};

it('lists incidents with their times, and a dash for what is not known', () => {
  const [head, row] = renderIncidents([summary], { colors, nowMs: T }).split('\n');
  expect(head).toMatch(/^ID +STATE +CLASS +REPLICA +AGE +DETECTED +ISOLATED +RECOVERED +FAILED/);
  expect(row).toMatch(/^inc_0mwycknyjerzf +given-up +gpu-lost +m\/0 +5 min +4\.1 s +7 ms +- +2/);
  expect(renderIncidents([], { colors, nowMs: T })).toBe('no incidents');
});

it('lists the parts of evidence, where it lies, and why a part is missing', () => {
  const manifest = {
    ...{ format: 1 as const, incident: summary.id, replica: 'm/0', generation: 3, engine: 'vllm' },
    ...{ takenAtMs: T, tookMs: 90 },
    parts: [
      { name: 'log' as const, state: 'taken' as const, file: 'engine.log', bytes: 820, why: null },
      { name: 'gpu' as const, state: 'missing' as const, file: null, bytes: 0, why: 'it is\u001b[2J gone' },
    ],
  };
  const bundles = [
    { path: '/state/incidents/inc/evidence/1', manifest },
    { path: null, manifest },
  ];
  const text = renderEvidence({ incident: summary.id, path: null, bundles }, colors);
  expect(text).toContain(
    '/state/incidents/inc/evidence/1\nof m/0, start 3, taken 2027-01-15T08:00:00.000Z within 90 ms',
  );
  expect(text).toMatch(/log +taken +820 +engine\.log/);
  expect(text).toMatch(/gpu +missing +0 +- +it is\[2J gone/);
  expect(text).toContain('not on disk');
  expect(renderEvidence({ incident: 'inc_a', path: null, bundles: [] }, colors)).toContain(
    'no evidence of inc_a',
  );
});
