/**
 * The simulator as a process: reads its options, starts the pretend engine phase by phase, serves until SIGTERM, then drains. It needs
 * no parent: it survives the one that started it, and a closed terminal.
 */
import { openSync, writeSync } from 'node:fs';
import { type Clock, systemClock } from '../base/clock.ts';
import type { StepLoad } from '../contract/engine-model.ts';
import { PlatformError } from '../contract/errors.ts';
import type { HttpExchange } from '../contract/ports/http-exchange.ts';
import { createHttpServer } from '../drivers/http/server.ts';
import { leavePort } from '../drivers/process/engine-ports.ts';
import { SimulatedEngine, type StepTimer } from '../simulator/engine.ts';
import { createLog, type LogLine } from '../simulator/engine-log.ts';
import { FAILURE_LOGS } from '../simulator/faults/failure-logs.ts';
import { FaultBoard } from '../simulator/faults/fault-board.ts';
import { type Fault, START_PHASES } from '../simulator/faults/fault-script.ts';
import { exitByFault, printNow, spawnOrphan, writeXid } from '../simulator/faults/process-faults.ts';
import { createSimulatorFront, currentAnswer } from '../simulator/front.ts';
import { shareGpuMemory, takeGpuMemory } from '../simulator/gpu-memory.ts';
import { parseSimulatorArgs, type SimulatorConfig, simulatorHelp } from '../simulator/options.ts';
import {
  openDialect,
  SIMULATED_ENGINES,
  type SimulatedDialect,
  type SimulatedEngineProfile,
} from './simulated-engines.ts';

export { simulatorHelp, simulatorOptions } from '../simulator/options.ts';

const STATS_INTERVAL_MS = 10_000;
const USAGE_ERROR = 2;

/** Runs until the process is told to stop, or a fault ends it. Resolves when it is ready. */
export async function runSimulator(argv: readonly string[]): Promise<void> {
  if (argv.includes('--help')) {
    process.stdout.write(simulatorHelp());
    return;
  }
  let config: SimulatorConfig;
  let onStep: StepWriter | null;
  try {
    config = parseSimulatorArgs(argv);
    onStep = config.stepsFile === undefined ? null : writeStepsTo(config.stepsFile);
  } catch (error) {
    process.stderr.write(`autoglm simulate: ${PlatformError.from(error).message}\n`);
    process.exitCode = USAGE_ERROR;
    return;
  }
  await new SimulatorProcess(config, onStep).start();
}

/** `setTimeout` fires up to a millisecond late, and never earlier than after one; below half of one the loop's next turn serves. */
const stepTimer: StepTimer = {
  nowMs: () => performance.now(),
  schedule: (delayMs, run) => {
    if (delayMs < 0.5) {
      const immediate = setImmediate(run);
      return () => clearImmediate(immediate);
    }
    const timer = setTimeout(run, Math.round(delayMs));
    return () => clearTimeout(timer);
  },
};

type StepWriter = (load: StepLoad, durationMs: number) => void;

/** Line by line, so that a process that is killed leaves whole steps. */
function writeStepsTo(file: string): StepWriter {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'w');
  } catch (error) {
    throw new PlatformError('config_invalid', `--steps-file: ${(error as Error).message}`, { cause: error });
  }
  writeSync(descriptor, 'T_prefill,batch,sum_ctx,step_ms\n');
  return ({ prefillTokens, decodeBatch, decodeContext }, durationMs) =>
    void writeSync(descriptor, `${prefillTokens},${decodeBatch},${decodeContext},${durationMs.toFixed(4)}\n`);
}

class SimulatorProcess {
  readonly #config: SimulatorConfig;
  readonly #clock: Clock;
  readonly #log: LogLine;
  readonly #board: FaultBoard;
  readonly #engine: SimulatedEngine;
  readonly #profile: SimulatedEngineProfile;
  readonly #dialect: SimulatedDialect;
  /** Resolves when the start phases are over. */
  readonly #loaded = Promise.withResolvers<void>();
  readonly #server: ReturnType<typeof createHttpServer>;
  #faultTimer: NodeJS.Timeout | undefined;
  #draining = false;
  #isLoaded = false;

  constructor(config: SimulatorConfig, onStep: StepWriter | null) {
    this.#config = config;
    this.#profile = SIMULATED_ENGINES[config.dialect];
    this.#board = new FaultBoard({
      nowMs: () => performance.now(),
      onFire: (fault) => this.#onFire(fault),
      onChange: () => this.#onFaultsChanged(),
    });
    this.#clock = {
      ...systemClock,
      wallMs: () => systemClock.wallMs() + (this.#board.active('jump-clock')?.byMs ?? 0),
    };
    this.#log = createLog(this.#clock, this.#profile.log, (line) => process.stderr.write(`${line}\n`));
    this.#engine = new SimulatedEngine({
      model: config.modelName,
      contextLength: config.maxModelLen,
      modelSeed: config.modelSeed,
      seed: config.seed === 0 ? (Date.now() ^ (process.pid << 8)) >>> 0 : config.seed,
      meanTokens: config.meanTokens,
      limits: config.limits,
      costs: config.costs,
      noiseSigma: config.noiseSigma,
      speed: config.speed,
      timer: stepTimer,
      faults: this.#board,
      onOutOfMemory: () => {
        printNow(FAILURE_LOGS['cuda-oom']);
        process.exit(1);
      },
      currentAnswer,
      ...(onStep !== null && { onStep }),
    });
    const front = (answer: (exchange: HttpExchange) => void) =>
      createSimulatorFront({
        board: this.#board,
        clock: this.#clock,
        answer,
        onArmed: (armed) => this.#engine.reconsiderFaults(armed),
        extraMetrics: () => this.#extraMetrics(),
      });
    this.#dialect = openDialect(this.#profile, { core: this.#engine, config, clock: this.#clock, front });
    this.#server = createHttpServer({ handle: front((exchange) => this.#answer(exchange)) });
    for (const fault of config.faults) this.#board.arm(fault);
  }

  async start(): Promise<void> {
    this.#listenToSignals();
    this.#takeMemory();
    const early = this.#profile.whileLoading !== undefined;
    if (!early) await this.#passPhases();
    const url = await this.#listen();
    if (early) await this.#passPhases();
    this.#isLoaded = true;
    this.#loaded.resolve();
    this.#log('INFO', ...this.#profile.log.listening(url));
    this.#reportStats();
    this.#board.becomeReady();
  }

  async #listen(): Promise<string> {
    const { host, portFile, modelName } = this.#config;
    let port: number;
    let ports: Record<string, number> | undefined;
    try {
      ports = await this.#dialect.listenBeside?.();
      ({ port } = await this.#server.listen({ host, port: this.#config.port }));
    } catch (error) {
      printNow([
        `autoglm simulate: can not listen on ${host}:${this.#config.port}: ${(error as Error).message}`,
      ]);
      process.exit(1);
    }
    if (portFile !== undefined) leavePort(portFile, port);
    const url = `http://${host}:${port}`;
    process.stdout.write(
      `${JSON.stringify({ event: 'listening', url, port, ...(ports && { ports }), pid: process.pid, model: modelName })}\n`,
    );
    return url;
  }

  #answer(exchange: HttpExchange): void {
    const answer = () => this.#dialect.handle(exchange);
    if (this.#isLoaded) answer();
    else this.#profile.whileLoading?.(exchange, this.#loaded.promise, answer);
  }

  #takeMemory(): void {
    const { gpuFile } = this.#config;
    const taken = gpuFile === undefined ? undefined : takeGpuMemory(gpuFile);
    if (taken === undefined) return;
    printNow([...FAILURE_LOGS['start-memory-taken'], `simulator: process ${taken.heldBy} holds ${gpuFile}`]);
    process.exit(1);
  }

  async #passPhases(): Promise<void> {
    const { phaseMs, modelName } = this.#config;
    for (const phase of START_PHASES) {
      const lines = this.#profile.log.phases[phase];
      if (phaseMs[phase] > 0) for (const line of lines.begin(modelName)) this.#log('INFO', ...line);
      this.#board.enterPhase(phase);
      if (phaseMs[phase] === 0) continue;
      await this.#clock.sleep(phaseMs[phase]);
      this.#log('INFO', ...lines.end((phaseMs[phase] / 1000).toFixed(2)));
    }
  }

  #listenToSignals(): void {
    // The one who started us may be gone, and with it whoever read our output.
    process.on('SIGHUP', () => {});
    for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
    const stop = (signal: NodeJS.Signals) => {
      if (signal === 'SIGTERM' && this.#board.active('ignore-sigterm') !== undefined) return;
      if (this.#draining) process.exit(0);
      void this.#drain();
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  }

  async #drain(): Promise<void> {
    this.#draining = true;
    const deadline = AbortSignal.timeout(this.#config.drainMs);
    this.#log('INFO', ...this.#profile.log.stopping);
    this.#server.announceClose();
    this.#dialect.announceClose?.();
    await Promise.race([
      this.#dialect.drain(),
      new Promise((resolve) => deadline.addEventListener('abort', resolve)),
    ]);
    await this.#engine.close();
    // The last answers leave the socket buffers with the turn of the loop that follows their end.
    await new Promise((resolve) => setImmediate(resolve));
    process.exit(0);
  }

  #onFire(fault: Fault): void {
    switch (fault.action) {
      case 'exit':
        return exitByFault(fault);
      case 'xid':
        return writeXid(fault, this.#config.kmsgFile);
      case 'orphan': {
        const pid = spawnOrphan(fault);
        if (pid !== undefined && this.#config.gpuFile !== undefined)
          shareGpuMemory(this.#config.gpuFile, pid);
        return;
      }
      default:
        // Lasting faults act through the board.
        return;
    }
  }

  #onFaultsChanged(): void {
    clearTimeout(this.#faultTimer);
    const dueMs = this.#board.nextDueMs();
    if (dueMs !== undefined) {
      this.#faultTimer = setTimeout(() => this.#board.tick(), Math.ceil(dueMs - performance.now()));
      this.#faultTimer.unref();
    }
    this.#engine?.kick();
  }

  #extraMetrics(): string {
    if (this.#config.dialect !== 'vllm') return '';
    const { corruptedTokensTotal } = this.#engine;
    return `# TYPE vllm:corrupted_requests_total counter\nvllm:corrupted_requests_total{model_name="${this.#config.modelName}"} ${corruptedTokensTotal}\n`;
  }

  #reportStats(): void {
    const { stats } = this.#profile.log;
    if (stats === undefined) return;
    let before = this.#engine.metrics();
    setInterval(() => {
      const after = this.#engine.metrics();
      const worked = after.running > 0 || after.generationTokensTotal > before.generationTokensTotal;
      if (worked) this.#log('INFO', ...stats(before, after, STATS_INTERVAL_MS));
      before = after;
    }, STATS_INTERVAL_MS).unref();
  }
}
