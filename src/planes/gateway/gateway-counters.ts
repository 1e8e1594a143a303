/**
 * What a gateway counts, under names that say unit and kind (docs/reference/metrics.md). Labels are bounded: models that are
 * configured, outcomes and error codes that are closed lists, status classes.
 */
import type { ContinuationTier } from '../../contract/continuation.ts';
import type { AttemptFailure } from '../../contract/facts.ts';
import {
  type Family,
  type HistogramCell,
  type MetricDeltas,
  MetricSet,
  type ValueCell,
} from '../../wire/prometheus/metric-set.ts';
import type { SplitReason } from './batching/batched-request.ts';
import type { RequestRecord } from './request-record.ts';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300] as const;

const BATCH_SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256] as const;
const BATCH_WAIT_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1] as const;

export const GATEWAY_METRICS: readonly Family[] = [
  {
    name: 'autoglm_requests_total',
    type: 'counter',
    help: 'Requests that ended, by route, model, outcome and status class.',
  },
  {
    name: 'autoglm_request_errors_total',
    type: 'counter',
    help: 'Requests that ended with an error, by error code.',
  },
  {
    name: 'autoglm_request_duration_seconds',
    type: 'histogram',
    bounds: SECONDS,
    help: 'From the request to the end of its answer.',
  },
  {
    name: 'autoglm_time_to_first_token_seconds',
    type: 'histogram',
    bounds: SECONDS,
    help: 'From the request to its first content token, streams only.',
  },
  {
    name: 'autoglm_queue_time_seconds',
    type: 'histogram',
    bounds: SECONDS,
    help: 'Time a request waited for a place on a replica.',
  },
  {
    name: 'autoglm_tokens_total',
    type: 'counter',
    help: 'Tokens by type: prompt and completion as engines reported them; completion_estimated, one per event, where they did not.',
  },
  {
    name: 'autoglm_attempt_failures_total',
    type: 'counter',
    help: 'Attempts on a replica that failed, by failure.',
  },
  {
    name: 'autoglm_client_retries_total',
    type: 'counter',
    help: 'Requests that their client had sent before (x-stainless-retry-count).',
  },
  {
    name: 'autoglm_retries_total',
    type: 'counter',
    help: 'Attempts beyond the first, continuations included.',
  },
  {
    name: 'autoglm_continuations_total',
    type: 'counter',
    help: 'Cut streams by the tier that continued them; D is a typed error.',
  },
  {
    name: 'autoglm_continuation_gap_seconds',
    type: 'histogram',
    bounds: SECONDS,
    help: 'From the cut of a stream to its next token.',
  },
  {
    name: 'autoglm_suspect_requests',
    type: 'gauge',
    help: 'Fingerprints of requests that were in flight when engines died, by status: suspected, accused, held and convicted (docs/suspects.md). Refusals are in autoglm_requests_total under the outcome rejected-suspect.',
  },
  {
    name: 'autoglm_rate_limited_total',
    type: 'counter',
    help: 'Requests that a limit refused, by model, whose limit it is (key, key-model, model) and its kind (requests, tokens, concurrency).',
  },
  {
    name: 'autoglm_rate_limits_alone_total',
    type: 'counter',
    help: 'Requests whose limits this gateway looked at without the others, because Redis gave no answer in time.',
  },
  {
    name: 'autoglm_filler_requests_total',
    type: 'counter',
    help: 'Lines of batches that were sent to replicas, by model and outcome; no other metric of requests counts them.',
  },
  {
    name: 'autoglm_cache_requests_total',
    type: 'counter',
    help: 'Requests by what the response cache did: hit, joined (given the answer to one that ran), similar (to one that means the same), miss, bypass.',
  },
  {
    name: 'autoglm_cache_saved_tokens_total',
    type: 'counter',
    help: 'Tokens of answers that no engine had to make, by type; autoglm_tokens_total does not count them.',
  },
  {
    name: 'autoglm_cache_evictions_total',
    type: 'counter',
    help: 'Answers that left the response cache because others needed the room.',
  },
  { name: 'autoglm_cache_bytes', type: 'gauge', help: 'Size of the response cache.' },
  { name: 'autoglm_cache_entries', type: 'gauge', help: 'Answers in the response cache.' },
  {
    name: 'autoglm_cache_flights',
    type: 'gauge',
    help: 'Requests that run and may be joined by equal ones.',
  },
  {
    name: 'autoglm_batching_requests',
    type: 'histogram',
    bounds: BATCH_SIZES,
    help: 'Requests that one call to an engine carried, by model and end point; only where a model has batching.',
  },
  {
    name: 'autoglm_batching_wait_seconds',
    type: 'histogram',
    bounds: BATCH_WAIT_SECONDS,
    help: 'Time a request waited for company, by model and end point.',
  },
  {
    name: 'autoglm_batching_splits_total',
    type: 'counter',
    help: 'Calls of several requests that were sent again in two halves, by model, end point and reason: refused (a 4xx of the engine), engine-error (a 500), unreadable (an answer that is not one to all of them); one by one: quarantined (engines died of them).',
  },
  {
    name: 'autoglm_redis_calls_total',
    type: 'counter',
    help: 'Calls to Redis by who made them and result: answered, failed (Redis refused), late (no answer in time, or the connection broke), refused (not sent, Redis is away).',
  },
  {
    name: 'autoglm_redis_up',
    type: 'gauge',
    help: 'Whether Redis can be used (1) or is away (0), by who uses it.',
  },
  {
    name: 'autoglm_worker_restarts_total',
    type: 'counter',
    help: 'Gateway worker threads that died and were replaced.',
  },
  { name: 'autoglm_in_flight_requests', type: 'gauge', help: 'Inference requests in flight.' },
  { name: 'autoglm_queued_requests', type: 'gauge', help: 'Requests that wait for a place, by model.' },
  {
    name: 'autoglm_scale_out_ratio',
    type: 'gauge',
    help: 'Requests in flight, waiting and refused, against 80 % of what the ready replicas of a model take at once; above 1, more are needed.',
  },
  {
    name: 'autoglm_replicas_wanted',
    type: 'gauge',
    help: 'Replicas that would carry the requests of a model, by autoglm_scale_out_ratio.',
  },
  {
    name: 'autoglm_queue_share_ratio',
    type: 'gauge',
    help: 'Share of their configured length that queues may have; below 1 while the gateway can not keep up.',
  },
  { name: 'autoglm_replica_in_flight_requests', type: 'gauge', help: 'Attempts in flight, by deployment.' },
  {
    name: 'autoglm_late_replicas_kept',
    type: 'gauge',
    help: 'Replicas of a model that are used although their health probes are not answered in time, because too few others serve.',
  },
  {
    name: 'autoglm_replica_speed_share_ratio',
    type: 'gauge',
    help: 'How much of the weight of a deployment counts by its speed: below 1, it takes longer for a token than its peers. Pools of three and more.',
  },
  {
    name: 'autoglm_replica_step_seconds',
    type: 'gauge',
    help: 'Time for a token by deployment: median of the newest answers; absent where there were too few lately.',
  },
];

/** What every request of one route and model is counted in, looked up once. */
class Series {
  readonly duration: HistogramCell;
  readonly queueTime: HistogramCell;
  readonly firstToken: HistogramCell;
  readonly promptTokens: ValueCell;
  readonly completionTokens: ValueCell;
  readonly estimatedTokens: ValueCell;
  readonly #metrics: MetricSet;
  readonly #labels: { route: string; model: string };
  /** By outcome and status. */
  readonly #requests = new Map<string, Map<number, ValueCell>>();

  constructor(metrics: MetricSet, route: string, model: string) {
    this.#metrics = metrics;
    this.#labels = { route, model };
    this.duration = metrics.histogram('autoglm_request_duration_seconds', this.#labels);
    this.queueTime = metrics.histogram('autoglm_queue_time_seconds', { model });
    this.firstToken = metrics.histogram('autoglm_time_to_first_token_seconds', { model });
    const tokens = (type: string) => metrics.value('autoglm_tokens_total', { model, type });
    this.promptTokens = tokens('prompt');
    this.completionTokens = tokens('completion');
    this.estimatedTokens = tokens('completion_estimated');
  }

  requests(outcome: string, status: number): ValueCell {
    let byStatus = this.#requests.get(outcome);
    if (byStatus === undefined) {
      byStatus = new Map();
      this.#requests.set(outcome, byStatus);
    }
    let cell = byStatus.get(status);
    if (cell === undefined) {
      const labels = { ...this.#labels, outcome, status_class: statusClass(status) };
      cell = this.#metrics.value('autoglm_requests_total', labels);
      byStatus.set(status, cell);
    }
    return cell;
  }
}

export class GatewayCounters {
  readonly #metrics = new MetricSet(GATEWAY_METRICS);
  /** By route and model. */
  readonly #series = new Map<string, Map<string, Series>>();

  settled(record: RequestRecord, endedMs: number): void {
    const model = record.model ?? '';
    const series = this.#seriesOf(record.route, model);
    if (record.filler) {
      this.#metrics.add('autoglm_filler_requests_total', { model, outcome: record.outcome });
      countTokens(record, series);
      return;
    }
    series.requests(record.outcome, record.status).add();
    series.duration.observe((endedMs - record.startedMs) / 1000);
    if (record.errorCode !== null)
      this.#metrics.add('autoglm_request_errors_total', { model, error_type: record.errorCode });
    if (record.limited !== null) this.#countLimited(model, record.limited);
    if (record.clientRetries > 0) this.#metrics.add('autoglm_client_retries_total', { model });
    if (record.cache !== null) this.#countCache(record, record.cache, model);
    if (record.attempts === 0) return;
    series.queueTime.observe(record.queuedMs / 1000);
    if (record.attempts > 1) this.#metrics.add('autoglm_retries_total', { model }, record.attempts - 1);
    if (record.firstTokenMs !== null) series.firstToken.observe(record.firstTokenMs / 1000);
    countTokens(record, series);
  }

  #seriesOf(route: string, model: string): Series {
    let byModel = this.#series.get(route);
    if (byModel === undefined) {
      byModel = new Map();
      this.#series.set(route, byModel);
    }
    let series = byModel.get(model);
    if (series === undefined) {
      series = new Series(this.#metrics, route, model);
      byModel.set(model, series);
    }
    return series;
  }

  #countLimited(model: string, { scope, kind }: NonNullable<RequestRecord['limited']>): void {
    this.#metrics.add('autoglm_rate_limited_total', { model, limit: scope, kind });
  }

  #countCache(record: RequestRecord, result: string, model: string): void {
    this.#metrics.add('autoglm_cache_requests_total', { model, result });
    if (result === 'miss' || result === 'bypass') return;
    const saved = {
      prompt: record.promptTokens,
      completion: record.completionTokens ?? record.estimatedTokens,
    };
    for (const [type, tokens] of Object.entries(saved))
      if (tokens !== null) this.#metrics.add('autoglm_cache_saved_tokens_total', { model, type }, tokens);
  }

  batchSent(model: string, endpoint: string, waitsMs: readonly number[]): void {
    const labels = { model, endpoint };
    this.#metrics.observe('autoglm_batching_requests', labels, waitsMs.length);
    for (const waitMs of waitsMs)
      this.#metrics.observe('autoglm_batching_wait_seconds', labels, waitMs / 1000);
  }

  batchSplit(model: string, endpoint: string, reason: SplitReason): void {
    this.#metrics.add('autoglm_batching_splits_total', { model, endpoint, reason });
  }

  limitsAlone(): void {
    this.#metrics.add('autoglm_rate_limits_alone_total', {});
  }

  redisCalls(user: string, counts: Readonly<Record<string, number>>): void {
    for (const [result, count] of Object.entries(counts))
      if (count > 0) this.#metrics.add('autoglm_redis_calls_total', { user, result }, count);
  }

  attemptFailed(model: string, failure: AttemptFailure): void {
    this.#metrics.add('autoglm_attempt_failures_total', { model, error_type: failure });
  }

  continued(tier: ContinuationTier, gapMs?: number): void {
    this.#metrics.add('autoglm_continuations_total', { tier });
    if (gapMs !== undefined)
      this.#metrics.observe('autoglm_continuation_gap_seconds', { tier }, gapMs / 1000);
  }

  takeDeltas(): MetricDeltas {
    return this.#metrics.takeDeltas();
  }
}

function countTokens(record: RequestRecord, series: Series): void {
  if (record.promptTokens !== null) series.promptTokens.add(record.promptTokens);
  if (record.completionTokens !== null) series.completionTokens.add(record.completionTokens);
  if (record.estimatedTokens !== null) series.estimatedTokens.add(record.estimatedTokens);
}

function statusClass(status: number): string {
  return status === 0 ? 'none' : `${Math.floor(status / 100)}xx`;
}
