/** The figures of a run as an SVG bar chart: CPU per unit of each scenario, target beside target. Pure. */
import type { Figure } from './report.ts';

const WIDTH = 720;
const ROW = 26;
const LEFT = 150;
/** The rest is for the figure behind the longest bar. */
const BAR_MAX = WIDTH - LEFT - 220;
const COLORS: Record<string, string> = { nginx: '#7a8794', gateway: '#2f6fdb' };

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}

/** Each scenario has its own scale: the longest bar is its dearest target. */
export function chart(figures: readonly Figure[], caption: string): string {
  const bars = figures.filter((figure) => figure.cpuUs !== null);
  const rows = bars.map((figure, index) => {
    const most = Math.max(
      ...bars.filter(({ scenario }) => scenario === figure.scenario).map(({ cpuUs }) => cpuUs?.min ?? 0),
    );
    const us = figure.cpuUs?.min ?? 0;
    const width = Math.max(1, Math.round((us / most) * BAR_MAX));
    const y = 48 + index * ROW;
    const ratio =
      figure.ratioToNginx === null || figure.target === 'nginx'
        ? ''
        : ` (${figure.ratioToNginx.toFixed(2)} × nginx)`;
    return (
      `<text x="${LEFT - 8}" y="${y + 14}" text-anchor="end">${escaped(`${figure.scenario} ${figure.target}`)}</text>` +
      `<rect x="${LEFT}" y="${y}" width="${width}" height="${ROW - 8}" fill="${COLORS[figure.target] ?? '#999999'}"/>` +
      `<text x="${LEFT + width + 6}" y="${y + 14}">${us.toFixed(1)} µs/${figure.unit}${ratio}</text>`
    );
  });
  const height = 64 + bars.length * ROW;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
<text x="16" y="24" font-size="14" font-weight="bold">CPU per request or relayed chunk (least of all repetitions)</text>
<text x="16" y="40" fill="#666666">${escaped(caption)}</text>
${rows.join('\n')}
</svg>
`;
}
