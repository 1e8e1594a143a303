/**
 * What batches cost clients, as figures: the whole system on two simulated replicas, in several shapes. Prints a table and
 * writes `results/batches-DATE-COMMIT.json`.
 *
 * Options: --rounds N (default 6), --only NAME
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { simulatorPool, startSystem } from '../tests/support/system-under-test.ts';
import { type BesideBatch, measureBesideBatch } from './beside-batch.ts';
import { median } from './statistics.ts';

interface Shape {
  name: string;
  about: string;
  /** Options of the simulators. */
  simulator: string[];
  stream: boolean;
  lines: number;
}

const SHAPES: Shape[] = [
  {
    name: 'whole',
    about: 'whole answers, an engine like a small fast one',
    simulator: [],
    stream: false,
    lines: 1_000,
  },
  { name: 'stream', about: 'streams, the same engine', simulator: [], stream: true, lines: 1_000 },
  {
    name: 'costly',
    about: 'whole answers, an engine on which each sequence costs 2 % of a step',
    simulator: ['--sequence-ms', '0.2'],
    stream: false,
    // Few run at once there.
    lines: 150,
  },
];

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '6' }, only: { type: 'string' } },
});
const rounds = Number(values.rounds);
const results: Record<string, BesideBatch> = {};
for (const { name, about, simulator, stream, lines } of SHAPES) {
  if (values.only !== undefined && values.only !== name) continue;
  const system = await startSystem({ models: [simulatorPool('sim', 2, ['--seed', '7', ...simulator])] });
  try {
    const result = await measureBesideBatch({
      origin: system.url(),
      model: 'sim',
      rounds,
      quietMs: 8_000,
      lines,
      lineTokens: 60,
      clients: 12,
      clientTokens: 20,
      stream,
    });
    results[name] = result;
    console.log(
      `${name}: ${about}\n${line('alone', result.alone)}\n${line('beside', result.beside)}\n${ratios(result)}`,
    );
  } finally {
    await system.stop();
  }
}
save();

function line(name: string, phases: BesideBatch['alone']): string {
  const of = (pick: (phase: BesideBatch['alone'][number]) => number) =>
    phases.map((phase) => pick(phase).toFixed(0)).join(' ');
  return `  ${name.padEnd(7)} p50 ${of(({ p50Ms }) => p50Ms)} ms, p99 ${of(({ p99Ms }) => p99Ms)} ms, took ${of(({ durationMs }) => durationMs / 1000)} s`;
}

function ratios({ alone, beside, failed, linesFailed }: BesideBatch): string {
  const ratio = (pick: (phase: BesideBatch['alone'][number]) => number) =>
    (median(beside.map(pick)) / median(alone.map(pick))).toFixed(3);
  return `  ratio of the medians: p50 ${ratio(({ p50Ms }) => p50Ms)}, p99 ${ratio(({ p99Ms }) => p99Ms)}; failed: ${failed} answers, ${linesFailed} lines`;
}

function save(): void {
  const { stdout } = spawnSync('git', ['rev-parse', '--short', 'HEAD'], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
  });
  const at = new Date().toISOString();
  const file = join(import.meta.dirname, 'results', `batches-${at.slice(0, 10)}-${stdout.trim()}.json`);
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version };
  writeFileSync(file, `${JSON.stringify({ at, commit: stdout.trim(), machine, results }, null, 1)}\n`);
  console.log(file);
}
