/** The way of every inference request into the pool that it names, whatever dialect its client speaks. */
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import type { Envelope } from '../../wire/openai/envelope.ts';
import type { ApiContext } from './api-route.ts';
import { refuseUnlessOffered } from './engine-endpoints.ts';
import { poolName } from './fleet-table.ts';
import { InferenceRun } from './inference.ts';
import { unknownModel } from './places/refusals.ts';
import type { RequestRecord } from './request-record.ts';

/**
 * Runs to the end and fills in the record. Throws or rejects with `model_not_found`, `not_supported` or what a limit says
 * before anything was sent.
 * `exchange` may be a `TranslatedExchange`: what is written to it is always the OpenAI dialect.
 */
export function serveInference(
  gateway: ApiContext,
  exchange: HttpExchange,
  envelope: Envelope,
  record: RequestRecord,
): Promise<void> {
  const pool = gateway.table.find(envelope.model);
  if (pool === undefined) throw unknownModel(envelope.model, gateway.table.names);
  refuseUnlessOffered(pool.view, envelope.endpoint);
  record.model = poolName(pool);
  record.stream = envelope.stream;
  const alone = (to: HttpExchange) =>
    new InferenceRun(gateway, to, envelope, record, pool.view.fallbacks).serve();
  const attempt =
    pool.view.batching === undefined
      ? alone
      : (to: HttpExchange) => gateway.batching.serve({ exchange: to, envelope, record, pool }) ?? alone(to);
  const answer = () =>
    gateway.cache.serve({ exchange, envelope, record, pool, attempt }) ?? attempt(exchange);
  const admitted = gateway.limits.admit(record, pool, envelope);
  return admitted === undefined ? answer() : admitted.then(answer);
}
