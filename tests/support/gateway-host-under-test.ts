/** What the node's side of gateways is made with in tests: real gateway processes, and all files in one directory. */
import { join, resolve } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import type { GatewaySettings } from '../../src/contract/gateway-snapshot.ts';
import { listenForLinks } from '../../src/drivers/control-link/socket-link.ts';
import { createProcessHost } from '../../src/drivers/process/local-process-host.ts';
import { openGatewayStore } from '../../src/drivers/storage/gateway-store.ts';
import type { GatewayHostOptions } from '../../src/planes/control/gateway-host.ts';
import { TEST_SETTINGS } from './gateway-under-test.ts';
import { startScriptedEngine } from './scripted-engine.ts';

const ROOT = resolve(import.meta.dirname, '../..');

export interface HostUnderTest {
  directory: string;
  /** 0 takes a free one. */
  port: number;
  epoch: number;
  settings?: Partial<GatewaySettings>;
  onFacts?: GatewayHostOptions['onFacts'];
}

export function hostOptions({
  directory,
  port,
  epoch,
  settings,
  onFacts = () => {},
}: HostUnderTest): GatewayHostOptions {
  const socket = join(directory, 'node.sock');
  return {
    clock: systemClock,
    processHost: createProcessHost({ environment: process.env }),
    store: openGatewayStore(directory),
    settings: { ...TEST_SETTINGS, ...settings, port },
    epoch,
    listen: (onLink) => listenForLinks([socket], onLink),
    entry: {
      command: process.execPath,
      args: [
        join(ROOT, 'src/assembly/gateway-process.ts'),
        ...['--log', join(directory, 'gateway.log')],
        ...['--socket', socket],
        '--enable-faults',
      ],
    },
    logFile: join(directory, 'process.log'),
    cwd: directory,
    ownerPrefix: `${directory}:gateway:`,
    suspects: () => [],
    onSuspects: () => {},
    onFacts,
    log: () => {},
  };
}

/** A port that is free at this moment: gateways that follow each other need the same one. */
export async function freePort(): Promise<number> {
  const other = await startScriptedEngine();
  await other.close();
  return other.port;
}
