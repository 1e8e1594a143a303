/**
 * How many tokens a chat prompt has, by the tokenizer of an engine that serves the model; never an estimate. Takes no place
 * on the replica, for nothing is generated.
 */
import { PlatformError } from '../../contract/errors.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { readError } from '../../wire/canonical/chat-error.ts';
import { isRecord } from '../../wire/json/parse-object.ts';
import type { ApiContext } from './api-route.ts';
import { askEngine, type EngineReply } from './ask-engine.ts';
import type { PoolEntry, ReplicaEntry } from './fleet-table.ts';

/** A long prompt takes seconds. */
const TIMEOUT_MS = 30_000;
/** Engines answer with all ids: seven bytes or so each. */
const BYTES_MAX = 64 * 1024 * 1024;
/** Replicas that are asked before the request is given up. */
const REPLICAS_MAX = 3;

/**
 * `body` is a chat request without what concerns its answer. Rejects with `not_supported`, `no_replica`, `invalid_request`
 * for what the engine refuses, `upstream_timeout`, `engine_failed`, or `client_closed`.
 */
export async function countPrompt(
  gateway: ApiContext,
  exchange: HttpExchange,
  pool: PoolEntry,
  body: Record<string, unknown>,
): Promise<number> {
  let last: PlatformError | null = null;
  for (const { view } of tokenizers(gateway, pool).slice(0, REPLICAS_MAX)) {
    const question = { add_generation_prompt: true, ...body, model: view.servedModel };
    const pending = askEngine(gateway, view, {
      path: '/tokenize',
      body: question,
      timeoutMs: TIMEOUT_MS,
      bytesMax: BYTES_MAX,
    });
    exchange.onClientGone(pending.cancel);
    if (exchange.clientGone) pending.cancel();
    const result = countIn(await pending.reply, view.id);
    if (typeof result === 'number') return result;
    // Another engine would refuse it just so.
    if (result.code === 'invalid_request' || result.code === 'client_closed') throw result;
    last = result;
  }
  throw last ?? noTokenizer(pool);
}

/** Least busy first. */
function tokenizers(gateway: ApiContext, pool: PoolEntry): ReplicaEntry[] {
  const wallMs = gateway.clock.wallMs();
  return pool.replicas
    .filter(({ view, slot }) => {
      return view.state === 'ready' && view.capabilities.tokenize && !gateway.shared.isEjected(slot, wallMs);
    })
    .toSorted((a, b) => gateway.shared.inFlight(a.slot) - gateway.shared.inFlight(b.slot));
}

function noTokenizer({ view }: PoolEntry): PlatformError {
  if (view.replicas.length > 0 && !view.replicas.some(({ capabilities }) => capabilities.tokenize)) {
    return new PlatformError(
      'not_supported',
      `the engine of model "${view.model}" does not count the tokens of a prompt`,
    );
  }
  return new PlatformError('no_replica', `model "${view.model}": no replica is ready to count tokens`, {
    retryAfterS: 5,
  });
}

function countIn(reply: EngineReply, replica: string): number | PlatformError {
  if (reply.kind === 'failed') {
    if (reply.why === 'cancelled')
      return new PlatformError('client_closed', 'the client left while its tokens were counted');
    const code = reply.why === 'timeout' ? 'upstream_timeout' : 'engine_failed';
    return new PlatformError(code, `replica ${replica} did not count the tokens: ${reply.detail}`);
  }
  const answer = objectIn(reply.body);
  if (reply.status === 200 && Number.isSafeInteger(answer?.count)) return answer?.count as number;
  const why = (answer === null ? null : readError(answer)?.message) ?? `status ${reply.status}`;
  const refused = reply.status >= 400 && reply.status < 500 && reply.status !== 429;
  return refused
    ? new PlatformError('invalid_request', why)
    : new PlatformError('engine_failed', `replica ${replica} did not count the tokens: ${why}`);
}

function objectIn(body: Buffer): Record<string, unknown> | null {
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'));
    return isRecord(parsed) ? parsed : null;
  } catch {
    return null;
  }
}
