/** What the request loop and the batching of requests know of each other. */
import type { HttpExchange } from '../../../contract/ports/http-exchange.ts';
import type { Envelope } from '../../../wire/openai/envelope.ts';
import type { PoolEntry } from '../fleet-table.ts';
import type { RequestRecord } from '../request-record.ts';

export interface BatchedRequest {
  exchange: HttpExchange;
  envelope: Envelope;
  record: RequestRecord;
  pool: PoolEntry;
}

export interface RequestBatching {
  /** Null for a request that is to go by itself. */
  serve(request: BatchedRequest): Promise<void> | null;
}

/** Why several requests were not answered by one call. */
export type SplitReason = 'refused' | 'engine-error' | 'unreadable' | 'quarantined';
