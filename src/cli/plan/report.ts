/** A plan in words: figures with their ranges, what decides, what is left when a replica is lost, and a plot. */
import type {
  Bound,
  Calibration,
  Estimate,
  Plan,
  PlannedSize,
  PlanQuestion,
} from '../../contract/planning.ts';
import { trimEnds, wrap } from '../fit.ts';
import { plainTable } from '../plain-table.ts';
import type { Colors, Terminal } from '../terminal.ts';
import { plotLoads } from './plot.ts';
import { count, milliseconds, percent, type Show } from './report-figures.ts';

const WIDTH_DEFAULT = 100;
const WIDTH_MIN = 60;

type Shown = Pick<Terminal, 'colors' | 'columns'>;

export function describePlan(question: PlanQuestion, plan: Plan, { colors, columns }: Shown): string {
  const width = Math.max(WIDTH_MIN, columns ?? WIDTH_DEFAULT);
  const paragraph = (text: string) => wrap(text, width - 2).map((line) => `  ${line}`);
  const section = (title: string, lines: string[]) => ['', colors.bold(title), ...lines];
  const { percentile } = question.objective;
  const lines = [
    headline(question, plan, colors),
    ...wrap(taskLine(question), width),
    '',
    figures(question, plan, colors),
    ...section(
      'What decides',
      [`${BOUND_WORDS[plan.bound.name]}: ${plan.bound.why}`, gainsLine(plan)].flatMap((line) =>
        paragraph(`${line}.`),
      ),
    ),
    ...section('One replica lost', paragraph(`${oneLostLine(question, plan)}.`)),
    ...section('Other sizes', [sizesTable(plan.sizes, plan, percentile, colors)]),
    ...section(
      `Time to first token (p${percentile}) by load, ${plan.replicas.expected} replicas`,
      plotLoads(question, plan, width - 2).map((line) => `  ${line}`),
    ),
    ...section('How sure', paragraph(errorLine(plan))),
    ...plan.warnings.flatMap((warning) => paragraph(`${warning}.`).map((line) => colors.yellow(line))),
  ];
  return trimEnds(lines.join('\n'));
}

const BOUND_WORDS: Record<Bound, string> = {
  compute: 'Throughput of the GPU',
  'memory-bandwidth': 'Memory bandwidth',
  'kv-capacity': 'Memory for the cache',
  'max-num-seqs': 'Sequences at once',
  'slo-ttft': 'The objective',
  'slo-itl': 'The objective',
  none: 'Nothing',
};

function headline({ gpu, model, weights }: PlanQuestion, plan: Plan, colors: Colors): string {
  const { tensorParallel, gpus } = plan;
  const replicas = plan.replicas.expected!;
  const each = tensorParallel === 1 ? gpu.name : `${tensorParallel} x ${gpu.name}`;
  const title = `${replicas} replica${replicas === 1 ? '' : 's'}`;
  const total = tensorParallel === 1 ? '' : `, ${gpus} GPUs in all`;
  return `${colors.bold(title)} of ${model.title} in ${weights}, each on ${each}${total}`;
}

function taskLine({ traffic, objective }: PlanQuestion): string {
  const { rate, promptTokens, outputTokens, lengths, arrivals, prefixHits } = traffic;
  const { ttftMs, itlMs, percentile } = objective;
  const cached = prefixHits === 0 ? '' : `, ${percent(prefixHits)} of the prompt cached`;
  const gaps = itlMs === null ? '' : ` and ${milliseconds(itlMs)} between tokens`;
  return (
    `for ${rate} requests/s (${arrivals}) of ${promptTokens} tokens in and ${outputTokens} out (${lengths}${cached}), ` +
    `with p${percentile} within ${milliseconds(ttftMs)} to the first token${gaps}`
  );
}

const OVERLOADED = 'overloaded';

function figures(question: PlanQuestion, plan: Plan, colors: Colors): string {
  const table = plainTable(['', 'EXPECTED', 'RANGE'], colors);
  const add = (name: string, estimate: Estimate, show: Show) => {
    const text = (value: number | null) => (value === null ? OVERLOADED : show(value));
    table.push([name, text(estimate.expected), `${text(estimate.best)} to ${text(estimate.worst)}`]);
  };
  const { replicas } = plan;
  table.push([
    'replicas needed',
    count(replicas.expected!),
    `${replicas.best} to ${replicas.worst ?? 'no number'}`,
  ]);
  add('utilisation', plan.utilisation, percent);
  add('time to first token, p50', plan.ttftMs.p50, milliseconds);
  add('time to first token, p99', plan.ttftMs.p99, milliseconds);
  add('gap between tokens, p50', plan.itlMs.p50, milliseconds);
  add('gap between tokens, p99', plan.itlMs.p99, milliseconds);
  add('whole answer, p50', plan.durationMs.p50, milliseconds);
  add('whole answer, p99', plan.durationMs.p99, milliseconds);
  add('tokens/s they could write', plan.outputTokensPerSecondMax, count);
  const { memory, cacheUsed, running } = plan;
  const certain = (name: string, value: string, note: string) => table.push([name, value, note]);
  certain('tokens/s they write', count(plan.outputTokensPerSecond), 'by the traffic');
  certain('highest rate within objective', `${count(plan.rateMax)} /s`, 'of the expected case');
  certain(
    'weights per replica',
    `${memory.weightsGiB.toFixed(1)} GiB`,
    `of ${memory.usableGiB.toFixed(1)} GiB that ${percent(question.limits.memoryShare)} of the memory are`,
  );
  certain(
    'cache per replica',
    `${count(memory.kvTokens)} tokens`,
    `${memory.kvGiB.toFixed(1)} GiB; ${percent(cacheUsed.mean)} used, ${percent(cacheUsed.peak)} at most`,
  );
  certain(
    'sequences at once',
    `${count(running.mean)}, at most ${running.peak}`,
    `room for ${count(memory.maxSequences)} of mean length`,
  );
  if (plan.preemptionsPercent >= 0.1)
    certain('preemptions', `${count(plan.preemptionsPercent)} %`, 'of the requests begin again');
  return table.toString();
}

function gainsLine({ gains }: Plan): string {
  const parts = [
    `throughput ${percent(gains.compute)}`,
    `memory bandwidth ${percent(gains.bandwidth)}`,
    `cache ${percent(gains.cache)}`,
    `sequences at once ${percent(gains.sequences)}`,
  ];
  return `At saturation a quarter more of each would add: ${parts.join(', ')}`;
}

function oneLostLine({ objective }: PlanQuestion, { oneLost }: Plan): string {
  const { replicas, utilisation, ttftMs, advice } = oneLost;
  if (replicas === 0) return advice;
  const time =
    ttftMs === null
      ? 'the queue grows'
      : `p${objective.percentile} to the first token is ${milliseconds(ttftMs)}`;
  const remaining = replicas === 1 ? '1 remains' : `${replicas} remain`;
  return `${remaining}, at ${percent(utilisation)} of their capacity: ${time}; ${advice}`;
}

function sizesTable(sizes: readonly PlannedSize[], plan: Plan, percentile: number, colors: Colors): string {
  const table = plainTable(
    ['  REPLICAS', 'UTILISATION', `FIRST TOKEN P${percentile}`, `GAP P${percentile}`, 'OBJECTIVE'],
    colors,
  );
  for (const { replicas, utilisation, ttftMs, itlMs, holds } of sizes)
    table.push([
      `${replicas === plan.replicas.expected ? '> ' : '  '}${replicas}`,
      percent(utilisation),
      // What is measured of a queue that grows only says how long was looked.
      utilisation >= 1 ? OVERLOADED : milliseconds(ttftMs.objective),
      utilisation >= 1 ? OVERLOADED : milliseconds(itlMs.objective),
      holds ? colors.green('holds') : colors.red('missed'),
    ]);
  return table.toString();
}

function errorLine({ error }: Plan): string {
  const range =
    error.shorter === error.longer
      ? `±${percent(error.longer)}`
      : `-${percent(error.shorter)} to +${percent(error.longer)}`;
  return error.measured
    ? `Measured: a step takes what the model says ${range} (${error.why}); the ranges are runs at these ends.`
    : `First principles, not measured: expect ${range} on each step, because ${error.why}. The ranges are runs at these ends. \`autoglm plan --calibrate FILE\` narrows them.`;
}

const COST_WORDS = {
  c0: 'ms per step',
  c1: 'ms per token of prefill',
  c2: 'ms per squared token of prefill',
  c3: 'ms per sequence that decodes',
  c4: 'ms per token of its context',
} as const;

export function describeCalibration(calibration: Calibration, colors: Colors): string {
  const { costs, steps, rSquared, meanError, worst, undetermined, measuredTo } = calibration;
  const table = plainTable(['', 'COST', ''], colors);
  for (const [name, meaning] of Object.entries(COST_WORDS)) {
    const cost = name as keyof typeof COST_WORDS;
    table.push([name, undetermined.includes(cost) ? 'unknown' : costs[cost].toPrecision(3), meaning]);
  }
  return [
    `${colors.bold('fit')} over ${steps} measured steps`,
    table.toString(),
    `R² ${rSquared.toFixed(4)}, mean absolute error ${(meanError * 100).toFixed(1)} %`,
    `worst step: ${milliseconds(worst.stepMs)} measured, ${milliseconds(worst.predictedMs)} by the fit ` +
      `(${worst.prefillTokens} tokens of prefill, ${worst.decodeBatch} sequences, ${worst.decodeContext} tokens of context)`,
    `measured up to ${measuredTo.prefillTokens} tokens of prefill, ${measuredTo.decodeBatch} sequences, ` +
      `${measuredTo.decodeContext} tokens of context`,
    ...(undetermined.length === 0
      ? []
      : [
          colors.yellow(
            `these steps say nothing about ${undetermined.join(', ')}: measure steps in which that load varies by itself`,
          ),
        ]),
  ].join('\n');
}
