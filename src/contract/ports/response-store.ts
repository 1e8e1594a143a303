/**
 * Port: answers of the Responses API that outlive their request. In the contract: what one process wrote, another reads at
 * once; a response that has ended does not change any more; nothing of another owner is ever shown; what has expired is gone,
 * whether it was swept yet or not. Not in the contract: that a call succeeds (the disk may be full); it rejects with
 * `storage_unavailable` then.
 */
const RESPONSE_STATUSES = [
  'queued',
  'in_progress',
  'completed',
  'incomplete',
  'failed',
  'cancelled',
] as const;
export type ResponseStatus = (typeof RESPONSE_STATUSES)[number];

export interface StoredResponse {
  id: string;
  /** Name of the key that created it; empty where no key is needed. */
  owner: string;
  status: ResponseStatus;
  /** The response before it in the conversation. */
  previousId: string | null;
  createdAtMs: number;
  expiresAtMs: number;
  /** Array of the input items of this request, those of earlier turns left out. */
  inputJson: string;
  /** The response object as clients read it. */
  responseJson: string;
  /** Its events are kept too, so that a client can come back to the stream. */
  eventsKept: boolean;
  /** Last sign of life of the gateway that runs it; null when it has ended. */
  aliveAtMs: number | null;
}

/** The present state of one that runs, or its end, with the events that tell of it. */
export type ResponseUpdate = Pick<StoredResponse, 'id' | 'status' | 'responseJson' | 'aliveAtMs'> & {
  events?: ResponseEvent[];
};

export type ResponseTurn = Pick<StoredResponse, 'id' | 'status' | 'inputJson' | 'responseJson' | 'aliveAtMs'>;

export interface ResponseEvent {
  sequence: number;
  /** The JSON of the event, one line. */
  data: string;
}

/** A longer conversation is refused rather than cut. */
export const CONVERSATION_TURNS_MAX = 1_000;
/** Of the JSON of its items and responses; it is held in memory while a request is built from it. */
export const CONVERSATION_BYTES_MAX = 32 * 1024 * 1024;

export type StoredConversation =
  /** Oldest turn first. */
  | { kind: 'whole'; turns: ResponseTurn[] }
  /** A turn of it is gone, has expired or is another owner's. */
  | { kind: 'broken'; missing: string }
  | { kind: 'too-long' };

export interface ResponseStore {
  /** Writes a new one. Those before it in its conversation live at least as long from here on. */
  create(response: StoredResponse): Promise<void>;
  /** False, and nothing is written, when it is gone or had ended already. */
  update(update: ResponseUpdate): Promise<boolean>;
  find(key: { id: string; owner: string; nowMs: number }): Promise<StoredResponse | null>;
  /** The turns up to `id`. */
  conversation(key: { id: string; owner: string; nowMs: number }): Promise<StoredConversation>;
  /** False when there was none. */
  remove(key: { id: string; owner: string }): Promise<boolean>;
  /** Signs of life of those that run here; gives back which of them have ended elsewhere, or are gone. */
  heartbeat(beat: { ids: string[]; nowMs: number }): Promise<string[]>;
  /** Of one that runs; what comes after its end is not kept. */
  appendEvents(id: string, events: ResponseEvent[]): Promise<void>;
  /** In order, with a sequence number above `after`, at most `limit`. */
  events(key: { id: string; after: number; limit: number }): Promise<ResponseEvent[]>;
  /** Takes away what has expired, and the oldest beyond the limit of bytes. */
  sweep(nowMs: number): Promise<void>;
}
