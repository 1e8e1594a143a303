/** Builds the node's side of the gateways: files, sockets and the command of a gateway process. */
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Fact } from '../contract/facts.ts';
import type { FleetSnapshot } from '../contract/fleet.ts';
import type { ProcessHost } from '../contract/ports/process-host.ts';
import type { SuspectRecord } from '../contract/suspects.ts';
import { listenForLinks } from '../drivers/control-link/socket-link.ts';
import { openGatewayStore } from '../drivers/storage/gateway-store.ts';
import { createGatewayHost, type GatewayHost } from '../planes/control/gateway-host.ts';
import type { ResolvedConfig } from './config/resolve-config.ts';
import type { LogLevel } from './node-log.ts';
import { processEntry } from './process-entry.ts';

export interface GatewaysOptions {
  config: ResolvedConfig;
  clock: Clock;
  processHost: ProcessHost;
  /** Start of the node process, Unix ms. */
  epoch: number;
  onFacts(facts: Fact[]): void;
  suspects(): SuspectRecord[];
  onSuspects(records: readonly SuspectRecord[], gateway: string): void;
  log(level: LogLevel, message: string, detail?: Record<string, unknown>): void;
}

export interface Gateways {
  host: GatewayHost;
  /** They grow; whoever rotates logs watches them. */
  logFiles: string[];
  /**
   * Adopts or starts a gateway at the configured address, with this fleet from its first moment. Rejects with PlatformError
   * `port_in_use` and the like.
   */
  start(fleet: FleetSnapshot): Promise<void>;
}

export function assembleGateways(options: GatewaysOptions): Gateways {
  const { config, clock, processHost, epoch, onFacts, suspects, onSuspects, log } = options;
  const { paths, gateway } = config;
  const store = openGatewayStore(paths.root);
  const sockets = [...new Set([paths.socketDir, paths.spareSocketDir])].map((dir) => join(dir, 'node.sock'));
  const logFile = join(paths.logDir, 'gateway.log');
  const processLogFile = join(paths.logDir, 'gateway-process.log');
  const ownerPrefix = `${paths.instance}:gateway:`;
  const host = createGatewayHost({
    clock,
    processHost,
    store,
    settings: gateway,
    epoch,
    listen: (onLink) => listenForLinks(sockets, onLink),
    entry: {
      command: process.execPath,
      args: [
        processEntry('gateway-process'),
        ...['--log', logFile],
        ...['--state', paths.root],
        ...sockets.flatMap((socket) => ['--socket', socket]),
      ],
    },
    logFile: processLogFile,
    // It is told where everything lies; the state directory may be gone when it is started.
    cwd: '/',
    ownerPrefix,
    onFacts,
    suspects,
    onSuspects,
    log,
  });
  return {
    host,
    logFiles: [logFile, processLogFile],
    start: async (fleet) => {
      await host.start(fleet);
      const { address } = host;
      if (address?.port === gateway.port && address.host === gateway.host) return;
      log('warn', 'the adopted gateway listens at a former address and is replaced', { address });
      await host.replace();
    },
  };
}
