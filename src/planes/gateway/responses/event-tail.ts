/**
 * Streams the events of a background response out of the store, from any number on, to a client that started it or comes back
 * to it. Ends with the response's last event; a reader that leaves changes nothing.
 */
import type { PlatformError } from '../../../contract/errors.ts';
import type { ResponseEvent, StoredResponse } from '../../../contract/ports/response-store.ts';
import { parseChunk } from '../../../wire/openai/delivered-stream.ts';
import { eventText } from '../../../wire/responses/answer-translator.ts';
import type { ApiCall, ApiContext } from '../api-route.ts';
import { answerHeaders } from '../respond.ts';
import { isRunning, type ResponseKey, readResponse } from './stored-response.ts';

const EVENTS_PER_READ = 500;
/** How soon new events of another worker's run are seen. */
const POLL_MS = 100;
/** A comment after so much silence, so that proxies do not take the stream for dead. */
const KEEP_ALIVE_MS = 15_000;

const LAST_TYPES = ['response.completed', 'response.incomplete', 'response.failed'];

/** Runs until the last event is written or the client has left; rejects only before anything is sent. */
export async function streamStoredEvents(
  gateway: ApiContext,
  { exchange, record }: Pick<ApiCall, 'exchange' | 'record'>,
  key: ResponseKey,
  startingAfter: number,
): Promise<void> {
  const gone = Promise.withResolvers<void>();
  exchange.onClientGone(() => gone.resolve());
  exchange.sendHead(200, {
    ...answerHeaders(record),
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
  });
  record.status = 200;
  record.outcome = 'completed';
  const tail = new EventTail(gateway, key, startingAfter);
  let silentSinceMs = gateway.clock.monotonicMs();
  while (!exchange.clientGone) {
    const step = await tail.next().catch((error: PlatformError) => tail.failed(error));
    if (step.text !== '') {
      record.bytesOut += step.text.length;
      silentSinceMs = gateway.clock.monotonicMs();
      const taken = exchange.write(step.text);
      if (!taken && !step.last) await Promise.race([gone.promise, drained(exchange)]);
    }
    if (step.last) return exchange.end();
    if (step.text !== '') continue;
    if (gateway.clock.monotonicMs() - silentSinceMs > KEEP_ALIVE_MS) {
      exchange.write(': keep-alive\n\n');
      silentSinceMs = gateway.clock.monotonicMs();
    }
    await somethingNew(gateway, key.id, gone.promise);
  }
  record.outcome = 'cancelled-by-client';
  record.status = 499;
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

  failed({ code, message }: PlatformError): Step {
    const event = { type: 'error', sequence_number: this.#after + 1, code, message, param: null };
    return { text: eventText({ type: 'error', data: JSON.stringify(event) }), last: true };
  }
}

function typeOf({ data }: ResponseEvent): string {
  const type = parseChunk(data)?.type;
  return typeof type === 'string' ? type : 'error';
}

function drained(exchange: ApiCall['exchange']): Promise<void> {
  return new Promise((resolve) => exchange.onDrain(resolve));
}

/** A run of this worker says when it has stored something; others are asked now and then. */
async function somethingNew(gateway: ApiContext, id: string, gone: Promise<void>): Promise<void> {
  const timer = new AbortController();
  const stored = Promise.withResolvers<void>();
  const unlisten = gateway.background.onStored(id, stored.resolve);
  const polled = gateway.clock.sleep(POLL_MS, timer.signal).catch(() => {});
  await Promise.race([gone, stored.promise, polled]);
  timer.abort();
  unlisten();
}
