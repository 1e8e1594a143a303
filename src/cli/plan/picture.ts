/** The picture of a plan as SVG: on the left the time to first token by the number of replicas, on the right by the load. */
import type { LoadPoint, Plan, PlannedSize, PlanQuestion } from '../../contract/planning.ts';
import { timeAxis } from './plot.ts';
import { count, milliseconds, percent } from './report-figures.ts';

const WIDTH = 860;
const HEIGHT = 420;
const TOP = 96;
const BOTTOM = 330;
const LEFT_PANEL = { from: 80, to: 400 };
const RIGHT_PANEL = { from: 500, to: 820 };
const GOOD = '#1a7f4b';
const BAD = '#b3261e';
const INK = '#1f2328';
const FAINT = '#6e7781';
const LEGEND =
  'Times on a logarithmic scale. Green holds the objective; red misses it, or is fuller than 95 % of the capacity.';

const escaped = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
const at = (value: number) => value.toFixed(1);

function text(x: number, y: number, words: string, attributes = ''): string {
  return `<text x="${at(x)}" y="${at(y)}" ${attributes}>${escaped(words)}</text>`;
}

function line(x1: number, y1: number, x2: number, y2: number, attributes: string): string {
  return `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" ${attributes}/>`;
}

export function drawPlanSvg(question: PlanQuestion, plan: Plan): string {
  const { traffic, gpu, model, weights, objective } = question;
  const { replicas, tensorParallel, sizes, loads, error } = plan;
  const { low, high } = timeAxis([...loads, ...sizes.map(pointOfSize)], objective.ttftMs);
  const y = (ms: number) => {
    const share = Math.log(Math.min(high, Math.max(low, ms)) / low) / Math.log(high / low);
    return BOTTOM - share * (BOTTOM - TOP);
  };
  const axis = { low, high, y };
  const each = tensorParallel === 1 ? gpu.name : `${tensorParallel} x ${gpu.name}`;
  const title = `${replicas.expected} x ${model.title} in ${weights} on ${each}: ${traffic.rate} requests/s, ${traffic.promptTokens} tokens in, ${traffic.outputTokens} out`;
  const source = error.measured ? 'measured steps' : 'first principles, not measured';
  const most = replicas.worst ?? 'no number of';
  const range = replicas.best === most ? `${most} replicas` : `${replicas.best} to ${most} replicas`;
  const note = `${source}: a step may be ${percent(error.shorter)} shorter or ${percent(error.longer)} longer, which makes ${range}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" font-family="system-ui, sans-serif" font-size="13" fill="${INK}">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    text(24, 30, title, 'font-size="16" font-weight="600"'),
    text(24, 50, note, `fill="${FAINT}"`),
    ...sizesPanel(sizes, plan, question, axis),
    ...loadsPanel(loads, question, axis),
    text(24, HEIGHT - 8, LEGEND, `font-size="11" fill="${FAINT}"`),
    '</svg>\n',
  ].join('\n');
}

function pointOfSize({ ttftMs, holds }: PlannedSize): LoadPoint {
  return { rate: 0, ttftMs: ttftMs.objective, holds };
}

interface Axis {
  low: number;
  high: number;
  y(ms: number): number;
}

/** 1, 2 and 5 of each power of ten, without those that would stand in the label of the objective. */
function ticks({ low, high, y }: Axis, objectiveMs: number): number[] {
  const found: number[] = [];
  for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10)
    for (const factor of [1, 2, 5]) found.push(power * factor);
  return found.filter((ms) => ms >= low && ms <= high && Math.abs(y(ms) - y(objectiveMs)) > 12);
}

function frame(
  { from, to }: typeof LEFT_PANEL,
  { objective }: PlanQuestion,
  axis: Axis,
  title: string,
): string[] {
  const { y } = axis;
  const objectiveY = y(objective.ttftMs);
  return [
    text(from, TOP - 16, title, 'font-weight="600"'),
    line(from, BOTTOM, to, BOTTOM, `stroke="${INK}"`),
    line(from, TOP, from, BOTTOM, `stroke="${INK}"`),
    ...ticks(axis, objective.ttftMs).flatMap((ms) => [
      line(from - 4, y(ms), from, y(ms), `stroke="${INK}"`),
      text(from - 8, y(ms) + 4, milliseconds(ms), `text-anchor="end" font-size="11" fill="${FAINT}"`),
    ]),
    line(from, objectiveY, to, objectiveY, `stroke="${BAD}" stroke-dasharray="6 4"`),
    text(from - 8, objectiveY + 4, milliseconds(objective.ttftMs), `text-anchor="end" fill="${BAD}"`),
  ];
}

function sizesPanel(
  sizes: readonly PlannedSize[],
  { replicas }: Plan,
  question: PlanQuestion,
  axis: Axis,
): string[] {
  const { y } = axis;
  const { from, to } = LEFT_PANEL;
  const slot = (to - from) / sizes.length;
  const bars = sizes.flatMap(({ replicas: size, ttftMs, holds, utilisation }, index) => {
    const top = y(ttftMs.objective);
    const middle = from + slot * (index + 0.5);
    const isChosen = size === replicas.expected;
    const width = slot * 0.56;
    return [
      `<rect x="${at(middle - width / 2)}" y="${at(top)}" width="${at(width)}" height="${at(BOTTOM - top)}" fill="${holds ? GOOD : BAD}" fill-opacity="${isChosen ? '1' : '0.45'}"/>`,
      text(
        middle,
        top - 5,
        utilisation >= 1 ? 'overloaded' : milliseconds(ttftMs.objective),
        'text-anchor="middle" font-size="11"',
      ),
      text(middle, BOTTOM + 18, String(size), `text-anchor="middle"${isChosen ? ' font-weight="700"' : ''}`),
      text(middle, BOTTOM + 34, percent(utilisation), `text-anchor="middle" font-size="11" fill="${FAINT}"`),
    ];
  });
  const { percentile } = question.objective;
  return [
    ...frame(LEFT_PANEL, question, axis, `time to first token, p${percentile}, by number of replicas`),
    ...bars,
    text(
      (from + to) / 2,
      BOTTOM + 54,
      'replicas, and how much of their capacity is used',
      'text-anchor="middle"',
    ),
  ];
}

function loadsPanel(loads: readonly LoadPoint[], question: PlanQuestion, axis: Axis): string[] {
  const { y } = axis;
  const { from, to } = RIGHT_PANEL;
  const rateMax = loads.at(-1)!.rate * 1.02;
  const x = (rate: number) => from + (rate / rateMax) * (to - from);
  const { rate } = question.traffic;
  const isLeft = rate < rateMax / 2;
  const path = loads.map(
    (point, index) => `${index === 0 ? 'M' : 'L'}${at(x(point.rate))} ${at(y(point.ttftMs))}`,
  );
  return [
    ...frame(RIGHT_PANEL, question, axis, 'the same, by load on the chosen fleet'),
    line(x(rate), TOP, x(rate), BOTTOM, `stroke="${FAINT}" stroke-dasharray="2 4"`),
    text(
      x(rate) + (isLeft ? 6 : -6),
      TOP + 10,
      `${rate} /s planned`,
      `text-anchor="${isLeft ? 'start' : 'end'}" fill="${FAINT}"`,
    ),
    text(to, BOTTOM + 18, `${count(rateMax)} /s`, 'text-anchor="end"'),
    text(from, BOTTOM + 18, '0'),
    text((from + to) / 2, BOTTOM + 54, 'requests per second', 'text-anchor="middle"'),
    `<path d="${path.join(' ')}" fill="none" stroke="${INK}" stroke-width="1.5"/>`,
    ...loads.map(
      (point) =>
        `<circle cx="${at(x(point.rate))}" cy="${at(y(point.ttftMs))}" r="4" fill="${point.holds ? GOOD : BAD}"/>`,
    ),
  ];
}
