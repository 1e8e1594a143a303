/**
 * Runs the bench: mock engine, load client, and in between nothing, nginx or the gateway. Repetitions are interleaved, so that what
 * disturbs the machine disturbs all targets alike. Writes `results/*.json` (raw) and `.svg`, prints a table.
 *
 * Options: --quick (short, once, nothing written), --repetitions N, --only U2,P200
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chart } from './chart.ts';
import { cpuUs, processTree, residentMb } from './cpu-time.ts';
import { runLoad } from './load-client.ts';
import { type Figure, figures, type Repetition, table } from './report.ts';
import { loadScenarios, requestBody, type Scenario, shortened } from './scenario.ts';
import { summarize } from './statistics.ts';
import {
  findNginx,
  hasTaskset,
  LOAD_CPU,
  portOf,
  start,
  startGateway,
  startNginx,
  stopAll,
  type Target,
} from './targets.ts';

const HERE = import.meta.dirname;
const ENGINES = 2;

interface Options {
  quick: boolean;
  repetitions: number;
  only: string[] | null;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      repetitions: { type: 'string' },
      only: { type: 'string' },
    },
  });
  const repetitions = Number(values.repetitions ?? (values.quick ? 1 : 5));
  if (!Number.isInteger(repetitions) || repetitions < 1) {
    throw new Error(`--repetitions: found '${values.repetitions}'; expected a whole number from 1`);
  }
  return { quick: values.quick, repetitions, only: values.only?.split(',') ?? null };
}

async function startTargets(folder: string): Promise<Target[]> {
  const engines = Array.from({ length: ENGINES }, () =>
    start(process.execPath, [join(HERE, 'mock-engine.ts')], LOAD_CPU),
  );
  const ports = await Promise.all(engines.map((engine) => portOf(engine, 'mock engine')));
  const targets: Target[] = [{ name: 'direct', origin: `http://127.0.0.1:${ports[0]}`, pid: undefined }];
  const nginx = findNginx();
  if (nginx === undefined)
    console.log('nginx is not installed: left out, and with it the ratios (apt-get install nginx)');
  else targets.push(await startNginx(nginx, folder, ports));
  targets.push(await startGateway(folder, ports));
  return targets;
}

async function measure(scenario: Scenario, target: Target, repetition: number): Promise<Repetition> {
  const body = requestBody(scenario);
  const load = {
    url: `${target.origin}/v1/chat/completions`,
    concurrency: scenario.concurrency,
    stream: scenario.stream,
    keep: 'timing' as const,
    body: () => body,
  };
  // Code is compiled and connections to the engines are open before the measuring begins.
  const warmUp = requestBody({
    ...scenario,
    ...(scenario.chunks !== undefined && { chunks: 50, paceMs: 0 }),
  });
  await runLoad({ ...load, requests: scenario.stream ? 400 : 6000, durationMs: 1500, body: () => warmUp });
  const pids = target.pid === undefined ? [] : processTree(target.pid);
  const cpuBefore = cpuUs(pids);
  const result = await runLoad({
    ...load,
    requests: scenario.requests,
    ...(scenario.durationMs !== undefined && { durationMs: scenario.durationMs }),
    ...(scenario.ratePerSecond !== undefined && { ratePerSecond: scenario.ratePerSecond }),
  });
  const spentUs = cpuUs(pids) - cpuBefore;
  const summary = summarize(result);
  const measured = target.pid !== undefined;
  return {
    scenario: scenario.name,
    target: target.name,
    repetition,
    requests: summary.requests,
    failed: summary.failed,
    errors: summary.errors,
    events: scenario.stream ? summary.events : 0,
    elapsedMs: summary.elapsedMs,
    cpuUsPerRequest: measured ? spentUs / summary.requests : null,
    cpuUsPerChunk: measured && scenario.stream ? spentUs / summary.events : null,
    latencyMs: scenario.stream ? summary.ttftMs : summary.totalMs,
    rssMb: measured ? residentMb(pids) : null,
  };
}

function commit(): string {
  const { stdout } = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: HERE, encoding: 'utf8' });
  return stdout?.trim() || 'unknown';
}

function machine() {
  const list = cpus();
  return {
    cpu: list[0]?.model ?? 'unknown',
    cores: list.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    nginx: spawnSync(findNginx() ?? 'nginx', ['-v'], { encoding: 'utf8' }).stderr?.trim() ?? null,
    pinned: hasTaskset,
  };
}

/** Writes the raw repetitions and the chart. */
function save(
  repetitions: readonly Repetition[],
  list: readonly Figure[],
  scenarios: readonly Scenario[],
): void {
  const at = new Date().toISOString();
  const about = { at, commit: commit(), machine: machine() };
  const name = `${at.slice(0, 10)}-${about.commit}`;
  const folder = join(HERE, 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, `${name}.json`),
    `${JSON.stringify({ ...about, scenarios, figures: list, repetitions }, null, 1)}\n`,
  );
  const { cpu, cores, node } = about.machine;
  writeFileSync(
    join(folder, `${name}.svg`),
    chart(list, `${cpu}, ${cores} cores, Node ${node}, commit ${about.commit}`),
  );
  console.log(`bench/results/${name}.json and .svg`);
}

async function main(): Promise<void> {
  if (process.platform !== 'linux') throw new Error('the bench reads /proc and runs on Linux only');
  const options = readOptions();
  const scenarios = loadScenarios(join(HERE, 'scenarios'))
    .filter(({ name }) => options.only === null || options.only.includes(name))
    .map((scenario) => (options.quick ? shortened(scenario) : scenario));
  if (hasTaskset) spawnSync('taskset', ['-acp', String(LOAD_CPU), String(process.pid)]);
  const folder = mkdtempSync(join(tmpdir(), 'autoglm-bench-'));
  const end = async () => {
    await stopAll();
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('SIGINT', () => void end().finally(() => process.exit(130)));
  try {
    const targets = await startTargets(folder);
    const repetitions: Repetition[] = [];
    for (let repetition = 1; repetition <= options.repetitions; repetition++) {
      for (const scenario of scenarios) {
        for (const target of targets) {
          const result = await measure(scenario, target, repetition);
          repetitions.push(result);
          const cost = result.cpuUsPerChunk ?? result.cpuUsPerRequest;
          console.log(
            `${repetition}/${options.repetitions} ${scenario.name.padEnd(5)} ${target.name.padEnd(8)} ` +
              `${result.requests} requests, ${result.failed} failed` +
              `${cost === null ? '' : `, ${cost.toFixed(1)} µs`}, p50 ${result.latencyMs.p50.toFixed(2)} ms`,
          );
        }
      }
    }
    const list = figures(repetitions);
    console.log(`\n${table(list)}\n`);
    if (!options.quick) save(repetitions, list, scenarios);
  } finally {
    await end();
  }
}

await main();
