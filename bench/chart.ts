/**
 * The figures of a run as an SVG picture: CPU of each scenario through that of nginx, with a mark where the goal is, and added
 * latency and memory below. Readable on light and dark pages. Pure.
 */
import { ratioGoal } from './goals.ts';
import type { Figure } from './report.ts';

const WIDTH = 760;
const ROW = 22;
const BAR = 14;
const GROUP_GAP = 10;
const LEFT = 190;
const BAR_MAX = 330;
/** Bars of peers that cost many times as much are cut off at so many times the gateway's own. */
const SCALE_OVER_GATEWAY = 1.5;

const STYLE = `
 svg { font: 12px sans-serif; --page: #ffffff; --ink: #1f2328; --faint: #59636e; --nginx: #818b98; --gateway: #0969da; --portkey: #bc4c00; --goal: #1a7f37 }
 @media (prefers-color-scheme: dark) {
  svg { --page: #0d1117; --ink: #f0f6fc; --faint: #9198a1; --nginx: #656c76; --gateway: #4493f8; --portkey: #db6d28; --goal: #3fb950 }
 }
 .page { fill: var(--page) } text { fill: var(--ink) } .faint { fill: var(--faint) } .title { font-size: 14px; font-weight: bold }
 .nginx { fill: var(--nginx) } .gateway { fill: var(--gateway) } .portkey { fill: var(--portkey) } .goal { stroke: var(--goal); stroke-width: 2 }
`;

const SCENARIO_TITLES: Record<string, string> = {
  U2: 'Unary, 2 KB',
  U20: 'Unary, 20 KB',
  P200: 'Chunk, 200 paced streams',
  S: 'Chunk, unpaced',
};

interface Group {
  title: string;
  bars: { target: string; value: number; label: string }[];
  goal: number | undefined;
}

export function chart(list: readonly Figure[], caption: string): string {
  const groups = cpuGroups(list);
  const notes = noteLines(list);
  let y = 62;
  const drawn = groups.map((group) => {
    const text = drawGroup(group, y);
    y += group.bars.length * ROW + GROUP_GAP;
    return text;
  });
  const noted = notes.map((note, index) => `<text x="16" y="${y + 16 + index * 18}">${escaped(note)}</text>`);
  const height = y + notes.length * 18 + 36;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}">
<style>${STYLE}</style>
<rect class="page" width="${WIDTH}" height="${height}"/>
<text x="16" y="24" class="title">CPU time per request or relayed chunk, nginx = 1</text>
<text x="16" y="42" class="faint">shorter is better; green line: goal</text>
${[...drawn, ...noted].join('\n')}
<text x="16" y="${height - 12}" class="faint">${escaped(caption)}</text>
</svg>
`;
}

function cpuGroups(list: readonly Figure[]): Group[] {
  const shown = list.filter(({ subject, ratioToNginx }) => subject === 'cpu' && ratioToNginx !== null);
  return [...new Set(shown.map(({ scenario }) => scenario))].map((scenario) => ({
    title: SCENARIO_TITLES[scenario] ?? scenario,
    goal: ratioGoal(scenario),
    bars: shown
      .filter((figure) => figure.scenario === scenario)
      .map(({ target, ratioToNginx, cpuUs }) => {
        const value = ratioToNginx?.least ?? 0;
        return { target, value, label: `${value.toFixed(2)} × (${cpuUs?.least.toFixed(1)} µs)` };
      }),
  }));
}

/** Each group has a scale of its own. */
function drawGroup({ title, bars, goal }: Group, top: number): string {
  const own = bars.find(({ target }) => target === 'gateway')?.value ?? 1;
  const scale = BAR_MAX / (Math.max(1, own, goal ?? 0) * SCALE_OVER_GATEWAY);
  const rows = bars.map(({ target, value, label }, index) => {
    const y = top + index * ROW;
    const isCut = value * scale > BAR_MAX;
    const width = Math.max(1, Math.round(Math.min(BAR_MAX, value * scale)));
    return (
      `<text x="${LEFT - 8}" y="${y + 11}" text-anchor="end">${escaped(index === 0 ? `${title}: ${target}` : target)}</text>` +
      `<rect class="${escaped(target)}" x="${LEFT}" y="${y}" width="${width}" height="${BAR}"/>` +
      `<text x="${LEFT + width + 6}" y="${y + 11}">${isCut ? '… ' : ''}${label}</text>`
    );
  });
  if (goal !== undefined) {
    const x = LEFT + Math.round(goal * scale);
    rows.push(
      `<line class="goal" x1="${x}" x2="${x}" y1="${top - 3}" y2="${top + bars.length * ROW - ROW + BAR + 3}"/>`,
    );
  }
  return rows.join('\n');
}

/** Latency and memory, which are figures of their own and no ratios. */
function noteLines(list: readonly Figure[]): string[] {
  const line = (title: string, text: (figure: Figure) => string | null) => {
    const parts = list.flatMap((figure) => {
      const found = text(figure);
      return found === null ? [] : [`${figure.target} ${found}`];
    });
    return parts.length === 0 ? [] : [`${title}: ${parts.join(', ')}`];
  };
  return [
    ...line('Added p50 at 500 requests per second', ({ subject, addedP50Ms }) =>
      subject === 'latency' && addedP50Ms !== null ? `${addedP50Ms.toFixed(2)} ms` : null,
    ),
    ...line('Memory of 1000 paced streams', ({ scenario, addedMbPer1000 }) =>
      scenario === 'M1000' && addedMbPer1000 !== null ? `${addedMbPer1000.toFixed(0)} MB` : null,
    ),
  ];
}

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}
