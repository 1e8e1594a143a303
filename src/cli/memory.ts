/** `autoglm memory`: who holds the memory of GPUs and host, whether engines grow, and what to do about it. */
import { loadConfig } from '../assembly/config/load-config.ts';
import { resolveConfig } from '../assembly/config/resolve-config.ts';
import { readMemoryReport } from '../assembly/memory-report.ts';
import { systemClock } from '../base/clock.ts';
import type { EngineMemory, GpuMemory, MemoryReport } from '../contract/memory-report.ts';
import type { CommandContext, CommonOptions } from './command-context.ts';
import { wrap } from './fit.ts';
import { plainTable } from './plain-table.ts';
import { printable, type Terminal } from './terminal.ts';

export interface MemoryOptions extends CommonOptions {
  /** Seconds. */
  for?: number;
}

export async function memory(
  options: MemoryOptions,
  { environment, terminal }: CommandContext,
): Promise<void> {
  const config = resolveConfig(loadConfig(options.config, environment));
  const seconds = options.for ?? 0;
  const interrupted = new AbortController();
  const onInterrupt = () => interrupted.abort();
  process.once('SIGINT', onInterrupt);
  if (seconds > 0 && process.stderr.isTTY)
    terminal.complain(`watching for ${seconds} s; Ctrl-C shows what was seen up to then`);
  try {
    const report = await readMemoryReport({
      config,
      clock: systemClock,
      watchMs: seconds * 1000,
      signal: interrupted.signal,
    });
    if (options.json === true) terminal.print(JSON.stringify(report, null, 2));
    else terminal.print(renderMemory(report, terminal, seconds > 0).join('\n'));
  } finally {
    process.off('SIGINT', onInterrupt);
  }
}

const WIDTH_DEFAULT = 110;
const WIDTH_MIN = 60;

/** Pure, so that a test can read it. */
export function renderMemory(
  report: MemoryReport,
  { colors, columns }: Pick<Terminal, 'colors' | 'columns'>,
  wasWatched: boolean,
): string[] {
  const width = Math.max(WIDTH_MIN, columns ?? WIDTH_DEFAULT);
  const { gpus, engines, host, advice, unavailable } = report;
  const paragraph = (text: string, mark: string) =>
    wrap(printable(text), width - 4).map((line, index) => `${index === 0 ? mark : ' '} ${line}`);
  return [
    ...(gpus.length === 0 ? [colors.dim('no GPU is seen here')] : gpuTable(gpus, colors)),
    '',
    ...(engines.length === 0
      ? [colors.dim('no engine of this installation runs here')]
      : engineTable(engines, colors)),
    '',
    `host      ${bytes(host.freeBytes)} free, shared memory ${bytes(host.shmFreeBytes)} free`,
    ...(wasWatched || engines.length === 0
      ? []
      : [colors.dim('growth: watch for a minute or more with --for 60')]),
    '',
    ...(advice.length === 0
      ? [colors.green('nothing to do')]
      : [colors.bold('What to do'), ...advice.flatMap((text) => paragraph(text, colors.yellow('-')))]),
    ...(unavailable.length === 0
      ? []
      : ['', colors.bold('Not seen'), ...unavailable.flatMap((text) => paragraph(text, colors.dim('-')))]),
  ];
}

function gpuTable(gpus: readonly GpuMemory[], colors: Terminal['colors']): string[] {
  const table = plainTable(['GPU', 'TOTAL', 'USED', 'FREE', 'PID', 'HOLDS', 'WHOSE', 'PROGRAM'], colors);
  for (const gpu of gpus) {
    const name = `${gpu.id} ${gpu.name ?? ''}`.trim();
    const own = [
      printable(name),
      bytes(gpu.totalBytes),
      gpu.reachable ? bytes(gpu.usedBytes) : colors.red('unreachable'),
      bytes(gpu.freeBytes),
    ];
    const [first, ...rest] = gpu.holders.map(({ pid, name: program, bytes: held, whose, replica }) => [
      String(pid),
      bytes(held),
      whose === 'engine'
        ? (replica ?? 'engine')
        : colors.yellow(replica === undefined ? whose : `${whose} of ${replica}`),
      printable(program),
    ]);
    table.push([...own, ...(first ?? ['-', '-', '-', '-'])]);
    for (const holder of rest) table.push(['', '', '', '', ...holder]);
  }
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd());
}

function engineTable(engines: readonly EngineMemory[], colors: Terminal['colors']): string[] {
  const table = plainTable(
    ['REPLICA', 'ENGINE', 'PID', 'HOST', 'GROWTH/H', 'LIMIT', 'GPU', 'GROWTH/H'],
    colors,
  );
  for (const engine of engines) {
    table.push([
      printable(engine.replica),
      engine.engine,
      engine.pid === null ? '-' : String(engine.pid),
      bytes(engine.hostBytes),
      growth(engine.hostGrowthBytesPerHour),
      bytes(engine.limitBytes),
      bytes(engine.gpuBytes),
      growth(engine.gpuGrowthBytesPerHour),
    ]);
  }
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd());
}

function bytes(value: number | null): string {
  if (value === null) return '-';
  return value >= 2 ** 30 ? `${(value / 2 ** 30).toFixed(1)} GiB` : `${Math.round(value / 2 ** 20)} MiB`;
}

function growth(value: number | null): string {
  return value === null ? '-' : `+${bytes(value)}`;
}
