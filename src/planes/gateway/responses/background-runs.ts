/**
 * The background responses of one worker: started here, kept alive in the store once a second, stopped when they were cancelled
 * or deleted anywhere. A worker that closes waits for them; one that dies leaves rows without a sign of life, which readers
 * turn into failed responses.
 */
import { PlatformError } from '../../../contract/errors.ts';
import type { StoredResponse } from '../../../contract/ports/response-store.ts';
import { type ResponseEventOut, ResponsesTranslator } from '../../../wire/responses/answer-translator.ts';
import type { ResponseObject } from '../../../wire/responses/response-object.ts';
import type { ApiContext } from '../api-route.ts';
import { newRecord } from '../request-record.ts';
import { serveInference } from '../serve-inference.ts';
import { BackgroundExchange } from './background-exchange.ts';
import type { BackgroundRequest, ResponseRuns } from './response-runs.ts';

/** Background responses of one worker at once; each holds its output in memory. */
const RUNS_MAX = 256;
const HEARTBEAT_MS = 1_000;
/** Tries to store an end, one each second: a disk that was full for a moment must not lose it. */
const END_TRIES_MAX = 10;

interface Run {
  exchange: BackgroundExchange;
  /** Called when there is something new in the store. */
  listeners: Set<() => void>;
}

export class BackgroundRuns implements ResponseRuns {
  readonly #gateway: ApiContext;
  readonly #runs = new Map<string, Run>();
  /** Places of runs that are being stored before they start. */
  #reserved = 0;
  #beating = false;
  #onIdle: (() => void)[] = [];

  constructor(gateway: ApiContext) {
    this.#gateway = gateway;
  }

  /** A place for one run, until it is started or given back. */
  reserve(): Disposable {
    if (this.#runs.size + this.#reserved < RUNS_MAX) {
      this.#reserved++;
      return { [Symbol.dispose]: () => void this.#reserved-- };
    }
    throw new PlatformError('saturated', `${RUNS_MAX} background responses run already`, { retryAfterS: 5 });
  }

  start(request: BackgroundRequest): void {
    const { base } = request;
    const { stores, clock } = this.#gateway;
    const nowS = () => Math.floor(clock.wallMs() / 1_000);
    const translator = new ResponsesTranslator(base, nowS);
    const listeners = new Set<() => void>();
    const exchange = new BackgroundExchange({
      id: base.id,
      headers: request.headers,
      translator,
      store: stores.responses,
      keepEvents: request.keepEvents,
      onStored: () => {
        for (const listener of listeners) listener();
      },
      keepEnd: (response, events) => this.#keepEnd(response, events),
      onStarted: () => void this.#noteStarted(translator.present('in_progress')),
    });
    this.#runs.set(base.id, { exchange, listeners });
    void this.#run(request, exchange).finally(() => this.#remove(base.id));
    if (!this.#beating) void this.#beat();
  }

  cancel(id: string): void {
    this.#runs.get(id)?.exchange.cancel();
  }

  onStored(id: string, listener: () => void): () => void {
    const listeners = this.#runs.get(id)?.listeners;
    listeners?.add(listener);
    return () => listeners?.delete(listener);
  }

  idle(): Promise<void> {
    if (this.#runs.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  async #run(request: BackgroundRequest, exchange: BackgroundExchange): Promise<void> {
    const { clock } = this.#gateway;
    const { requestId, method, route, keyName, caller, hold } = request.record;
    const record = newRecord({
      requestId,
      method,
      route,
      startedWallMs: clock.wallMs(),
      startedMs: clock.monotonicMs(),
    });
    record.keyName = keyName;
    record.caller = caller;
    record.hold = hold?.handOver() ?? null;
    try {
      await serveInference(this.#gateway, exchange, request.envelope, record);
    } catch (thrown) {
      const error = PlatformError.from(thrown);
      if (error.code === 'internal')
        this.#gateway.logError('a background response failed by a bug', error, requestId);
      exchange.fail('server_error', error.code === 'internal' ? 'internal error' : error.message);
      record.errorCode = error.code;
    }
    this.#gateway.settle(record);
  }

  #remove(id: string): void {
    this.#runs.delete(id);
    if (this.#runs.size > 0) return;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  async #noteStarted(response: ResponseObject): Promise<void> {
    const update: Pick<StoredResponse, 'id' | 'status' | 'responseJson' | 'aliveAtMs'> = {
      id: response.id,
      status: 'in_progress',
      responseJson: JSON.stringify(response),
      aliveAtMs: this.#gateway.clock.wallMs(),
    };
    // Without it the response is "queued" to its readers until it ends.
    await this.#gateway.stores.responses.update(update).catch(() => {});
  }

  async #keepEnd(response: ResponseObject, events: ResponseEventOut[]): Promise<void> {
    const update = {
      id: response.id,
      status: response.status,
      responseJson: JSON.stringify(response),
      aliveAtMs: null,
      events: events.map(({ sequence, data }) => ({ sequence, data })),
    };
    for (let turn = 1; ; turn++) {
      try {
        await this.#gateway.stores.responses.update(update);
        return;
      } catch (error) {
        if (turn < END_TRIES_MAX) await this.#gateway.clock.sleep(HEARTBEAT_MS);
        else {
          this.#gateway.logError('the end of a background response could not be stored', error, response.id);
          return;
        }
      }
    }
  }

  async #beat(): Promise<void> {
    const { clock, stores } = this.#gateway;
    this.#beating = true;
    while (this.#runs.size > 0) {
      await clock.sleep(HEARTBEAT_MS);
      const ids = [...this.#runs].filter(([, { exchange }]) => !exchange.ended).map(([id]) => id);
      if (ids.length === 0) continue;
      const over = await stores.responses.heartbeat({ ids, nowMs: clock.wallMs() }).catch((): string[] => []);
      for (const id of over) this.#runs.get(id)?.exchange.cancel();
    }
    this.#beating = false;
  }
}
