/**
 * The response cache of one gateway process: answers that were given, and requests that run, for all its workers. Lives in a
 * thread of its own; says by messages what each question is to do.
 *
 * Invariants: of equal questions one asks the engine; each question that may follow is told its end, unless it left or its
 * thread died; a flight that had begun to speak is never begun anew for those who heard it.
 */
import type { Clock } from '../../../base/clock.ts';
import type { CachedAnswer, PackedChunks } from '../../../contract/cached-answer.ts';
import type { AnswerStore } from '../../../contract/ports/answer-store.ts';
import { ByteStore } from '../../../decide/scheduling/cache/byte-store.ts';
import { SingleFlight } from '../../../decide/scheduling/cache/single-flight.ts';
import { VectorIndex } from '../../../decide/scheduling/cache/vector-index.ts';
import type { CacheStatistics, FlightEnd, FromCache, ToCache } from './cache-protocol.ts';

export interface ResponseCacheOptions {
  bytesMax: number;
  clock: Clock;
  /** Where answers are kept beside this process's memory; null: nowhere. */
  shared: AnswerStore | null;
}

/** One worker's end of the line. */
export interface CacheLine {
  take(message: ToCache): void;
  /** The worker is gone. */
  close(): void;
}

const FLIGHTS_MAX = 10_000;
const FOLLOWERS_MAX = 1_000;
/** Attempts of one flight that may fail before everybody goes alone: what fails twice may take each as long. */
const FAILURES_MAX = 2;
/** Share of the cache that running streams may hold for those who come late. */
const BACKLOG_RATIO = 0.125;
/** Share of the cache's size that vectors of questions may take beside it. */
const MEANINGS_RATIO = 0.125;
/** Questions that one is compared with: some 2 ms of looking at vectors with 1024 numbers. */
const MEANINGS_MAX = 2_000;
/** Near questions whose answers are gone that are passed over in one look. */
const GONE_MAX = 10;
const SWEEP_ENTRIES = 1_000;
/** What an answer takes beside its bytes: headers, usage and their objects. */
const ANSWER_OVERHEAD_BYTES = 512;
const LOST_END: FlightEnd = {
  outcome: 'failed-internal',
  errorCode: 'internal',
  usage: { promptTokens: null, completionTokens: null, estimatedTokens: null },
  cut: true,
};

interface Asker {
  readonly line: Line;
  readonly id: number;
  readonly key: string;
}

interface Flight {
  /** Whose attempt it is, also when its own client has left. */
  source: Asker;
  /** False while the shared store is asked. */
  started: boolean;
  /** The source was told that others follow. */
  wanted: boolean;
  head: { status: number; headers: Record<string, string> } | null;
  backlog: PackedChunks[];
  backlogBytes: number;
  /** Takes no more followers. */
  outgrown: boolean;
  failures: number;
}

interface Line extends CacheLine {
  readonly askers: Map<number, Asker>;
  post(message: FromCache): void;
}

export class ResponseCache {
  readonly #clock: Clock;
  readonly #shared: AnswerStore | null;
  readonly #kept: ByteStore<CachedAnswer>;
  readonly #joining = new SingleFlight<Asker>({ flightsMax: FLIGHTS_MAX, followersMax: FOLLOWERS_MAX });
  readonly #flights = new Map<string, Flight>();
  readonly #meanings: VectorIndex;
  readonly #backlogBytesMax: number;
  #backlogBytes = 0;
  #evictionsTold = 0;

  constructor({ bytesMax, clock, shared }: ResponseCacheOptions) {
    this.#clock = clock;
    this.#shared = shared;
    this.#kept = new ByteStore(bytesMax);
    this.#backlogBytesMax = bytesMax * BACKLOG_RATIO;
    this.#meanings = new VectorIndex({ bytesMax: bytesMax * MEANINGS_RATIO, partitionMax: MEANINGS_MAX });
  }

  /** `evictions` since the last call. */
  statistics(): CacheStatistics {
    const { size, bytes, evictions } = this.#kept;
    const evicted = evictions - this.#evictionsTold;
    this.#evictionsTold = evictions;
    return { entries: size, bytes, evictions: evicted, flights: this.#flights.size };
  }

  /** Lets go of what has expired; called from time to time. */
  sweep(): void {
    this.#kept.sweep(this.#clock.monotonicMs(), SWEEP_ENTRIES);
  }

  /** `post` carries messages to a worker that has just come. */
  connect(post: (message: FromCache) => void): CacheLine {
    const line: Line = {
      askers: new Map(),
      post,
      take: (message) => this.#take(line, message),
      close: () => this.#lose(line),
    };
    return line;
  }

  #take(line: Line, message: ToCache): void {
    if (message.type === 'ask') return this.#answer(line, message);
    if (message.type === 'keep') return this.#keep(message);
    if (message.type === 'similar') return this.#answerSimilar(line, message);
    const asker = line.askers.get(message.id);
    if (asker === undefined) return;
    if (message.type === 'leave') return this.#leave(asker);
    const flight = this.#flights.get(asker.key);
    if (flight?.source !== asker) {
      // Nobody waits for what it says: it was told to cancel, and that crossed with this.
      if (message.type === 'ended') line.askers.delete(asker.id);
      return;
    }
    switch (message.type) {
      case 'head':
        flight.head = { status: message.status, headers: message.headers };
        return this.#tellFollowers(asker.key, { type: 'head', ...flight.head });
      case 'frames':
        this.#tellFollowers(asker.key, { type: 'frames', chunks: message.chunks });
        return this.#remember(flight, message.chunks);
      case 'outgrown':
        return this.#outgrow(flight);
      case 'ended':
        return this.#end(flight, message);
    }
  }

  #answer(line: Line, { id, key, read, join, ageMsMax }: Extract<ToCache, { type: 'ask' }>): void {
    const kept = read ? this.#kept.get(key, this.#clock.monotonicMs()) : undefined;
    if (kept !== undefined && this.#isYoung(kept, ageMsMax))
      return line.post({ type: 'hit', id, answer: kept, shared: false });
    if (!read || (!join && this.#shared === null)) return line.post({ type: 'alone', id });
    const asker: Asker = { line, id, key };
    if (!join) return void this.#lookAlone(asker, ageMsMax);
    const joined = this.#flights.get(key)?.outgrown ? 'alone' : this.#joining.join(key, asker);
    if (joined === 'alone') return line.post({ type: 'alone', id });
    line.askers.set(id, asker);
    if (joined === 'follow') return this.#follow(asker);
    const flight: Flight = {
      source: asker,
      started: false,
      wanted: false,
      head: null,
      backlog: [],
      backlogBytes: 0,
      outgrown: false,
      failures: 0,
    };
    this.#flights.set(key, flight);
    if (this.#shared === null) this.#lead(flight);
    else void this.#lookThenLead(flight, ageMsMax);
  }

  #isYoung({ storedAtMs }: CachedAnswer, ageMsMax: number): boolean {
    return ageMsMax === Number.POSITIVE_INFINITY || this.#clock.wallMs() - storedAtMs <= ageMsMax;
  }

  async #lookAlone({ line, id, key }: Asker, ageMsMax: number): Promise<void> {
    const answer = await this.#look(key, ageMsMax);
    line.post(answer === null ? { type: 'alone', id } : { type: 'hit', id, answer, shared: false });
  }

  async #lookThenLead(flight: Flight, ageMsMax: number): Promise<void> {
    const { key } = flight.source;
    const answer = await this.#look(key, ageMsMax);
    // All who wanted it may have left meanwhile.
    if (this.#flights.get(key) !== flight) return;
    if (answer === null) return this.#lead(flight);
    for (const asker of [flight.source, ...this.#land(flight)]) this.#hit(asker, answer, false);
  }

  /** In the shared store; what is found there is kept here too. Null also when the store cannot be used. */
  async #look(key: string, ageMsMax: number): Promise<CachedAnswer | null> {
    const found = (await this.#shared?.get(key).catch(() => null)) ?? null;
    if (found === null || !this.#isYoung(found.answer, ageMsMax)) return null;
    this.#keepHere(key, found.answer, found.ttlMs);
    return found.answer;
  }

  #lead(flight: Flight): void {
    const { line, id, key } = flight.source;
    flight.started = true;
    flight.wanted = this.#joining.followers(key).length > 0;
    line.post({ type: 'lead', id, wanted: flight.wanted });
  }

  #follow(asker: Asker): void {
    const { line, id, key } = asker;
    const flight = this.#flights.get(key);
    if (flight === undefined) return;
    line.post({ type: 'follow', id });
    if (flight.started && !flight.wanted) {
      flight.wanted = true;
      flight.source.line.post({ type: 'wanted', id: flight.source.id });
    }
    if (flight.head === null) return;
    line.post({ type: 'head', id, ...flight.head });
    for (const chunks of flight.backlog) line.post({ type: 'frames', id, chunks });
  }

  #tellFollowers(
    key: string,
    message:
      | { type: 'head'; status: number; headers: Record<string, string> }
      | { type: 'frames'; chunks: PackedChunks },
  ): void {
    for (const { line, id } of this.#joining.followers(key)) line.post({ ...message, id });
  }

  #remember(flight: Flight, chunks: PackedChunks): void {
    if (flight.outgrown) return;
    flight.backlog.push(chunks);
    flight.backlogBytes += chunks.bytes.length;
    this.#backlogBytes += chunks.bytes.length;
    if (this.#backlogBytes > this.#backlogBytesMax) this.#outgrow(flight);
  }

  #outgrow(flight: Flight): void {
    flight.outgrown = true;
    this.#forgetBacklog(flight);
  }

  #forgetBacklog(flight: Flight): void {
    this.#backlogBytes -= flight.backlogBytes;
    flight.backlog = [];
    flight.backlogBytes = 0;
  }

  #end(flight: Flight, { verdict, answer, ttlMs, end, meaning }: Extract<ToCache, { type: 'ended' }>): void {
    const { source } = flight;
    const begun = flight.head !== null;
    if (verdict === 'keep' && answer !== null) this.#keep({ key: source.key, answer, ttlMs, meaning });
    if (verdict === 'failed' || (!begun && answer === null)) return this.#fail(flight, end);
    for (const asker of this.#land(flight)) {
      if (begun || answer === null) this.#finish(asker, end);
      else this.#hit(asker, answer, true);
    }
  }

  /** Who has heard nothing yet may try again; who has, hears how it ended. */
  #fail(flight: Flight, end: FlightEnd): void {
    if (flight.head !== null) {
      for (const asker of this.#land(flight)) this.#finish(asker, end);
      return;
    }
    flight.failures++;
    if (flight.failures >= FAILURES_MAX) {
      for (const { line, id } of this.#land(flight)) {
        line.askers.delete(id);
        line.post({ type: 'alone', id });
      }
      return;
    }
    this.#passOn(flight);
  }

  /** The next in line leads. */
  #passOn(flight: Flight): void {
    const { source } = flight;
    const { key } = source;
    source.line.askers.delete(source.id);
    const next = this.#joining.failed(key);
    if (next === null) {
      this.#forgetBacklog(flight);
      this.#flights.delete(key);
      return;
    }
    flight.source = next;
    if (flight.started) this.#lead(flight);
  }

  /** The flight is over; those who followed are to be told. */
  #land(flight: Flight): Asker[] {
    const { source } = flight;
    this.#forgetBacklog(flight);
    this.#flights.delete(source.key);
    source.line.askers.delete(source.id);
    return this.#joining.succeeded(source.key);
  }

  #hit({ line, id }: Asker, answer: CachedAnswer, shared: boolean): void {
    line.askers.delete(id);
    line.post({ type: 'hit', id, answer, shared });
  }

  #finish({ line, id }: Asker, end: FlightEnd): void {
    line.askers.delete(id);
    line.post({ type: 'ended', id, end });
  }

  #leave(asker: Asker): void {
    const flight = this.#flights.get(asker.key);
    if (flight === undefined) return;
    if (flight.source === asker && !flight.started) return this.#passOn(flight);
    const left = this.#joining.leave(asker.key, asker);
    if (flight.source !== asker) asker.line.askers.delete(asker.id);
    if (left === 'keep-attempt') asker.line.post({ type: 'stay', id: asker.id });
    if (left !== 'cancel-attempt') return;
    const { line, id } = flight.source;
    this.#forgetBacklog(flight);
    this.#flights.delete(asker.key);
    line.post({ type: 'cancel', id });
  }

  #lose(line: Line): void {
    const askers = [...line.askers.values()];
    const leads = (asker: Asker) => this.#flights.get(asker.key)?.source === asker;
    // Followers first: none of them may be told to lead.
    for (const asker of askers) if (!leads(asker)) this.#leave(asker);
    for (const asker of askers) {
      const flight = this.#flights.get(asker.key);
      if (flight?.source !== asker) continue;
      if (flight.started) this.#fail(flight, LOST_END);
      else this.#leave(asker);
    }
    line.askers.clear();
  }

  #answerSimilar(
    line: Line,
    { id, meaning, threshold, ageMsMax }: Extract<ToCache, { type: 'similar' }>,
  ): void {
    const { partition, vector } = meaning;
    for (let turn = 0; turn < GONE_MAX; turn++) {
      const nearest = this.#meanings.nearest(partition, vector);
      if (nearest === null || nearest.similarity < threshold) break;
      const answer = this.#kept.get(nearest.key, this.#clock.monotonicMs());
      if (answer !== undefined && this.#isYoung(answer, ageMsMax))
        return line.post({ type: 'similar', id, answer, similarity: nearest.similarity });
      this.#meanings.remove(partition, nearest.key);
    }
    line.post({ type: 'similar', id, answer: null, similarity: 0 });
  }

  #keep({ key, answer, ttlMs, meaning }: Omit<Extract<ToCache, { type: 'keep' }>, 'type'>): void {
    this.#keepHere(key, answer, ttlMs);
    if (meaning !== null) this.#meanings.add(meaning.partition, meaning.vector, key);
    // Whoever waits for this answer does not wait for its copy; without one, another gateway asks its engine.
    this.#shared?.set(key, { answer, ttlMs }).catch(() => {});
  }

  #keepHere(key: string, answer: CachedAnswer, ttlMs: number): void {
    const { lengths, bytes } = answer.chunks;
    const size = bytes.byteLength + lengths.byteLength + ANSWER_OVERHEAD_BYTES;
    this.#kept.set(key, answer, size, this.#clock.monotonicMs() + ttlMs);
  }
}
