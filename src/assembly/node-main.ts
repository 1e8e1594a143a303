/**
 * The node process: supervisor and control plane of one machine. It starts what must run, or adopts it, serves the admin API,
 * and ends in order. Gateways and engines do not need it: when it dies they go on, and its successor adopts them.
 */
import { flushCompileCache } from 'node:module';
import { systemClock } from '../base/clock.ts';
import { PlatformError } from '../contract/errors.ts';
import { EXIT_CODES, exitCodeFor } from '../contract/exit-codes.ts';
import { readEnvironment } from './config/environment.ts';
import { loadConfig } from './config/load-config.ts';
import { type ResolvedConfig, resolveConfig } from './config/resolve-config.ts';
import { settleGatewayPort } from './gateway-port.ts';
import { type InstanceLock, takeLock } from './instance-lock.ts';
import { ModelRegistry } from './models/model-registry.ts';
import { NodeProcess } from './node.ts';
import { openNodeLog } from './node-log.ts';
import type { OwnerOptions } from './owner-pipe.ts';
import { createProcesses } from './processes.ts';
import { prepareStateDir } from './state-dir.ts';

export interface NodeOptions {
  configOption: string | undefined;
  /** What the launcher holds; undefined without a launcher. */
  instance: string | undefined;
  /** When the user pressed Enter, Unix ms; for the ready line. */
  sinceAtMs: number | undefined;
  /** The program that owns the whole system; undefined: none does. */
  owner: OwnerOptions | undefined;
}

/** How long a successor waits for a node process that is just ending. */
const LOCK_WAIT_MS = 3_000;
const LOCK_POLL_MS = 50;

export async function runNode(options: NodeOptions): Promise<void> {
  try {
    const loaded = loadConfig(options.configOption, readEnvironment());
    const config = resolveConfig(loaded);
    assertSameInstance(config, options.instance);
    // The launcher has refused what is of no use; what went bad since then is no reason to leave engines and gateway alone.
    const problems = prepareStateDir(config.paths);
    // Held until this process ends, however it ends.
    await waitForLock(config);
    const log = openNodeLog(config.paths.nodeLog);
    for (const { message } of problems) log.write('error', message);
    const registry = new ModelRegistry({ loaded, file: config.paths.runtimeModels, log: log.write });
    const processHost = createProcesses((problem, detail) => {
      log.write('error', problem, detail);
      log.say(`  ${detail.owner}: ${problem} (${detail.code}: ${detail.logFile})`);
    });
    const port = await settleGatewayPort(config, processHost);
    const settled = { ...config, gateway: { ...config.gateway, port } };
    const { sinceAtMs, owner } = options;
    await new NodeProcess({ config: settled, registry, log, processHost, sinceAtMs, owner }).start();
    // A process that is killed would leave its successor nothing.
    flushCompileCache();
  } catch (thrown) {
    refuse(thrown);
  }
}

/** Ends this process; what it had started by then it has ended itself. */
function refuse(thrown: unknown): never {
  const error = PlatformError.from(thrown);
  const text = error.code === 'internal' && thrown instanceof Error ? thrown.stack : error.message;
  process.stderr.write(`error: ${text}\n`);
  process.exit(exitCodeFor(error.code));
}

function assertSameInstance({ paths, configPath }: ResolvedConfig, instance: string | undefined): void {
  if (instance === undefined || instance === paths.instance) return;
  throw new PlatformError(
    'config_invalid',
    `${configPath ?? 'the configuration'}: state_dir: found ${paths.root}, which is not what \`autoglm serve\` was started with; set it back, or stop \`autoglm serve\` first`,
  );
}

async function waitForLock({ paths }: ResolvedConfig): Promise<InstanceLock> {
  const endMs = systemClock.monotonicMs() + LOCK_WAIT_MS;
  for (;;) {
    const result = await takeLock('node', paths);
    if (result.held) return result.lock;
    if (systemClock.monotonicMs() > endMs) {
      throw new PlatformError(
        'already_running',
        `a node process runs already with state directory ${paths.root} (pid ${result.holderPid ?? 'unknown'}); exit code ${EXIT_CODES.alreadyRunning.code}`,
      );
    }
    await systemClock.sleep(LOCK_POLL_MS);
  }
}
