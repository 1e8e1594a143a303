/**
 * Serves one request that uses the response cache: from what is kept, by the answer to an equal request that runs, or by an
 * attempt of its own, for itself or for all who ask the same. Owner of the request until it is over.
 *
 * The cache thread says what to do, and may change its mind: whoever follows leads when the one who led failed. A thread that
 * does not answer in time, or dies, costs a request that wait and nothing else.
 */
import { type AnswerUsage, type CachedAnswer, unpackChunks } from '../../../contract/cached-answer.ts';
import { PlatformError } from '../../../contract/errors.ts';
import type { SemanticCache } from '../../../contract/fleet.ts';
import type { HttpExchange } from '../../../contract/ports/http-exchange.ts';
import { CACHE_HEADER } from '../../../decide/scheduling/cache/cache-plan.ts';
import { openAiErrorFrom } from '../../../wire/openai/error-object.ts';
import { sseData } from '../../../wire/sse/parse-event.ts';
import type { Watched } from '../deadline-sweep.ts';
import type { GatewayContext } from '../gateway-context.ts';
import type { RequestRecord } from '../request-record.ts';
import { answerHeaders, respondError } from '../respond.ts';
import { AnswerPlayer } from './answer-player.ts';
import type { CacheClient, CacheMessage, Ticket } from './cache-client.ts';
import type { FlightEnd, FromCache, Meaning, Verdict } from './cache-protocol.ts';
import { CacheStatusExchange } from './cache-status.ts';
import { FlightExchange } from './flight-exchange.ts';
import { questionMeaning } from './question-meaning.ts';
import { RecordedAnswer, type RecordingLimits, sharedHeaders } from './recorded-answer.ts';

export interface CachedRunOptions {
  client: CacheClient;
  exchange: HttpExchange;
  record: RequestRecord;
  /** What to ask the cache for. */
  question: { key: string; read: boolean; join: boolean; ageMsMax: number };
  /** What may be said in other words, and how near those must be; null: nothing. */
  similar: { text: string; partition: string; policy: SemanticCache } | null;
  ttlMs: number;
  /** Whether its answer is one of the model that the key names. */
  mayKeep(): boolean;
  limits: RecordingLimits;
  /** Has an engine asked; what is written to the exchange is the answer. */
  attempt(exchange: HttpExchange): Promise<void>;
}

type SimilarFound = Extract<FromCache, { type: 'similar' }>;

/** What a request does next. */
type Turn =
  | { kind: 'hit'; answer: CachedAnswer; shared: boolean }
  | { kind: 'lead'; wanted: boolean }
  | { kind: 'alone' }
  /** The cache cannot be used. */
  | { kind: 'without' }
  /** The stream that it followed has ended. */
  | { kind: 'landed'; end: FlightEnd }
  | { kind: 'left' }
  | { kind: 'late' };

/** The cache thread says within this what to do; the shared store has had its own deadline by then. */
const ANSWER_MS_MAX = 200;
/** Of an answer to a question that means the same: how near the two are, as a cosine. */
const SIMILARITY_HEADER = 'x-autoglm-cache-similarity';
/** Answers of an engine that say something about the request, and would be the same for an equal one. */
const CALLERS_FAULTS: readonly number[] = [400, 404, 405, 413, 415, 422];

export class CachedRun implements Watched {
  listAt = -1;
  readonly #context: GatewayContext;
  readonly #options: CachedRunOptions;
  readonly #exchange: HttpExchange;
  readonly #record: RequestRecord;
  readonly #askedMs: number;
  #ticket: Ticket | null = null;
  #turns: Turn[] = [];
  #onTurn: (() => void) | null = null;
  #following = false;
  /** Others follow its attempt. */
  #wanted = false;
  #onSimilar: ((found: SimilarFound) => void) | null = null;
  /** Of a stream that it follows. */
  #player: AnswerPlayer | null = null;
  /** Of the attempt that it makes. */
  #flight: FlightExchange | null = null;
  /** When its client left, until the cache has said what becomes of its attempt. */
  #leftMs: number | null = null;

  constructor(context: GatewayContext, options: CachedRunOptions) {
    this.#context = context;
    this.#options = options;
    this.#exchange = options.exchange;
    this.#record = options.record;
    this.#askedMs = context.clock.monotonicMs();
  }

  async serve(): Promise<void> {
    const { client, question } = this.#options;
    if (this.#exchange.clientGone) return this.#noteCancelled();
    this.#exchange.onClientGone(() => this.#turn({ kind: 'left' }));
    this.#ticket = client.ask(question, (message) => this.#hear(message));
    this.#context.sweep.add(this);
    try {
      await this.#carryOut(await this.#nextTurn());
    } finally {
      this.#context.sweep.remove(this);
      this.#ticket.close();
    }
    if (this.#exchange.clientGone) this.#noteCancelled();
  }

  onSweep(nowMs: number): void {
    const { totalTimeoutMs } = this.#context.settings;
    if (this.#flight !== null) {
      if (this.#leftMs !== null && nowMs - this.#leftMs > ANSWER_MS_MAX) this.#flight.cancel();
    } else if (!this.#following && nowMs - this.#askedMs > ANSWER_MS_MAX) {
      this.#turn({ kind: 'without' });
    } else if (nowMs - this.#record.startedMs > totalTimeoutMs) {
      this.#turn({ kind: 'late' });
    }
  }

  #hear(message: CacheMessage): void {
    switch (message.type) {
      case 'hit':
        return this.#turn({ kind: 'hit', answer: message.answer, shared: message.shared });
      case 'lead':
        return this.#turn({ kind: 'lead', wanted: message.wanted });
      case 'alone':
        return this.#turn({ kind: 'alone' });
      case 'follow':
        this.#following = true;
        return;
      case 'head':
        return this.#begin(message.status, message.headers);
      case 'frames':
        for (const chunk of unpackChunks(message.chunks)) this.#player?.push(chunk);
        return;
      case 'ended':
        return this.#turn({ kind: 'landed', end: message.end });
      case 'wanted':
        this.#wanted = true;
        return this.#flight?.follow();
      case 'similar':
        return this.#onSimilar?.(message);
      case 'stay':
        this.#leftMs = null;
        return;
      case 'cancel':
        return this.#flight?.cancel();
      case 'lost':
        return this.#lose();
    }
  }

  /** Nobody hears of an attempt any more but its own client, and nobody else gets a stream to its end. */
  #lose(): void {
    if (this.#flight === null)
      this.#turn(this.#player === null ? { kind: 'without' } : { kind: 'landed', end: LOST });
    else if (this.#exchange.clientGone) this.#flight.cancel();
  }

  #turn(turn: Turn): void {
    this.#turns.push(turn);
    this.#onTurn?.();
  }

  async #nextTurn(): Promise<Turn> {
    for (;;) {
      const turn = this.#turns.shift();
      if (turn !== undefined) return turn;
      await new Promise<void>((resolve) => {
        this.#onTurn = resolve;
      });
    }
  }

  async #carryOut(turn: Turn): Promise<void> {
    const { attempt } = this.#options;
    switch (turn.kind) {
      case 'hit':
        return this.#replay(turn.answer, { shared: turn.shared });
      case 'lead':
        this.#wanted = turn.wanted;
        return this.#ask(this.#ticket);
      case 'alone':
        return this.#ask(null);
      case 'without':
        this.#ticket?.say({ type: 'leave' });
        this.#record.cache = 'bypass';
        return attempt(new CacheStatusExchange(this.#exchange, 'bypass'));
      case 'landed':
        return this.#land(turn.end);
      case 'left':
        this.#ticket?.say({ type: 'leave' });
        return this.#noteCancelled();
      case 'late':
        this.#ticket?.say({ type: 'leave' });
        return this.#endLate();
    }
  }

  /** For all who ask the same, or (`ticket` null) for itself alone: a similar question's answer, or else an engine. */
  async #ask(ticket: Ticket | null): Promise<void> {
    this.#record.cache = 'miss';
    const meaning = await this.#meaning();
    const found = meaning === null ? null : await this.#findSimilar(meaning);
    if (found === null || found.answer === null) return this.#fly(ticket, meaning);
    const { answer, similarity } = found;
    const end = { outcome: 'completed' as const, errorCode: null, usage: answer.usage, cut: false };
    ticket?.say({ type: 'ended', verdict: 'share', answer, ttlMs: 0, end, meaning: null });
    await this.#replay(answer, { shared: false, similarity });
  }

  async #meaning(): Promise<Meaning | null> {
    const { similar } = this.#options;
    if (similar === null) return null;
    const { text, partition, policy } = similar;
    const vector = await questionMeaning(this.#context, policy.embeddingModel, text);
    return vector === null ? null : { partition, vector };
  }

  /** Null when the cache did not say in time. */
  async #findSimilar(meaning: Meaning): Promise<SimilarFound | null> {
    const { similar, question } = this.#options;
    const { promise, resolve } = Promise.withResolvers<SimilarFound | null>();
    this.#onSimilar = resolve;
    const timer = setTimeout(() => resolve(null), ANSWER_MS_MAX);
    const threshold = similar?.policy.threshold ?? 1;
    this.#ticket?.say({ type: 'similar', meaning, threshold, ageMsMax: question.ageMsMax });
    const found = await promise;
    clearTimeout(timer);
    return found;
  }

  async #fly(ticket: Ticket | null, meaning: Meaning | null): Promise<void> {
    const { limits, attempt } = this.#options;
    const recorded = new RecordedAnswer(limits);
    const player = this.#newPlayer('miss');
    const flight = new FlightExchange(this.#exchange, {
      player,
      recorded,
      events: {
        onClientLeft: () => this.#leaveFlight(ticket),
        onHead: (status, headers) => ticket?.say({ type: 'head', status, headers }),
        onFrames: (chunks) => ticket?.say({ type: 'frames', chunks }),
        onOutgrown: () => ticket?.say({ type: 'outgrown' }),
      },
    });
    this.#flight = flight;
    if (ticket !== null && this.#wanted) flight.follow();
    // The client may have left while the turn was on its way.
    if (this.#exchange.clientGone) this.#leaveFlight(ticket);
    let verdict: Verdict = 'failed';
    try {
      await attempt(flight);
      verdict = this.#verdict(flight, recorded);
    } finally {
      this.#settle(ticket, flight, { recorded, verdict, meaning });
      recorded.close();
    }
    await flight.release();
  }

  #leaveFlight(ticket: Ticket | null): void {
    if (ticket === null) return this.#flight?.cancel();
    this.#leftMs = this.#context.clock.monotonicMs();
    ticket.say({ type: 'leave' });
  }

  #verdict(flight: FlightExchange, recorded: RecordedAnswer): Verdict {
    const { outcome, errorCode, tier } = this.#record;
    if (flight.cancelled) return 'failed';
    if (!flight.streamed && CALLERS_FAULTS.includes(flight.status)) return 'share';
    if (outcome !== 'completed' || errorCode !== null || tier === 'D' || flight.status !== 200)
      return 'failed';
    const whole = !recorded.outgrown && !recorded.saysAborted();
    return whole && this.#options.mayKeep() ? 'keep' : 'share';
  }

  #settle(
    ticket: Ticket | null,
    flight: FlightExchange,
    { recorded, verdict, meaning }: { recorded: RecordedAnswer; verdict: Verdict; meaning: Meaning | null },
  ): void {
    const { question, ttlMs, client } = this.#options;
    const { outcome, errorCode } = this.#record;
    const usage = usageOf(this.#record);
    const told = verdict === 'keep' || (verdict === 'share' && !flight.streamed && !recorded.outgrown);
    const answer = told
      ? recorded.answer({
          status: flight.status,
          headers: flight.answerHeaders,
          streamed: flight.streamed,
          storedAtMs: this.#context.clock.wallMs(),
          usage,
        })
      : null;
    if (ticket !== null) {
      const end = { outcome, errorCode, usage, cut: flight.cancelled };
      ticket.say({ type: 'ended', verdict, answer, ttlMs, end, meaning });
    } else if (verdict === 'keep' && answer !== null) {
      client.keep({ key: question.key, answer, ttlMs, meaning });
    }
  }

  async #replay(
    { status, headers, streamed, chunks, storedAtMs, usage }: CachedAnswer,
    { shared, similarity = null }: { shared: boolean; similarity?: number | null },
  ): Promise<void> {
    const ageS = Math.max(0, Math.floor((this.#context.clock.wallMs() - storedAtMs) / 1000));
    const player = this.#newPlayer('hit', {
      ...(!shared && { age: String(ageS) }),
      ...(similarity !== null && { [SIMILARITY_HEADER]: similarity.toFixed(4) }),
    });
    this.#record.cache = shared ? 'joined' : similarity === null ? 'hit' : 'similar';
    this.#note(usage);
    this.#record.status = status;
    this.#record.outcome = status < 400 ? 'completed' : 'failed-by-engine';
    if (status >= 400) this.#record.errorCode = 'invalid_request';
    const head = { ...answerHeaders(this.#record), ...headers };
    if (streamed) {
      player.begin(status, head);
      for (const chunk of unpackChunks(chunks)) player.push(chunk);
      player.end();
    } else {
      player.send(status, head, chunks.bytes);
    }
    await this.#finish(player);
  }

  /** A stream that it follows has begun. */
  #begin(status: number, headers: Record<string, string>): void {
    this.#record.cache = 'joined';
    this.#record.status = status;
    this.#player = this.#newPlayer('hit');
    this.#player.begin(status, { ...answerHeaders(this.#record), ...sharedHeaders(headers) });
  }

  async #land({ outcome, errorCode, usage, cut }: FlightEnd): Promise<void> {
    const player = this.#player;
    if (player === null) return this.#carryOut({ kind: 'without' });
    this.#note(usage);
    this.#record.outcome = cut ? 'failed-internal' : outcome;
    this.#record.errorCode = cut ? 'stream_interrupted' : errorCode;
    if (cut) player.push(Buffer.from(sseData(openAiErrorFrom(interrupted()))));
    player.end();
    await this.#finish(player);
  }

  async #endLate(): Promise<void> {
    const { totalTimeoutMs } = this.#context.settings;
    const error = new PlatformError(
      'upstream_timeout',
      `the answer was not complete within ${totalTimeoutMs} ms`,
    );
    this.#record.outcome = 'failed-upstream';
    this.#record.errorCode = error.code;
    const player = this.#player;
    if (player === null) return respondError(this.#exchange, error, this.#record, 'openai');
    player.push(Buffer.from(sseData(openAiErrorFrom(error))));
    player.end();
    await this.#finish(player);
  }

  /** The answer is on its way; the client may still leave. */
  async #finish(player: AnswerPlayer): Promise<void> {
    await player.finished;
    this.#record.bytesOut += player.bytesOut;
  }

  #newPlayer(said: 'hit' | 'miss', more: Record<string, string> = {}): AnswerPlayer {
    const { sweep, clock, settings } = this.#context;
    return new AnswerPlayer({
      exchange: this.#exchange,
      sweep,
      nowMs: clock.monotonicMs(),
      writeStallTimeoutMs: settings.writeStallTimeoutMs,
      headers: { [CACHE_HEADER]: said, ...more },
    });
  }

  #note({ promptTokens, completionTokens, estimatedTokens }: AnswerUsage): void {
    Object.assign(this.#record, { promptTokens, completionTokens, estimatedTokens });
  }

  #noteCancelled(): void {
    this.#record.outcome = 'cancelled-by-client';
    this.#record.status = 499;
    this.#record.errorCode = 'client_closed';
  }
}

function usageOf({ promptTokens, completionTokens, estimatedTokens }: RequestRecord): AnswerUsage {
  return { promptTokens, completionTokens, estimatedTokens };
}

function interrupted(): PlatformError {
  return new PlatformError('stream_interrupted', 'the gateway thread that relayed this stream has died');
}

const LOST: FlightEnd = {
  outcome: 'failed-internal',
  errorCode: 'stream_interrupted',
  usage: { promptTokens: null, completionTokens: null, estimatedTokens: null },
  cut: true,
};
