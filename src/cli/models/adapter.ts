/** `autoglm models adapter`: loads a LoRA adapter into every replica of a model, or unloads it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { locateModel } from '../../assembly/config/resolve-config.ts';
import type { AdminClient } from '../../client/admin-client.ts';
import type { ActionResult } from '../../contract/admin-api.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { ReplicaState } from '../../contract/fleet.ts';
import { type CommandContext, connectAdmin } from '../command-context.ts';
import { reportAction } from '../report-action.ts';
import { printable } from '../terminal.ts';
import type { WaitOptions } from './follow.ts';
import { ReplicaNews } from './replica-news.ts';

export interface AdapterOptions extends WaitOptions {
  path?: string;
  remove?: boolean;
}

const LOOK_MS = 200;
/** Nothing is loaded into these until a person brings them back. */
const DOWN: readonly ReplicaState[] = ['quarantined', 'stopped'];
/** The longest load that an engine is given, and the restart that may come before it. */
const WAIT_MS_MAX = 900_000;

export async function adaptModel(
  model: string,
  adapter: string,
  { path, remove = false, ...options }: AdapterOptions,
  context: CommandContext,
): Promise<void> {
  if ((path === undefined) !== remove)
    throw new PlatformError(
      'invalid_request',
      'would be right: one of --path PATH, which loads it, and --remove',
    );
  const client = connectAdmin(options, context);
  if (path === undefined) return reportAction(await client.removeAdapter(model, adapter), options, context);
  const located = locateModel({ engine: '', model: path }, context.environment);
  const result = await client.setAdapter(model, adapter, located);
  const say = (text: string) => {
    if (!options.json) context.terminal.print(text);
  };
  const end = options.wait === false ? result : await untilLoaded(client, { model, adapter, say });
  reportAction(end, options, context);
}

async function untilLoaded(
  client: AdminClient,
  { model, adapter, say }: { model: string; adapter: string; say(text: string): void },
): Promise<ActionResult> {
  const endMs = performance.now() + WAIT_MS_MAX;
  const news = new ReplicaNews(say);
  while (performance.now() < endMs) {
    const found = (await client.models()).models.find((one) => one.model === model);
    const state = found?.adapters.find(({ name }) => name === adapter);
    if (found === undefined || state === undefined)
      return { ok: false, message: `adapter "${adapter}" was taken away meanwhile` };
    const where = `${state.ready} of ${found.replicas} replicas of model "${model}"`;
    if (state.problem !== null)
      return { ok: false, message: `adapter "${adapter}" on ${where}: ${state.problem}` };
    if (state.ready === found.replicas)
      return { ok: true, message: `adapter "${adapter}" is loaded by ${where}` };
    const pool = (await client.status()).pools.find((one) => one.model === model);
    const unready = pool?.replicas.filter((replica) => replica.state !== 'ready') ?? [];
    const [down] = unready.filter((replica) => DOWN.includes(replica.state));
    if (
      down !== undefined &&
      unready.every((replica) => DOWN.includes(replica.state)) &&
      state.ready === pool?.ready
    )
      return {
        ok: false,
        message: `adapter "${adapter}" is loaded by ${where}; ${down.id} is ${down.state}: ${printable(down.reason)}`,
      };
    news.tell(unready, `adapter "${adapter}" is loaded by ${where}`);
    await sleep(LOOK_MS);
  }
  return {
    ok: false,
    message: `adapter "${adapter}" is not loaded after ${WAIT_MS_MAX / 60_000} min; it goes on`,
  };
}
