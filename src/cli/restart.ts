/** `autoglm restart [replica|pool] [--gateway] [--node]`: exactly one thing at a time. */
import type { AdminClient } from '../client/admin-client.ts';
import type { ActionResult } from '../contract/admin-api.ts';
import { PlatformError } from '../contract/errors.ts';
import { type AdminOptions, type CommandContext, connectAdmin } from './command-context.ts';
import { reportAction } from './report-action.ts';

export interface RestartOptions extends AdminOptions {
  gateway?: boolean;
  node?: boolean;
}

export async function restart(
  target: string | undefined,
  options: RestartOptions,
  context: CommandContext,
): Promise<void> {
  const chosen = [target, options.gateway, options.node].filter(Boolean).length;
  if (chosen !== 1) {
    throw new PlatformError(
      'invalid_request',
      `found ${chosen === 0 ? 'nothing to restart' : 'several things to restart'}; would be right: one of a replica, a pool, --gateway, --node`,
    );
  }
  const client = connectAdmin(options, context);
  const action = options.gateway
    ? client.restartGateway()
    : options.node
      ? client.restartNode()
      : restartNamed(target as string, client);
  reportAction(await action, options, context);
}

/** A name is a pool when one is called so, whatever it looks like; only then is POOL/NUMBER a replica. */
async function restartNamed(name: string, client: AdminClient): Promise<ActionResult> {
  const { pools } = await client.status();
  if (pools.some(({ model, aliases }) => model === name || aliases.includes(name))) {
    const pool = pools.find(({ model, aliases }) => model === name || aliases.includes(name));
    return client.restartPool(pool?.model ?? name);
  }
  if (pools.some(({ replicas }) => replicas.some(({ id }) => id === name)))
    return client.restartReplica(name);
  const known = pools.flatMap(({ model, replicas }) => [model, ...replicas.map(({ id }) => id)]);
  throw new PlatformError('not_found', `unknown replica or pool "${name}"; known: ${known.join(', ')}`);
}
