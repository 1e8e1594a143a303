/** Results of a run on disk: raw repetitions and figures as JSON, the figures as a picture. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { chart } from './chart.ts';
import type { Figure, Repetition } from './report.ts';
import type { Scenario } from './scenario.ts';

export interface RunResult {
  at: string;
  commit: string;
  machine: {
    cpu: string;
    cores: number;
    memoryGb: number;
    kernel: string;
    node: string;
    nginx: string;
    portkey: string | null;
    /** Whether load and measured process had a processor each. */
    pinned: boolean;
  };
  scenarios: Scenario[];
  figures: Figure[];
  repetitions: Repetition[];
}

const FOLDER = join(import.meta.dirname, 'results');
const NAME = 'gateway';
/** Of runs that are not kept; ignored by git. */
const LOCAL_FOLDER = join(FOLDER, 'local');

export function machine(
  of: Pick<RunResult['machine'], 'nginx' | 'portkey' | 'pinned'>,
): RunResult['machine'] {
  const list = cpus();
  return {
    cpu: list[0]?.model ?? 'unknown',
    cores: list.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    ...of,
  };
}

export function commit(): string {
  const { stdout } = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: FOLDER, encoding: 'utf8' });
  return stdout?.trim() || 'unknown';
}

/** Null when no result was ever kept. */
export function readKept(): RunResult | null {
  const file = join(FOLDER, `${NAME}.json`);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as RunResult) : null;
}

/** Returns the path of the JSON file; the picture has the same name. */
export function writeResult(result: RunResult, { keep }: { keep: boolean }): string {
  const folder = keep ? FOLDER : LOCAL_FOLDER;
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${NAME}.json`);
  writeFileSync(file, `${JSON.stringify(result, null, 1)}\n`);
  const { cpu, cores, node } = result.machine;
  writeFileSync(
    join(folder, `${NAME}.svg`),
    chart(
      result.figures,
      `${cpu}, ${cores} cores, Node ${node}, ${result.at.slice(0, 10)}, ${result.commit}`,
    ),
  );
  return file;
}
