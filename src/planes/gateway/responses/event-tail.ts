/**
 * Streams the events of a background response out of the store, from any number on, to a client that started it or comes back
 * to it. Ends with the response's last event; a reader that leaves changes nothing.
 */
import { PlatformError } from '../../../contract/errors.ts';
import type { HttpExchange } from '../../../contract/ports/http-exchange.ts';
import type { ResponseEvent, StoredResponse } from '../../../contract/ports/response-store.ts';
import { parseChunk } from '../../../wire/openai/delivered-stream.ts';
import { openAiErrorFrom } from '../../../wire/openai/error-object.ts';
import { eventText } from '../../../wire/responses/answer-translator.ts';
import type { ApiCall, ApiContext } from '../api-route.ts';
import { Places } from '../places.ts';
import { underWatch } from '../reader-watch.ts';
import { outcomeOf } from '../request-end.ts';
import { answerHeaders } from '../respond.ts';
import { isRunning, type ResponseKey, readResponse } from './stored-response.ts';

const EVENTS_PER_READ = 500;
/** How soon new events of another worker's run are seen. */
const POLL_MS = 100;
/** A comment after so much silence, so that proxies do not take the stream for dead. */
const KEEP_ALIVE_MS = 15_000;
/** Readers at once, per worker thread: as many as may run there. Each asks the database ten times a second. */
const READERS_MAX = 256;

const LAST_TYPES = ['response.completed', 'response.incomplete', 'response.failed'];

/** Take a place before `streamStoredEvents`, and keep it until that is over. */
export const storedStreamReaders = new Places(READERS_MAX, 'streams of stored responses are read', {
  retryAfterS: 5,
});

/** Runs until the client has taken the last event or has left; rejects only before anything is sent. */
export async function streamStoredEvents(
  gateway: ApiContext,
  { exchange, record }: Pick<ApiCall, 'exchange' | 'record'>,
  key: ResponseKey,
  startingAfter: number,
): Promise<void> {
  exchange.sendHead(200, {
    ...answerHeaders(record),
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
  });
  record.status = 200;
  record.outcome = 'completed';
  const tail = new EventTail(gateway, key, startingAfter);
  const fail = (thrown: unknown): Step => {
    const error = PlatformError.from(thrown);
    if (error.code === 'internal')
      gateway.logError('the stream of a stored response failed by a bug', error, record.requestId);
    record.outcome = outcomeOf(error.code, record.attempts);
    record.errorCode = error.code;
    return tail.failed(error);
  };
  const client = new WaitingClient(gateway, exchange);
  await underWatch(
    gateway,
    exchange,
    () => record.bytesOut,
    async () => {
      while (!exchange.clientGone) {
        const step = await tail.next().catch(fail);
        if (step.text !== '') record.bytesOut += Buffer.byteLength(step.text);
        if (step.last) return exchange.end(step.text);
        await client.give(step.text, key.id);
      }
    },
  );
  if (!exchange.clientGone || record.outcome !== 'completed') return;
  record.outcome = 'cancelled-by-client';
  record.status = 499;
  record.errorCode = 'client_closed';
}

/** The reader between two steps: waits until it has taken what it was given, and until there is something new for it. */
class WaitingClient {
  readonly #gateway: ApiContext;
  readonly #exchange: HttpExchange;
  #silentSinceMs: number;
  /** Ends the present wait. */
  #wake: () => void = () => {};

  constructor(gateway: ApiContext, exchange: HttpExchange) {
    this.#gateway = gateway;
    this.#exchange = exchange;
    this.#silentSinceMs = gateway.clock.monotonicMs();
    exchange.onClientGone(() => this.#wake());
  }

  async give(text: string, id: string): Promise<void> {
    if (text === '') return this.#somethingNew(id);
    this.#silentSinceMs = this.#gateway.clock.monotonicMs();
    if (!this.#exchange.write(text)) await this.#drained();
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#exchange.onDrain(resolve);
    });
  }

  /** A run of this worker says when it has stored something; others are asked now and then. */
  async #somethingNew(id: string): Promise<void> {
    const { clock, background } = this.#gateway;
    this.#keepAlive();
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    const unlisten = background.onStored(id, this.#wake);
    await clock.sleep(POLL_MS, woken.signal).catch(() => {});
    unlisten();
  }

  #keepAlive(): void {
    const nowMs = this.#gateway.clock.monotonicMs();
    // Who has not taken what came before is not waiting for more.
    if (nowMs - this.#silentSinceMs <= KEEP_ALIVE_MS || this.#exchange.pendingBytes > 0) return;
    this.#silentSinceMs = nowMs;
    this.#exchange.write(': keep-alive\n\n');
  }
}

interface Step {
  text: string;
  last: boolean;
}

class EventTail {
  readonly #gateway: ApiContext;
  readonly #key: ResponseKey;
  #after: number;

  constructor(gateway: ApiContext, key: ResponseKey, startingAfter: number) {
    this.#gateway = gateway;
    this.#key = key;
    this.#after = startingAfter;
  }

  /** What is new; nothing while the response runs and has said no more. */
  async next(): Promise<Step> {
    // The state is read before the events: one that has ended has all of them in the store.
    const stored = await readResponse(this.#gateway, this.#key);
    const { responses } = this.#gateway.stores;
    const events = await responses.events({ id: stored.id, after: this.#after, limit: EVENTS_PER_READ });
    if (events.length === 0) return isRunning(stored) ? { text: '', last: false } : this.#end(stored);
    this.#after = events.at(-1)?.sequence ?? this.#after;
    const typed = events.map((event) => ({ ...event, type: typeOf(event) }));
    return {
      text: typed.map(eventText).join(''),
      last: typed.some(({ type }) => LAST_TYPES.includes(type)),
    };
  }

  /** It ended without a last event of its run: cancelled, or its gateway died. */
  #end({ responseJson, status }: StoredResponse): Step {
    const type = status === 'completed' || status === 'incomplete' ? `response.${status}` : 'response.failed';
    const data = `{"type":"${type}","sequence_number":${this.#after + 1},"response":${responseJson}}`;
    return { text: eventText({ type, data }), last: true };
  }

  failed(error: PlatformError): Step {
    const { code, message } = openAiErrorFrom(error).error;
    const event = { type: 'error', sequence_number: this.#after + 1, code, message, param: null };
    return { text: eventText({ type: 'error', data: JSON.stringify(event) }), last: true };
  }
}

function typeOf({ data }: ResponseEvent): string {
  const type = parseChunk(data)?.type;
  return typeof type === 'string' ? type : 'error';
}
