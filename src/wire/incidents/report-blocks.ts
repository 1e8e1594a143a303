/** The report of an incident in blocks, before anybody decides how they look. */
import { spanText } from '../../base/span-text.ts';
import { FAULTS } from '../../contract/faults.ts';
import type { IncidentReport } from '../../contract/incident-report.ts';
import { REMEDIES } from '../../contract/remedies.ts';

export type ReportBlock =
  | { kind: 'title' | 'heading' | 'paragraph'; text: string }
  | { kind: 'list'; items: string[] }
  | { kind: 'table'; head: string[]; rows: string[][] };

const REPEATED_MIN = 30;
/** A shorter silence is no news. */
const SILENCE_MS = 1_000;

const STATES: Record<IncidentReport['state'], string> = {
  open: 'is open: found, and nothing was done about it so far',
  healing: 'is open: a remedy is under way',
  recovered: 'is over: the replica serves again',
  'given-up': 'is over for the machine: the replica stays down until a person acts',
  'stood-down': 'was ended from outside, by a person, by the configuration or by a new node process',
};

export function blocksOf(incident: IncidentReport): ReportBlock[] {
  return blocksOfShort({ ...incident, ...withoutRepetition(incident) });
}

/** What was found stands at the top; remedies and changes of state give it as their reason again and again. */
function withoutRepetition({
  summary,
  diagnosis,
  remedies,
  timeline,
}: IncidentReport): Pick<IncidentReport, 'remedies' | 'timeline'> {
  const short = (text: string) =>
    summary.length < REPEATED_MIN ? text : text.replaceAll(summary, diagnosis.class);
  return {
    remedies: remedies.map((trial) => ({
      ...trial,
      because: short(trial.because),
      detail: trial.detail === null ? null : short(trial.detail),
    })),
    timeline: timeline.map((line) => ({ ...line, text: short(line.text) })),
  };
}

function blocksOfShort(incident: IncidentReport): ReportBlock[] {
  return [
    { kind: 'title', text: `Incident ${incident.id}: ${incident.title}` },
    {
      kind: 'paragraph',
      text: `At ${at(incident.openedAtMs)} something was found wrong with replica ${incident.replica} of ${incident.pool}: ${incident.summary}. The incident ${STATES[incident.state]}.${
        incident.drill === null ? '' : ` It was brought about by the drill ${incident.drill}.`
      }`,
    },
    { kind: 'heading', text: 'What to do now' },
    { kind: 'list', items: incident.todo },
    { kind: 'heading', text: 'How long it took' },
    timesTable(incident),
    { kind: 'heading', text: 'What clients felt' },
    { kind: 'list', items: feltBy(incident) },
    ...diagnosisBlocks(incident),
    ...remedyBlocks(incident),
    { kind: 'heading', text: 'Time line' },
    timeLine(incident),
    { kind: 'heading', text: 'Evidence' },
    {
      kind: 'paragraph',
      text:
        incident.evidence === null
          ? 'None was taken.'
          : `In \`${incident.evidence}\` of the state directory; \`autoglm incidents evidence ${incident.id}\` lists it.`,
    },
  ];
}

function timesTable({ times }: IncidentReport): ReportBlock {
  const row = (what: string, ms: number | null, meaning: string) => [
    what,
    ms === null ? 'not known' : spanText(ms),
    meaning,
  ];
  return {
    kind: 'table',
    head: ['', 'time', 'from - to'],
    rows: [
      row('to detect', times.detectMs, 'last sign of life - found'),
      row('to isolate', times.isolateMs, 'found - no new requests'),
      row('to recover', times.recoverMs, 'found - serves again'),
    ],
  };
}

function feltBy({ clients, times }: IncidentReport): string[] {
  const { attemptsFailed, streamsContinued, gapMaxMs, requestsFailed } = clients;
  const total = (counts: Readonly<Record<string, number>>) =>
    Object.values(counts).reduce((sum, count) => sum + count, 0);
  const parts = (counts: Readonly<Record<string, number>>, name: (key: string) => string) =>
    Object.entries(counts)
      .map(([key, count]) => `${count} ${name(key)}`)
      .join(', ');
  // Whoever waited for an engine that made no step was not cut before it was found.
  const before =
    times.detectMs !== null && times.detectMs >= SILENCE_MS
      ? `, and before the cut they may have been silent since the last sign of life, for ${spanText(times.detectMs)}`
      : '';
  const attempts = total(attemptsFailed);
  const streams = total(streamsContinued);
  return [
    requestsFailed === 0
      ? 'No request failed for its client.'
      : `Requests that failed for their clients: ${requestsFailed}.`,
    streams === 0
      ? 'No stream had to be continued elsewhere.'
      : `Streams that were continued elsewhere: ${streams} (${parts(streamsContinued, (tier) => `by tier ${tier}`)}); from the cut to the next token it took ${spanText(gapMaxMs ?? 0)} at most${before}.`,
    attempts === 0
      ? 'No attempt on the replica failed.'
      : `Attempts on the replica that failed: ${attempts} (${parts(attemptsFailed, (failure) => failure)}).`,
  ];
}

function diagnosisBlocks(incident: IncidentReport): ReportBlock[] {
  const { class: found, confidence, evidence, ruledOut } = incident.diagnosis;
  const fault = known(FAULTS, found);
  const what = fault === null ? 'something is wrong, and it is not known what' : fault.meaning;
  return [
    { kind: 'heading', text: 'Diagnosis' },
    {
      kind: 'paragraph',
      text: `**${found}**, with confidence ${confidence.toFixed(2)} of 1: ${what}.`,
    },
    evidence.length === 0
      ? { kind: 'paragraph', text: 'Nothing was named as evidence.' }
      : {
          kind: 'list',
          items: evidence.map(({ signal, text, line, times }) => {
            const where = line === undefined ? '' : ` (line ${line})`;
            const often = times === undefined || times < 2 ? '' : `, ${times} times`;
            return `${signal}: ${text}${where}${often}`;
          }),
        },
    ...(ruledOut.length === 0
      ? []
      : ([
          { kind: 'paragraph', text: 'Ruled out:' },
          { kind: 'list', items: ruledOut.map(({ class: other, why }) => `${other}: ${why}`) },
        ] satisfies ReportBlock[])),
  ];
}

function remedyBlocks({ remedies }: IncidentReport): ReportBlock[] {
  const heading: ReportBlock = { kind: 'heading', text: 'Remedies' };
  if (remedies.length === 0) return [heading, { kind: 'paragraph', text: 'None was tried.' }];
  const result = (helped: boolean | null) =>
    helped === null ? 'under way' : helped ? 'helped' : 'did not help';
  const meanings = [...new Set(remedies.map(({ remedy }) => remedy))].flatMap((name) => {
    const spec = known(REMEDIES, name);
    return spec === null ? [] : [`${name}: ${spec.meaning}`];
  });
  return [
    heading,
    {
      kind: 'table',
      head: ['step', 'remedy', 'because', 'took', 'result', 'detail'],
      rows: remedies.map(({ step, remedy, because, startedAtMs, endedAtMs, helped, detail }) => [
        String(step),
        remedy,
        because,
        endedAtMs === null ? '-' : spanText(Math.max(0, endedAtMs - startedAtMs)),
        result(helped),
        detail ?? '-',
      ]),
    },
    { kind: 'list', items: meanings },
  ];
}

function timeLine({ timeline, openedAtMs }: IncidentReport): ReportBlock {
  return {
    kind: 'table',
    head: ['offset', 'time (UTC)', 'source', 'what'],
    rows: timeline.map(({ atMs, source, text }) => [
      offset(atMs - openedAtMs),
      at(atMs).slice(11, -1),
      source,
      text,
    ]),
  };
}

/** `+1.250 s` */
function offset(ms: number): string {
  const rounded = Math.round(ms);
  return `${rounded < 0 ? '-' : '+'}${(Math.abs(rounded) / 1000).toFixed(3)} s`;
}

function at(ms: number): string {
  return new Date(ms).toISOString();
}

function known<Table extends object>(table: Table, name: string): Table[keyof Table] | null {
  return Object.hasOwn(table, name) ? table[name as keyof Table] : null;
}
