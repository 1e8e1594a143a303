/** Responses that run without a client, as APIs see them. `background-runs.ts` is what carries them out. */
import type { Envelope } from '../../../wire/openai/envelope.ts';
import type { ResponseBase } from '../../../wire/responses/response-object.ts';
import type { RequestRecord } from '../request-record.ts';

export interface BackgroundRequest {
  base: ResponseBase;
  envelope: Envelope;
  headers: Readonly<Record<string, string | undefined>>;
  /** Its events are kept, too. */
  keepEvents: boolean;
  /** Of the request that asked for it; what it holds of limits goes over to the run. */
  record: RequestRecord;
}

export interface ResponseRuns {
  /** A place for one run, given back when it is disposed of: keep it until the run is started. Throws `saturated`. */
  reserve(): Disposable;
  /** The row is in the store. Returns at once. */
  start(request: BackgroundRequest): void;
  /** Stops the engine of one that runs here; other workers hear of it by the store. */
  cancel(id: string): void;
  /** Calls `listener` whenever one that runs here has stored something. Gives back how to end that. */
  onStored(id: string, listener: () => void): () => void;
  /** Resolves when none runs. */
  idle(): Promise<void>;
}
