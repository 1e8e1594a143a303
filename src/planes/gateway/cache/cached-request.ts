/** What the request loop and the response cache know of each other. */
import type { HttpExchange } from '../../../contract/ports/http-exchange.ts';
import type { Envelope } from '../../../wire/openai/envelope.ts';
import type { PoolEntry } from '../fleet-table.ts';
import type { RequestRecord } from '../request-record.ts';

export interface CachedRequest {
  exchange: HttpExchange;
  envelope: Envelope;
  record: RequestRecord;
  pool: PoolEntry;
  /** Has an engine asked; what is written to the exchange is the answer. */
  attempt(exchange: HttpExchange): Promise<void>;
}

export interface RequestCache {
  /** Null where the cache is not concerned. Throws `invalid_request` for a header that can not be read. */
  serve(request: CachedRequest): Promise<void> | null;
}
