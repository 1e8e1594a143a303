/**
 * The response cache as the requests of one worker use it: decides for each whether it is concerned, and serves those that are.
 * Called for every inference request, so what is not concerned costs a look at its pool.
 */
import { hash } from 'node:crypto';
import { PlatformError } from '../../../contract/errors.ts';
import type { EngineCapabilities } from '../../../contract/fleet.ts';
import { cachePlan } from '../../../decide/scheduling/cache/cache-plan.ts';
import type { PoolEntry } from '../fleet-table.ts';
import { poolName } from '../fleet-table.ts';
import type { GatewayContext } from '../gateway-context.ts';
import type { RequestRecord } from '../request-record.ts';
import type { CacheClient } from './cache-client.ts';
import { CacheStatusExchange } from './cache-status.ts';
import type { CachedRequest, RequestCache } from './cached-request.ts';
import { CachedRun } from './cached-run.ts';
import { RecordingBudget } from './recorded-answer.ts';

/** One answer takes at most this share of the cache (as `ByteStore` has it), and at most these bytes. */
const ANSWER_RATIO_MAX = 0.125;
const ANSWER_BYTES_MAX = 8_388_608;
/** Share of the cache's size that answers may take, in all workers, while it is not known whether they will be kept. */
const RECORDING_RATIO = 0.25;

export class AnswerCache implements RequestCache {
  readonly #context: GatewayContext;
  readonly #client: CacheClient;
  readonly #budget: RecordingBudget;
  #running = 0;
  readonly #onIdle: (() => void)[] = [];

  constructor(context: GatewayContext, client: CacheClient) {
    this.#context = context;
    this.#client = client;
    this.#budget = new RecordingBudget(() => {
      const { cache, workers } = context.settings;
      return ((cache?.bytesMax ?? 0) * RECORDING_RATIO) / workers;
    });
  }

  serve(request: CachedRequest): Promise<void> | null {
    const { cache } = this.#context.settings;
    const policy = request.pool.view.cache;
    if (!cache || policy === undefined) return null;
    const { exchange, envelope, record, pool, attempt } = request;
    const plan = cachePlan({
      policy,
      headers: exchange.headers,
      scope: {
        tenant: record.keyName ?? '',
        modelRevision: revisionOf(pool),
        endpoint: envelope.endpoint,
        determinism: determinismOf(pool),
      },
      body: envelope.fields,
    });
    if (plan.kind === 'off') return null;
    if (plan.kind === 'refused') throw new PlatformError('invalid_request', plan.message);
    if (plan.kind === 'bypass') {
      record.cache = 'bypass';
      return attempt(new CacheStatusExchange(exchange, 'bypass'));
    }
    const run = new CachedRun(this.#context, {
      client: this.#client,
      exchange,
      record,
      question: {
        key: keyOf(plan.keyText),
        read: plan.read,
        // Who waits while clients are served must not make clients wait.
        join: !record.filler,
        ageMsMax: plan.ageMsMax,
      },
      similar:
        plan.similar === null || policy.semantic === undefined
          ? null
          : {
              text: plan.similar.text,
              partition: keyOf(plan.similar.partitionText),
              policy: policy.semantic,
            },
      ttlMs: policy.ttlMs,
      mayKeep: () => this.#isOf(pool, record),
      limits: {
        bytesMax: Math.min(cache.bytesMax * ANSWER_RATIO_MAX, ANSWER_BYTES_MAX),
        budget: this.#budget,
      },
      attempt,
    });
    return this.#run(run);
  }

  /** Resolves when no request is served by way of the cache; one may still run for others when its own client has left. */
  idle(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  async #run(run: CachedRun): Promise<void> {
    this.#running++;
    try {
      await run.serve();
    } finally {
      this.#running--;
      if (this.#running === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
    }
  }

  /** Whether the answer came from the model as it was when the request came: not from a fallback, nor in the midst of a change. */
  #isOf(asked: PoolEntry, { fallback, model, replica }: RequestRecord): boolean {
    const now = this.#context.table.find(poolName(asked));
    if (fallback !== null || model !== poolName(asked) || now === undefined) return false;
    if (revisionOf(now) !== revisionOf(asked)) return false;
    return ![asked, now].some(({ replicas }) =>
      replicas.some(({ view }) => view.id === replica && view.outdated === true),
    );
  }
}

function keyOf(text: string): string {
  return hash('sha256', text, 'base64url');
}

/** Two pools never share answers, nor two adapters of one; a model that is replaced shares none with its successor. */
function revisionOf(pool: PoolEntry): string {
  const { revision = '', adapterRevisions = {} } = pool.view.cache ?? {};
  const adapter = pool.adapter === undefined ? [] : [adapterRevisions[pool.adapter] ?? ''];
  return JSON.stringify([poolName(pool), revision, ...adapter]);
}

const DETERMINISM_ORDER: readonly EngineCapabilities['determinism'][] = ['none', 'greedy', 'seeded'];

/** Any replica may answer, so the least that one promises is what counts. */
function determinismOf({ replicas }: PoolEntry): EngineCapabilities['determinism'] {
  const least = Math.min(
    ...replicas.map(({ view }) => DETERMINISM_ORDER.indexOf(view.capabilities.determinism)),
  );
  return DETERMINISM_ORDER[least] ?? 'none';
}
