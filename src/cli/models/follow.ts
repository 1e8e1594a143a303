/**
 * Follows a pool after it was changed, and prints what happens to its replicas until the goal is reached or it is clear that
 * it will not be. Ctrl-C ends the following, never the change.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AdminClient } from '../../client/admin-client.ts';
import type { ActionResult, PoolStatus } from '../../contract/admin-api.ts';
import { PlatformError } from '../../contract/errors.ts';
import { EXIT_CODES } from '../../contract/exit-codes.ts';
import type { AdminOptions, CommandContext } from '../command-context.ts';
import { reportAction } from '../report-action.ts';
import { printable } from '../terminal.ts';
import { ReplicaNews } from './replica-news.ts';

export interface WaitOptions extends AdminOptions {
  /** `--no-wait` sets it to false. */
  wait?: boolean;
}

export interface Followed {
  client: AdminClient;
  name: string;
  result: ActionResult;
  /** `ready`: every replica is, and none is on its way out. `gone`: no engine is left. */
  goal: 'ready' | 'gone';
  /** What a person can do when it was not reached. */
  nextStep?: string;
}

const LOOK_MS = 200;
/** Beyond the longest start and the longest drain of any configuration that is in use. */
const FOLLOW_MS_MAX = 24 * 3_600_000;
/** A node process that is being replaced answers again within this time. */
const AWAY_MS_MAX = 15_000;

export async function followPool(
  { client, name, result, goal, nextStep }: Followed,
  options: WaitOptions,
  context: CommandContext,
): Promise<void> {
  if (options.wait === false || !result.ok) return reportAction(result, options, context);
  const { terminal } = context;
  const say = (text: string) => {
    if (!options.json) terminal.tell(text);
  };
  say(`${terminal.colors.green('ok:')} ${result.message}`);
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.once('SIGINT', onSignal);
  try {
    const end = await watch(client, { name, goal, say }, stop.signal);
    const message = end.message === '' ? result.message : end.message;
    if (options.json) terminal.print(JSON.stringify({ ok: end.ok, message }, null, 2));
    else if (end.ok) terminal.tell(`${terminal.colors.green('ok:')} ${message}`);
    else {
      terminal.complain(`${terminal.colors.red('failed:')} ${message}`);
      if (nextStep !== undefined && !stop.signal.aborted) terminal.complain(nextStep);
    }
    if (!end.ok) context.exit(stop.signal.aborted ? EXIT_CODES.interrupted.code : EXIT_CODES.failed.code);
  } finally {
    process.off('SIGINT', onSignal);
  }
}

async function watch(
  client: AdminClient,
  { name, goal, say }: Pick<Followed, 'name' | 'goal'> & { say(text: string): void },
  signal: AbortSignal,
): Promise<ActionResult> {
  const beganMs = performance.now();
  const news = new ReplicaNews(say);
  let answeredMs = beganMs;
  while (performance.now() - beganMs < FOLLOW_MS_MAX) {
    if (signal.aborted) return { ok: false, message: 'no longer followed; it goes on (`autoglm status`)' };
    const pools = await poolsOf(client, signal);
    if (pools === null && performance.now() - answeredMs > AWAY_MS_MAX)
      throw new PlatformError('not_running', `nothing answers at ${client.url} any more`);
    if (pools !== null) {
      answeredMs = performance.now();
      const pool = pools.find(({ model }) => model === name);
      news.tell(pool?.replicas ?? [], missing(name, pool, goal));
      const end = goal === 'ready' ? judgeReady(name, pool) : judgeGone(name, pool);
      if (end !== null) return withTime(end, performance.now() - beganMs);
    }
    await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
  }
  return { ok: false, message: `model "${name}" is not ${goal} after ${FOLLOW_MS_MAX / 3_600_000} h` };
}

/** Null while nothing answers: a node process that is being replaced comes back. */
async function poolsOf(client: AdminClient, signal: AbortSignal): Promise<PoolStatus[] | null> {
  try {
    return (await client.status(signal)).pools;
  } catch (error) {
    if (PlatformError.from(error).code === 'not_running' || signal.aborted) return null;
    throw error;
  }
}

/** How long it took says something only of what was reached. */
function withTime({ ok, message }: ActionResult, ms: number): ActionResult {
  if (!ok) return { ok, message };
  return { ok, message: `${message} after ${(ms / 1000).toFixed(1)} s` };
}

function missing(name: string, pool: PoolStatus | undefined, goal: Followed['goal']): string {
  const { ready = 0, replicas = [] } = pool ?? {};
  if (goal === 'gone') return `model "${name}" has not ended yet`;
  return `${ready} of ${replicas.length} replicas of model "${name}" are ready`;
}

function judgeReady(name: string, pool: PoolStatus | undefined): ActionResult | null {
  if (pool === undefined || pool.leaving)
    return { ok: false, message: `model "${name}" was unloaded meanwhile` };
  const staying = pool.replicas.filter(({ state }) => state !== 'stopped');
  if (staying.every(({ state }) => state === 'ready'))
    return { ok: true, message: `model "${name}" is ready: ${staying.length} of ${staying.length} replicas` };
  const pending = staying.filter(({ state }) => state !== 'ready' && state !== 'quarantined');
  if (pending.length > 0) return null;
  const [failed] = staying.filter(({ state }) => state === 'quarantined');
  const ready = staying.filter(({ state }) => state === 'ready').length;
  const message = `model "${name}": ${ready} of ${staying.length} replicas are ready; ${failed?.id}: ${printable(failed?.reason ?? '')}`;
  return { ok: false, message };
}

function judgeGone(name: string, pool: PoolStatus | undefined): ActionResult | null {
  if (pool === undefined) return { ok: true, message: `model "${name}" is unloaded` };
  return pool.leaving ? null : { ok: false, message: `model "${name}" was loaded again meanwhile` };
}
