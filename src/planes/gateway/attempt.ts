/**
 * One try of a request on one replica: sends it, watches its limits, and reports exactly one end. Knows nothing of clients,
 * streams or retries.
 */
import type { Clock } from '../../base/clock.ts';
import type { AttemptFailure } from '../../contract/facts.ts';
import type { ReplicaView } from '../../contract/fleet.ts';
import type { GatewaySettings } from '../../contract/gateway-snapshot.ts';
import type { Transport, UpstreamCall, UpstreamRequest } from '../../contract/ports/transport.ts';
import type { DeadlineSweep, Watched } from './deadline-sweep.ts';
import type { ReplicaEntry } from './fleet-table.ts';

export type ResponseHeaders = Record<string, string | string[] | undefined>;

export interface AttemptEvents {
  onHead(status: number, headers: ResponseHeaders): void;
  onData(chunk: Buffer): void;
  onEnd(): void;
  onFailure(failure: AttemptFailure, detail: string): void;
}

export interface AttemptRequest {
  replica: ReplicaEntry;
  path: string;
  body: Uint8Array;
  requestId: string;
  accept: string;
  traceparent: string | undefined;
}

export interface AttemptContext {
  transport: Transport;
  clock: Clock;
  attempts: DeadlineSweep<Attempt>;
  settings: GatewaySettings;
  /** Whether the supervisor has the replica out of rotation because something is wrong with it, and another one is ready. */
  isSuspect(replica: ReplicaEntry): boolean;
  /** Something of an answer came from the replica since this was last said. */
  noteProgress(replica: ReplicaEntry): void;
}

/** Silence after which a suspect replica is given up. */
const SUSPECT_SILENCE_MS = 2_000;

export class Attempt implements Watched {
  listAt = -1;
  readonly #context: AttemptContext;
  readonly #events: AttemptEvents;
  readonly #call: UpstreamCall;
  readonly #replica: ReplicaEntry;
  readonly bodyBytes: number;
  #ended = false;
  #paused = false;
  #contentSeen = false;
  #lastReadMs: number;
  /** The last read that others were told of. */
  #notedReadMs: number;
  readonly #startedMs: number;

  constructor(context: AttemptContext, request: AttemptRequest, events: AttemptEvents) {
    this.#context = context;
    this.#events = events;
    this.#replica = request.replica;
    this.bodyBytes = request.body.byteLength;
    this.#startedMs = context.clock.monotonicMs();
    this.#lastReadMs = this.#startedMs;
    this.#notedReadMs = this.#startedMs;
    this.#call = context.transport.send(
      {
        origin: request.replica.view.url,
        method: 'POST',
        path: request.path,
        headers: upstreamHeaders(request),
        body: request.body,
        connectTimeoutMs: context.settings.connectTimeoutMs,
        ...kserveOf(request.replica.view),
      },
      {
        onHead: (status, headers) => {
          this.#lastReadMs = context.clock.monotonicMs();
          events.onHead(status, headers);
        },
        onData: (chunk) => {
          this.#lastReadMs = context.clock.monotonicMs();
          events.onData(chunk);
        },
        onEnd: () => {
          if (this.#finish()) events.onEnd();
        },
        onError: (failure, cause) => {
          if (this.#finish()) events.onFailure(failure, cause.message);
        },
      },
    );
    // The transport may have failed at once, before there was a call to end; and where it throws, nobody is to be watched.
    if (this.#ended) this.#call.abort();
    else context.attempts.add(this);
  }

  /** The first content token came: from here on the silence between reads counts, not the time to the first token. */
  contentSeen(): void {
    this.#contentSeen = true;
  }

  pause(): void {
    this.#paused = true;
    this.#call.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#lastReadMs = this.#context.clock.monotonicMs();
    this.#notedReadMs = this.#lastReadMs;
    this.#call.resume();
  }

  get replicaId(): string {
    return this.#replica.view.id;
  }

  /** It has had no token yet. */
  get isWaiting(): boolean {
    return !this.#contentSeen;
  }

  /** The supervisor takes what runs off the engine: whoever asked goes on elsewhere. */
  giveUp(): void {
    this.#fail('given-up', 'the engine was told to drop what it had');
  }

  /** Ends the attempt and its connection; nothing is reported after this. */
  abort(): void {
    if (this.#finish()) this.#call.abort();
  }

  onSweep(nowMs: number): void {
    if (this.#paused) return;
    if (this.#lastReadMs !== this.#notedReadMs) {
      this.#notedReadMs = this.#lastReadMs;
      this.#context.noteProgress(this.#replica);
    }
    const { firstTokenTimeoutMs, stallTimeoutMs } = this.#context.settings;
    const silentMs = nowMs - this.#lastReadMs;
    if (silentMs > SUSPECT_SILENCE_MS && this.#context.isSuspect(this.#replica)) {
      this.#fail('replica-suspect', `silent for ${Math.round(silentMs)} ms, and its probes fail`);
    } else if (!this.#contentSeen && nowMs - this.#startedMs > firstTokenTimeoutMs) {
      this.#fail('first-token-timeout', `no token within ${firstTokenTimeoutMs} ms`);
    } else if (this.#contentSeen && silentMs > stallTimeoutMs) {
      this.#fail('stall-timeout', `nothing for ${stallTimeoutMs} ms in the middle of the answer`);
    }
  }

  #fail(failure: AttemptFailure, detail: string): void {
    if (!this.#finish()) return;
    this.#call.abort();
    this.#events.onFailure(failure, detail);
  }

  #finish(): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#context.attempts.remove(this);
    return true;
  }
}

const OPENAI = {};

function kserveOf({ protocol, servedModel, chatTemplate }: ReplicaView): Pick<UpstreamRequest, 'kserve'> {
  if (protocol === undefined || protocol === 'openai') return OPENAI;
  return { kserve: { protocol, model: servedModel, ...(chatTemplate !== undefined && { chatTemplate }) } };
}

/** Built from scratch: nothing of the client's headers goes on but what stands here. */
function upstreamHeaders(request: AttemptRequest): Record<string, string> {
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    accept: request.accept,
    'x-request-id': request.requestId,
  };
  const { engineKey } = request.replica.view;
  if (engineKey !== undefined) headers.authorization = `Bearer ${engineKey}`;
  if (request.traceparent !== undefined) headers.traceparent = request.traceparent;
  return headers;
}
