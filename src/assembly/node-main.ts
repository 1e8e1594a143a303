/**
 * The node process: supervisor and control plane of one machine. It starts what must run, or adopts it, serves the admin API,
 * and ends in order. Gateways and engines do not need it: when it dies they go on, and its successor adopts them.
 */
import { flushCompileCache } from 'node:module';
import { systemClock } from '../base/clock.ts';
import { PlatformError } from '../contract/errors.ts';
import { EXIT_CODES, exitCodeFor } from '../contract/exit-codes.ts';
import { openFenceFile } from '../drivers/coordination/fence-file.ts';
import { FenceGuard, fencedProcessHost } from '../planes/supervisor/fenced.ts';
import { readEnvironment } from './config/environment.ts';
import { loadConfig } from './config/load-config.ts';
import { type ResolvedConfig, resolveConfig } from './config/resolve-config.ts';
import { settleGatewayPort } from './gateway-port.ts';
import { type InstanceLock, takeLock } from './instance-lock.ts';
import { ModelRegistry } from './models/model-registry.ts';
import { NodeProcess } from './node.ts';
import { type NodeLog, openNodeLog } from './node-log.ts';
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
    const guard = await takeFence(config, log);
    const registry = new ModelRegistry({ loaded, file: config.paths.runtimeModels, log: log.write });
    const processes = createProcesses((problem, detail) => {
      log.write('error', problem, detail);
      log.say(`  ${detail.owner}: ${problem} (${detail.code}: ${detail.logFile})`);
    });
    const processHost = guard === null ? processes : fencedProcessHost(processes, guard);
    const port = await settleGatewayPort(config, processHost);
    const settled = { ...config, gateway: { ...config.gateway, port } };
    const { sinceAtMs, owner } = options;
    await new NodeProcess({ config: settled, registry, log, processHost, guard, sinceAtMs, owner }).start();
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

/**
 * The lock keeps two node processes of one machine apart; the number, those that a lock cannot: in two containers over one state
 * directory, or one that was paused with its machine. Null: it could not be taken, and the lock alone must do.
 */
async function takeFence({ paths }: ResolvedConfig, log: NodeLog): Promise<FenceGuard | null> {
  try {
    const fence = await openFenceFile(paths.fenceDir).take(`pid ${process.pid}`);
    return new FenceGuard(fence, () => {
      log.write(
        'error',
        'another node process has taken over; this one ends, and engines and gateways go on',
        {
          fence: fence.number,
        },
      );
      process.exit(EXIT_CODES.alreadyRunning.code);
    });
  } catch (error) {
    log.write('error', 'the fence could not be taken; free space in the state directory', {
      directory: paths.fenceDir,
      error: String(error),
    });
    return null;
  }
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
