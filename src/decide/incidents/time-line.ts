/** The time line of an incident: in the order of time, bounded, and with many equal things of clients as one line. */
import type { Incident } from '../../contract/incidents.ts';

type Line = Incident['timeline'][number];

const LINES_MAX = 200;
/** The beginning is never left out. */
const FIRST_KEPT = 60;
const CHARACTERS_MAX = 2_000;

export function withLine(incident: Incident, line: Line): Incident {
  const text = shortened(line.text);
  const behind = incident.timeline.findLastIndex(({ atMs }) => atMs <= line.atMs) + 1;
  const timeline = incident.timeline.toSpliced(behind, 0, { ...line, text });
  return { ...incident, timeline: bounded(timeline) };
}

export function shortened(text: string): string {
  return text.length > CHARACTERS_MAX ? `${text.slice(0, CHARACTERS_MAX)} …` : text;
}

/** One line stands for all that `isSame` is true of; `text` is what it says now. */
export function withCountedLine(incident: Incident, line: Line, isSame: (text: string) => boolean): Incident {
  const found = incident.timeline.findIndex(({ source, text }) => source === line.source && isSame(text));
  if (found < 0) return withLine(incident, line);
  const former = incident.timeline[found] as Line;
  return { ...incident, timeline: incident.timeline.with(found, { ...former, text: line.text }) };
}

/** Leaves out the oldest line behind the beginning; what says how many are missing stands in its place. */
function bounded(timeline: Line[]): Line[] {
  const [first, second] = timeline.slice(FIRST_KEPT);
  if (timeline.length <= LINES_MAX || first === undefined || second === undefined) return timeline;
  const isNote = first.source === 'report';
  const missing = isNote ? Number.parseInt(first.text, 10) + 1 : 2;
  const note = { atMs: first.atMs, source: 'report', text: `${missing} lines are left out here` };
  return timeline.toSpliced(FIRST_KEPT, 2, note);
}
