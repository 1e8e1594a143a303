/** Are the ports free, or held by our own running system? */
import { createServer } from 'node:net';
import { readNodeRecord } from '../../assembly/config/node-record.ts';
import { findPortHolder } from '../../assembly/port-holder.ts';
import { createAdminClient } from '../../client/admin-client.ts';
import { type Check, type Finding, fail, ok } from './finding.ts';

const ANSWER_TIMEOUT_MS = 2_000;

export const checkPorts: Check = async ({ loaded, config: { gateway, admin, paths } }) => {
  const running = await answers(
    readNodeRecord(paths.nodeRecord)?.adminAddress,
    loaded.config.admin.keys[0]?.key.reveal(),
  );
  return [
    await checkPort('gateway port', gateway.host, gateway.port, running),
    await checkPort('admin port', admin.host, admin.port, running),
  ];
};

/** Ports that the running system of this state directory listens on. */
async function answers(address: string | null | undefined, key: string | undefined): Promise<Set<number>> {
  if (!address) return new Set();
  const client = createAdminClient({
    url: address,
    timeoutMs: ANSWER_TIMEOUT_MS,
    ...(key === undefined ? {} : { key }),
  });
  try {
    const status = await client.status();
    return new Set(
      [status.gatewayAddress, status.adminAddress].map((origin) => Number(new URL(origin).port)),
    );
  } catch {
    return new Set();
  }
}

async function checkPort(check: string, host: string, port: number, ours: Set<number>): Promise<Finding> {
  if (port === 0) return ok(check, 'a free one is chosen at start');
  if (ours.has(port)) return ok(check, `${host}:${port} is held by the running autoglm`);
  const fault = await tryListen(host, port);
  if (fault === undefined) return ok(check, `${host}:${port} is free`);
  if (fault === 'EADDRINUSE') {
    const holder = findPortHolder(port);
    const who = holder === undefined ? 'another process' : `pid ${holder.pid}: ${holder.command}`;
    const stop = holder === undefined ? 'stop it' : `stop it (kill ${holder.pid})`;
    return fail(
      check,
      `${host}:${port} is held by ${who}`,
      `${stop}, or set another port in autoglm.yaml (0 chooses a free one)`,
    );
  }
  if (fault === 'EACCES') {
    return fail(check, `${host}:${port} may not be used by this user`, 'choose a port above 1023');
  }
  return fail(
    check,
    `${host}:${port}: ${fault}`,
    'set a host that is an address of this machine, such as 127.0.0.1',
  );
}

/** The error code of listening there; undefined when it works. */
function tryListen(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}
