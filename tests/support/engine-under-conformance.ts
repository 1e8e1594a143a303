/**
 * The engines that the conformance suite runs against: for each kind the simulator in its dialect, and a real one where the
 * environment gives an address or a program. Where it gives none, the reason says which variable would.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { type AddressInfo, createServer } from 'node:net';
import { engineDrivers } from '../../src/assembly/engines.ts';
import { ENGINE_KINDS, type EngineKind } from '../../src/contract/fleet.ts';
import type { EngineDriver, EngineTarget } from '../../src/contract/ports/engine-driver.ts';
import { EmbeddedUnderTest } from './embedded-under-test.ts';
import { startSimulator } from './simulator-under-test.ts';

/** Kinds with a dialect of their own. */
const DIALECT_KINDS = ['vllm', 'sglang', 'tgi', 'llama-server', 'ollama'] as const;
type DialectKind = (typeof DIALECT_KINDS)[number];
/** Those that are ours are here; Triton, which speaks three protocols, has suites of its own (`triton*.test.ts`). */
const NOT_HERE: readonly EngineKind[] = ['embedded', 'simulator', 'triton'];
const REAL_KINDS: readonly EngineKind[] = ENGINE_KINDS.filter((kind) => !NOT_HERE.includes(kind));

export interface RunningEngine {
  target: EngineTarget;
  /** Undefined for an engine that the suite did not start. */
  process?: ChildProcess;
  stop(): Promise<void>;
}

export interface EngineUnderConformance {
  kind: EngineKind;
  label: string;
  driver: EngineDriver;
  real: boolean;
  /** Why it is not run. */
  skipped?: string;
  start(): Promise<RunningEngine>;
}

const MODEL = 'conformance-model';
const READY_TIMEOUT_MS = 300_000;

interface Wanted {
  url?: string | undefined;
  program?: string | undefined;
  model?: string | undefined;
  key?: string | undefined;
}

export function enginesUnderConformance(env: NodeJS.ProcessEnv): EngineUnderConformance[] {
  return [
    ...DIALECT_KINDS.map((kind) => simulated(kind, kind)),
    ...REAL_KINDS.map((kind) => real(kind, driverOf(kind), env)),
    simulated('simulator', 'vllm'),
    // Which engine stands behind an unknown end point, nobody knows; one that can do little is the test.
    simulated('openai', 'ollama'),
    embedded(),
  ];
}

function driverOf(kind: EngineKind): EngineDriver {
  const driver = engineDrivers.get(kind);
  if (driver === undefined) throw new Error(`no driver for ${kind}`);
  return driver;
}

/** It is here, so it needs no stand-in. */
function embedded(): EngineUnderConformance {
  return {
    kind: 'embedded',
    label: 'embedded (real)',
    driver: driverOf('embedded'),
    real: true,
    start: async () => {
      const engine = await new EmbeddedUnderTest(['--model-name', MODEL]).ready();
      return {
        target: { url: engine.url, servedModel: MODEL },
        process: engine.child,
        stop: () => engine.stop(),
      };
    },
  };
}

function simulated(kind: EngineKind, dialect: DialectKind): EngineUnderConformance {
  return {
    kind,
    label: `${kind} (simulated)`,
    driver: driverOf(kind),
    real: false,
    start: async () => {
      const args = ['--dialect', dialect, '--model-name', MODEL, '--control-calls', '1', '--step-ms', '4'];
      const simulator = await startSimulator([...args, '--mean-tokens', '200', '--max-num-seqs', '4']);
      return {
        target: { url: simulator.url, servedModel: dialect === 'ollama' ? `${MODEL}:latest` : MODEL },
        process: simulator.child,
        stop: async () => {
          await simulator.kill();
        },
      };
    },
  };
}

/** `LLAMA_SERVER_URL`, `LLAMA_SERVER` and so on; the general names are those that `npm run conformance` sets. */
function wantedOf(kind: EngineKind, env: NodeJS.ProcessEnv): Wanted {
  const name = kind.replaceAll('-', '_').toUpperCase();
  const chosen = env.CONFORMANCE_ENGINE === kind;
  return {
    url: env[`${name}_URL`] ?? (chosen ? env.CONFORMANCE_URL : undefined),
    program: env[name] ?? (chosen ? env.CONFORMANCE_PROGRAM : undefined),
    model: env[`${name}_MODEL`] ?? (chosen ? env.CONFORMANCE_MODEL : undefined) ?? env.MODEL,
    key: env[`${name}_KEY`] ?? (chosen ? env.CONFORMANCE_KEY : undefined),
  };
}

function real(kind: EngineKind, driver: EngineDriver, env: NodeJS.ProcessEnv): EngineUnderConformance {
  const wanted = wantedOf(kind, env);
  const name = kind.replaceAll('-', '_').toUpperCase();
  const base = { kind, label: `${kind} (real)`, driver, real: true };
  if (wanted.url !== undefined) {
    const { url, model, key } = wanted;
    return {
      ...base,
      start: async () => {
        const target = {
          url: url.replace(/\/(v1\/?)?$/, ''),
          ...(key !== undefined && { engineKey: key }),
        };
        return {
          target: { ...target, servedModel: model ?? (await firstModel(target.url, key)) },
          stop: async () => {},
        };
      },
    };
  }
  const { launch } = driver;
  if (launch !== undefined && wanted.program !== undefined && wanted.model !== undefined) {
    const { program, model } = wanted;
    return { ...base, start: () => startReal(kind, driver, program, model) };
  }
  const started = wanted.program === undefined ? `${name}_URL, or ${name} with MODEL` : 'MODEL';
  const lacking = launch === undefined ? `${name}_URL` : started;
  return {
    ...base,
    skipped: `no engine given: set ${lacking}`,
    start: () => Promise.reject(new Error('skipped')),
  };
}

async function firstModel(url: string, key: string | undefined): Promise<string> {
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const response = await fetch(`${url}/v1/models`, { headers });
  const { data } = (await response.json()) as { data: { id: string }[] };
  const id = data[0]?.id;
  if (id === undefined) throw new Error(`${url} lists no model`);
  return id;
}

/** Starts it as the supervisor would, with the program in place of the one on PATH, and climbs its ladder. */
async function startReal(
  kind: EngineKind,
  driver: EngineDriver,
  program: string,
  model: string,
): Promise<RunningEngine> {
  const port = await freePort();
  const named = kind !== 'tgi' && kind !== 'ollama';
  const plan = await driver.launch?.(
    {
      replicaId: 'conformance/0',
      host: '127.0.0.1',
      port,
      portFile: '/nonexistent',
      modelName: named ? MODEL : model,
      model,
      maxBatchSize: 4,
      maxSeqLength: 2048,
      threads: undefined,
      command: undefined,
      env: {},
    },
    AbortSignal.timeout(10_000),
  );
  if (plan === undefined) throw new Error(`${kind} cannot be started`);
  const child = spawn(program, plan.args, {
    env: { ...process.env, ...plan.env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr?.on('data', (chunk) => {
    log = (log + String(chunk)).slice(-4_000);
  });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const target = { url: `http://127.0.0.1:${port}`, servedModel: named ? MODEL : model };
  const stop = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  try {
    await climb(driver, target, child, () => log);
  } catch (error) {
    await stop();
    throw error;
  }
  return { target, process: child, stop };
}

async function climb(
  driver: EngineDriver,
  target: EngineTarget,
  child: ChildProcess,
  log: () => string,
): Promise<void> {
  const endMs = performance.now() + READY_TIMEOUT_MS;
  for (const rung of ['port', 'health', 'model', 'generation'] as const) {
    for (;;) {
      const { ok, detail } = await driver.probe(target, rung, AbortSignal.timeout(30_000));
      if (ok) break;
      if (child.exitCode !== null || performance.now() > endMs)
        throw new Error(`not ready: ${rung}: ${detail}\n${log()}`);
      await new Promise((wake) => setTimeout(wake, 100));
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
