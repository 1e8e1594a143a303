/** `autoglm models unload`, `scale` and `alias`: one call of the admin API each. */
import { parse } from 'yaml';
import { PlatformError } from '../../contract/errors.ts';
import { type AdminOptions, type CommandContext, connectAdmin } from '../command-context.ts';
import { reportAction } from '../report-action.ts';
import { followPool, type WaitOptions } from './follow.ts';

export async function unloadModel(
  name: string,
  options: WaitOptions,
  context: CommandContext,
): Promise<void> {
  const client = connectAdmin(options, context);
  const result = await client.unloadModel(name);
  await followPool({ client, name, result, goal: 'gone' }, options, context);
}

export async function scaleModel(
  name: string,
  replicas: string,
  options: WaitOptions,
  context: CommandContext,
): Promise<void> {
  const client = connectAdmin(options, context);
  const result = await client.scaleModel(name, /^-?\d+$/.test(replicas) ? parse(replicas) : replicas);
  await followPool({ client, name, result, goal: 'ready' }, options, context);
}

export interface AliasOptions extends AdminOptions {
  move?: boolean;
  remove?: boolean;
}

export async function aliasModel(
  name: string,
  alias: string,
  { move = false, remove = false, ...options }: AliasOptions,
  context: CommandContext,
): Promise<void> {
  if (move && remove)
    throw new PlatformError('invalid_request', 'found --move and --remove; would be right: one of them');
  const client = connectAdmin(options, context);
  const result = await (remove ? client.removeAlias(name, alias) : client.setAlias(name, alias, move));
  reportAction(result, options, context);
}
