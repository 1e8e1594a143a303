/**
 * Runs the bench: load client, mock engines, and in between each target in turn. Repetitions are interleaved, so that what disturbs
 * the machine disturbs all targets alike. See README.md and `--help`.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { compare, WORSE_MAX } from './compare.ts';
import { verdicts } from './goals.ts';
import { canServe, compileHotPath, measure } from './measure.ts';
import { type BenchOptions, HELP, readOptions } from './read-options.ts';
import { type Figure, figures, type Repetition } from './report.ts';
import { commit, machine, type RunResult, readKept, writeResult } from './result-file.ts';
import { chosen, loadScenarios, type Scenario, shortened } from './scenario.ts';
import { table } from './table.ts';
import { direct } from './targets/direct.ts';
import { gateway } from './targets/gateway.ts';
import { findNginx, NGINX_MISSING, nginx, nginxVersion } from './targets/nginx.ts';
import { PORTKEY_MISSING, portkey, portkeyVersion } from './targets/portkey.ts';
import { hasTaskset, LOAD_CPU, portOf, start, stop, stopAll } from './targets/processes.ts';
import type { Target, TargetKind, TargetSetup } from './targets/target.ts';

const HERE = import.meta.dirname;
const ENGINES = 2;

/** Targets that are measured again and again, each started once and stopped at the end. */
class Bench {
  readonly #kinds: readonly TargetKind[];
  readonly #setup: TargetSetup;
  readonly #running = new Map<TargetKind, Target>();
  /** Scenarios that a target can not serve, by name. */
  readonly #left = new Set<string>();
  /** Targets whose code for streams, or for whole answers, is compiled. */
  readonly #compiled = new Set<string>();
  readonly repetitions: Repetition[] = [];

  constructor(kinds: readonly TargetKind[], setup: TargetSetup) {
    this.#kinds = kinds;
    this.#setup = setup;
  }

  async repeat(scenarios: readonly Scenario[], repetition: number): Promise<void> {
    for (const scenario of scenarios) {
      for (const kind of this.#kinds) {
        // Direct is there to compare latencies with.
        if (kind.name === 'direct' && scenario.subject !== 'latency') continue;
        if (this.#left.has(`${kind.name} ${scenario.name}`)) continue;
        await this.#measure(scenario, kind, repetition);
      }
    }
  }

  async #measure(scenario: Scenario, kind: TargetKind, repetition: number): Promise<void> {
    const isFresh = scenario.subject === 'memory';
    const target = isFresh ? await kind.start(this.#setup) : await this.#started(kind);
    try {
      if (repetition === 1 && !(await canServe(scenario, target))) {
        console.log(`${scenario.name}: ${kind.name} can not serve it, and is left out`);
        if (kind.name === 'gateway') throw new Error('the gateway can not serve a request of the bench');
        this.#left.add(`${kind.name} ${scenario.name}`);
        return;
      }
      if (!isFresh) await this.#compile(scenario, target);
      const found = await measure(scenario, target, repetition);
      this.repetitions.push(found);
      console.log(progress(found));
    } finally {
      if (isFresh && target.child !== null) await stop(target.child);
    }
  }

  async #compile(scenario: Scenario, target: Target): Promise<void> {
    const way = `${target.name} ${scenario.stream ? 'streams' : 'whole'}`;
    if (target.child === null || this.#compiled.has(way)) return;
    this.#compiled.add(way);
    await compileHotPath(scenario, target);
  }

  async #started(kind: TargetKind): Promise<Target> {
    const running = this.#running.get(kind) ?? (await kind.start(this.#setup));
    this.#running.set(kind, running);
    return running;
  }
}

function progress({ repetition, scenario, target, requests, failed, cpuUs, latencyMs }: Repetition): string {
  const cost = cpuUs === null ? '' : `, ${cpuUs.toFixed(1)} µs`;
  return (
    `${repetition} ${scenario.padEnd(6)} ${target.padEnd(8)} ` +
    `${requests} requests, ${failed} failed${cost}, p50 ${latencyMs.p50.toFixed(2)} ms`
  );
}

async function startEngines(): Promise<number[]> {
  const engines = Array.from({ length: ENGINES }, () =>
    start(process.execPath, [join(HERE, 'mock-engine.ts')], { cpu: LOAD_CPU }),
  );
  return Promise.all(engines.map((engine) => portOf(engine, 'mock engine')));
}

/** What shares the processors moves every figure, and ours more than nginx's, whose code and data are small. */
function warnIfBusy(): void {
  const [load = 0] = loadavg();
  if (load <= cpus().length) return;
  console.log(
    `the machine is busy (load average ${load.toFixed(1)}, ${cpus().length} processors): figures will be too high`,
  );
}

/** Says what the run means, beside `kept` when it is to be compared; the exit code. */
function conclude(list: readonly Figure[], kept: RunResult | null): number {
  console.log(`\n${table(list)}\n\n${verdicts(list).join('\n')}\n`);
  if (kept === null) return 0;
  const { compared, worse } = compare(kept.figures, list);
  const against = `the kept result of ${kept.at.slice(0, 10)} (${kept.commit}, ${kept.machine.cpu})`;
  if (worse.length === 0) {
    console.log(
      `${compared} figures are no more than ${Math.round(WORSE_MAX * 100)} % worse than in ${against}`,
    );
    return 0;
  }
  console.error(`worse than ${against}:\n${worse.map((line) => `  ${line}`).join('\n')}`);
  return 1;
}

interface Preparation {
  scenarios: Scenario[];
  nginxBinary: string;
  /** To compare with. */
  kept: RunResult | null;
}

async function runBench(
  options: BenchOptions,
  { scenarios, nginxBinary, kept }: Preparation,
): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'autoglm-bench-'));
  const end = async () => {
    await stopAll();
    rmSync(folder, { recursive: true, force: true });
  };
  const interrupted = () => void end().finally(() => process.exit(130));
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  try {
    const peer = options.quick ? null : portkeyVersion();
    if (peer === null && !options.quick) console.log(PORTKEY_MISSING);
    const kinds = [
      direct,
      nginx(nginxBinary),
      gateway(options.nodeArgs),
      ...(peer === null ? [] : [portkey]),
    ];
    const bench = new Bench(kinds, { folder, enginePorts: await startEngines() });
    for (let repetition = 1; repetition <= options.repetitions; repetition++)
      await bench.repeat(scenarios, repetition);
    const list = figures(bench.repetitions, scenarios);
    const code = conclude(list, kept);
    const about = machine({ nginx: nginxVersion(nginxBinary), portkey: peer, pinned: hasTaskset });
    const result = {
      at: new Date().toISOString(),
      commit: commit(),
      machine: about,
      scenarios,
      figures: list,
    };
    console.log(writeResult({ ...result, repetitions: bench.repetitions }, options));
    return code;
  } finally {
    await end();
  }
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  if (process.platform !== 'linux') throw new Error('the bench reads /proc and runs on Linux only');
  const nginxBinary = findNginx();
  if (nginxBinary === undefined) throw new Error(NGINX_MISSING);
  const kept = options.check ? readKept() : null;
  if (options.check && kept === null)
    throw new Error('--check: there is no kept result; `npm run bench -- --keep` makes one');
  const scenarios = chosen(loadScenarios(join(HERE, 'scenarios')), options.only);
  warnIfBusy();
  if (hasTaskset) spawnSync('taskset', ['-acp', String(LOAD_CPU), String(process.pid)]);
  return runBench(options, {
    scenarios: options.quick ? scenarios.map(shortened) : scenarios,
    nginxBinary,
    kept,
  });
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
