/**
 * The soak: does anything grow, and is anything lost, while an engine dies every 15 seconds? Prints a table and writes
 * `results/local/soak.json`; exit code 1 when a figure is not as it must be. Linux only, like the bench.
 *
 * Options: --minutes N (default 20), --warm-up N (default a quarter), --factor N (times 20 requests a second; default 3),
 * --leak N (MB a minute that the gateway is made to lose, to see whether the soak notices)
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { interval, type ProcessFigures } from './soak/figures.ts';
import { runSoak, type SoakResult } from './soak/run-soak.ts';
import type { Trend } from './soak/trend.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    'warm-up': { type: 'string' },
    factor: { type: 'string', default: '3' },
    leak: { type: 'string', default: '0' },
  },
});
const minutes = Number(values.minutes);
const result = await runSoak({
  minutes,
  warmUpMinutes: Number(values['warm-up'] ?? minutes / 4),
  factor: Number(values.factor),
  leakMbPerMinute: Number(values.leak),
  onProgress: (line) => console.log(line),
});
print(result);
save(result);
process.exitCode = result.problems.length === 0 ? 0 : 1;

function print({ load, kills, killsLeftOut, restarts, processes, problems }: SoakResult): void {
  console.log(`\n${kills} kills (${killsLeftOut} left out), ${restarts} restarts\n`);
  console.log(
    'lane'.padEnd(10),
    'sent'.padStart(8),
    'completed'.padStart(10),
    'left'.padStart(6),
    'lost'.padStart(6),
  );
  for (const [lane, { sent, completed, left, failures }] of Object.entries(load)) {
    const cells = [String(sent).padStart(8), String(completed).padStart(10), String(left).padStart(6)];
    console.log(lane.padEnd(10), ...cells, String(failures.length).padStart(6));
  }
  for (const figures of processes) printProcess(figures);
  console.log(problems.length === 0 ? '\npassed' : `\n${problems.join('\n')}`);
}

function printProcess({
  name,
  heapMb,
  externalMb,
  residentMb,
  fds,
  sockets,
  resources,
}: ProcessFigures): void {
  console.log(`\n${name.padEnd(24)}${'first'.padStart(10)}${'last'.padStart(10)}   slope per minute (95 %)`);
  const rows: [string, Trend][] = [
    ['heap, MB', heapMb],
    ['external, MB', externalMb],
    ['resident, MB', residentMb],
    ['descriptors', fds],
    ['sockets', sockets],
    ...Object.entries(resources),
  ];
  for (const [what, trend] of rows) {
    const ends = trend.first.toFixed(1).padStart(10) + trend.last.toFixed(1).padStart(10);
    console.log(`  ${what.padEnd(22)}${ends}   ${interval(trend)}`);
  }
}

function save(found: SoakResult): void {
  const git = spawnSync('git', ['rev-parse', '--short', 'HEAD'], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
  });
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version };
  const folder = join(import.meta.dirname, 'results', 'local');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'soak.json');
  writeFileSync(
    file,
    `${JSON.stringify({ at: new Date().toISOString(), commit: git.stdout.trim(), machine, ...found }, null, 1)}\n`,
  );
  console.log(file);
}
