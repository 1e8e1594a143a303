/**
 * Settles the gateway's port before anything else is started: a port that a stranger holds ends the start with his name, and
 * 0 becomes one number that all gateways of this node share, also those that replace a dead one.
 */
import { type AddressInfo, createServer } from 'node:net';
import { PlatformError } from '../contract/errors.ts';
import type { ProcessHost } from '../contract/ports/process-host.ts';
import { openGatewayStore } from '../drivers/storage/gateway-store.ts';
import { readNodeRecord } from './config/node-record.ts';
import type { ResolvedConfig } from './config/resolve-config.ts';
import { describePortHolder } from './port-holder.ts';

/** Rejects with PlatformError `port_in_use` or `config_invalid`. */
export async function settleGatewayPort(config: ResolvedConfig, processHost: ProcessHost): Promise<number> {
  const { host, port } = config.gateway;
  if (runsAlready(config, processHost)) {
    // It is adopted where it listens; with 0 that is the port we chose in a former life.
    const former = readNodeRecord(config.paths.nodeRecord)?.gatewayAddress;
    if (port !== 0) return port;
    if (former != null) return Number(new URL(former).port);
  }
  const found = await tryListen(host, port);
  if (typeof found === 'number') return found;
  if (found.code === 'EADDRINUSE') {
    const message = `gateway port ${host}:${port} is held by ${describePortHolder(port)}; stop it, or set another \`gateway.port\` (0 chooses a free one; the environment variable PORT goes before it)`;
    throw new PlatformError('port_in_use', message, { cause: found });
  }
  const message = `the gateway cannot listen on ${host}:${port}: ${found.message}; set \`gateway.host\` and \`gateway.port\``;
  throw new PlatformError('config_invalid', message, { cause: found });
}

function runsAlready({ paths }: ResolvedConfig, processHost: ProcessHost): boolean {
  const records = openGatewayStore(paths.root).readRecords();
  if (records.some(({ identity }) => processHost.isAlive(identity))) return true;
  return processHost.findOwned(`${paths.instance}:gateway:`).length > 0;
}

/** The port, or why it cannot be listened on. */
function tryListen(host: string, port: number): Promise<number | NodeJS.ErrnoException> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', resolve);
    probe.listen({ host, port }, () => {
      const { port: given } = probe.address() as AddressInfo;
      probe.close(() => resolve(given));
    });
  });
}
