import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../base/clock.ts';
import { type CachedAnswer, packChunks } from '../../../contract/cached-answer.ts';
import type { AnswerStore, StoredAnswer } from '../../../contract/ports/answer-store.ts';
import type { FlightEnd, FromCache, ToCache } from './cache-protocol.ts';
import { ResponseCache } from './response-cache.ts';

const usage = { promptTokens: 1, completionTokens: 2, estimatedTokens: null };
const end: FlightEnd = { outcome: 'completed', errorCode: null, usage, cut: false };

function answerOf(text: string, storedAtMs = Date.now()): CachedAnswer {
  const chunks = packChunks([Buffer.from(text)]);
  return { status: 200, headers: {}, streamed: false, chunks, storedAtMs, usage };
}

function cacheWith({
  bytesMax = 1_000_000,
  shared = null,
}: {
  bytesMax?: number;
  shared?: AnswerStore | null;
} = {}) {
  const cache = new ResponseCache({ bytesMax, clock: systemClock, shared });
  return { cache, worker: () => new Worker(cache) };
}

/** A worker as the cache sees it. */
class Worker {
  readonly heard: FromCache[] = [];
  readonly #line;
  #ids = 0;

  constructor(cache: ResponseCache) {
    this.#line = cache.connect((message) => void this.heard.push(message));
  }

  ask(key = 'k', more: Partial<Extract<ToCache, { type: 'ask' }>> = {}): number {
    const id = this.#ids++;
    this.#line.take({
      type: 'ask',
      id,
      key,
      read: true,
      join: true,
      ageMsMax: Number.POSITIVE_INFINITY,
      ...more,
    });
    return id;
  }

  say(message: ToCache): void {
    this.#line.take(message);
  }

  end(id: number, verdict: 'keep' | 'share' | 'failed', answer: CachedAnswer | null = null): void {
    this.say({ type: 'ended', id, verdict, answer, ttlMs: 60_000, end, meaning: null });
  }

  die(): void {
    this.#line.close();
  }

  /** What was said about a question. */
  types(id: number): string[] {
    return this.heard.filter((message) => message.id === id).map(({ type }) => type);
  }
}

describe('ResponseCache', () => {
  it('gives what is kept to whoever asks, of any worker', () => {
    const { worker } = cacheWith();
    const [one, other] = [worker(), worker()];
    one.end(one.ask(), 'keep', answerOf('a'));
    other.ask();
    expect(other.heard).toMatchObject([{ type: 'hit', shared: false }]);
  });

  it('has one of equal questions ask, over all workers, and gives its answer to the others', () => {
    const { worker, cache } = cacheWith();
    const [one, other] = [worker(), worker()];
    const lead = one.ask();
    const follow = other.ask();
    expect([one.types(lead), other.types(follow)]).toEqual([['lead', 'wanted'], ['follow']]);
    one.end(lead, 'keep', answerOf('a'));
    expect(other.heard.at(-1)).toMatchObject({ type: 'hit', shared: true });
    expect(cache.statistics()).toMatchObject({ entries: 1, flights: 0 });
  });

  it('tells those who come late what was said of a stream, in order', () => {
    const { worker } = cacheWith();
    const [one, other] = [worker(), worker()];
    const lead = one.ask();
    const early = other.ask();
    one.say({ type: 'head', id: lead, status: 200, headers: { a: 'b' } });
    one.say({ type: 'frames', id: lead, chunks: packChunks([Buffer.from('1')]) });
    const late = other.ask();
    one.say({ type: 'frames', id: lead, chunks: packChunks([Buffer.from('2')]) });
    one.end(lead, 'keep', answerOf('12'));
    for (const id of [early, late])
      expect(other.types(id)).toEqual(['follow', 'head', 'frames', 'frames', 'ended']);
  });

  it('lets the next one lead when the first failed before it said anything, and all go alone after the second', () => {
    const { worker } = cacheWith();
    const w = worker();
    const ids = [w.ask(), w.ask(), w.ask(), w.ask()] as const;
    w.end(ids[0], 'failed');
    expect(w.heard.at(-1)).toEqual({ type: 'lead', id: ids[1], wanted: true });
    w.end(ids[1], 'failed');
    expect(w.heard.slice(-2)).toEqual([
      { type: 'alone', id: ids[2] },
      { type: 'alone', id: ids[3] },
    ]);
    expect(w.types(w.ask())).toEqual(['lead']);
  });

  it('ends a stream that failed for those who read it, and keeps nothing', () => {
    const { worker, cache } = cacheWith();
    const w = worker();
    const lead = w.ask();
    const follow = w.ask();
    w.say({ type: 'head', id: lead, status: 200, headers: {} });
    w.end(lead, 'failed');
    expect(w.types(follow)).toEqual(['follow', 'head', 'ended']);
    expect(cache.statistics()).toMatchObject({ entries: 0, flights: 0 });
  });

  it('shares what must not be kept with those who waited, and with nobody else', () => {
    const { worker } = cacheWith();
    const w = worker();
    const lead = w.ask();
    const follow = w.ask();
    w.end(lead, 'share', answerOf('no'));
    expect(w.types(follow)).toEqual(['follow', 'hit']);
    expect(w.types(w.ask())).toEqual(['lead']);
  });

  it('goes on when the one who led leaves, and stops when nobody is left', () => {
    const { worker } = cacheWith();
    const w = worker();
    const lead = w.ask();
    const follow = w.ask();
    w.say({ type: 'leave', id: lead });
    expect(w.types(lead)).toEqual(['lead', 'wanted', 'stay']);
    w.say({ type: 'leave', id: follow });
    expect(w.types(lead)).toEqual(['lead', 'wanted', 'stay', 'cancel']);
    // What it says all the same is nobody's.
    const next = w.ask();
    w.end(lead, 'keep', answerOf('late'));
    expect(w.types(next)).toEqual(['lead']);
  });

  it('passes the lead on when the worker of the one who led dies, and never to a follower that died with it', () => {
    const { worker } = cacheWith();
    const [one, other] = [worker(), worker()];
    one.ask();
    one.ask();
    const follow = other.ask();
    one.die();
    expect(other.types(follow)).toEqual(['follow', 'lead']);
  });

  it('says that a stream was cut when the worker that relayed it dies', () => {
    const { worker } = cacheWith();
    const [one, other] = [worker(), worker()];
    const lead = one.ask();
    const follow = other.ask();
    one.say({ type: 'head', id: lead, status: 200, headers: {} });
    one.die();
    expect(other.types(follow)).toEqual(['follow', 'head', 'ended']);
    expect(other.heard.at(-1)).toMatchObject({ end: { cut: true } });
  });

  it('neither reads nor joins where that is not wanted, and keeps all the same', () => {
    const { worker } = cacheWith();
    const w = worker();
    w.end(w.ask(), 'keep', answerOf('old'));
    expect(w.types(w.ask('k', { read: false }))).toEqual(['alone']);
    w.say({ type: 'keep', key: 'k', answer: answerOf('new'), ttlMs: 1000, meaning: null });
    w.ask('k', { join: false });
    expect(Buffer.from((w.heard.at(-1) as { answer: CachedAnswer }).answer.chunks.bytes).toString()).toBe(
      'new',
    );
  });

  it('does not give what is older than the caller wants, or than its time', () => {
    const { worker } = cacheWith();
    const w = worker();
    w.end(w.ask(), 'keep', answerOf('a', Date.now() - 10_000));
    expect(w.types(w.ask('k', { ageMsMax: 5_000 }))).toEqual(['lead']);
    w.say({ type: 'keep', key: 'l', answer: answerOf('b'), ttlMs: 0, meaning: null });
    expect(w.types(w.ask('l'))).toEqual(['lead']);
  });

  it('takes no one in late for what has outgrown its room', () => {
    const { worker } = cacheWith({ bytesMax: 800 });
    const w = worker();
    const lead = w.ask();
    w.ask();
    w.say({ type: 'head', id: lead, status: 200, headers: {} });
    w.say({ type: 'frames', id: lead, chunks: packChunks([Buffer.alloc(101)]) });
    expect(w.types(w.ask())).toEqual(['alone']);
  });

  it('gives the nearest answer that is near enough, as long as it is kept', () => {
    const { worker } = cacheWith();
    const w = worker();
    const near = (x: number, threshold = 0.9, partition = 'p') => {
      const meaning = { partition, vector: Float32Array.from([1, x]) };
      w.say({ type: 'similar', id: 99, meaning, threshold, ageMsMax: Number.POSITIVE_INFINITY });
      const { answer } = w.heard.at(-1) as { answer: CachedAnswer | null };
      return answer && Buffer.from(answer.chunks.bytes).toString();
    };
    const keep = (key: string, x: number, ttlMs = 60_000) => {
      const meaning = { partition: 'p', vector: Float32Array.from([1, x]) };
      w.say({ type: 'keep', key, answer: answerOf(key), ttlMs, meaning });
    };
    keep('a', 0);
    keep('b', 1);
    keep('gone', 0.1, 0);
    expect([near(0.1), near(0.9), near(5), near(0.1, 0.9, 'q')]).toEqual(['a', 'b', null, null]);
    expect(near(0.4, 0.99)).toBeNull();
  });

  describe('with a shared store', () => {
    function storeOf(entries: Record<string, StoredAnswer>, gate: Promise<void> = Promise.resolve()) {
      const written: Record<string, StoredAnswer> = {};
      const store: AnswerStore = {
        get: async (key) => {
          await gate;
          return entries[key] ?? null;
        },
        set: async (key, stored) => {
          written[key] = stored;
        },
      };
      return { store, written };
    }
    const settled = () => new Promise((resolve) => setImmediate(resolve));

    it('asks it once for equal questions, and keeps what it finds', async () => {
      const { store } = storeOf({ k: { answer: answerOf('there'), ttlMs: 1000 } });
      const { worker } = cacheWith({ shared: store });
      const w = worker();
      const ids = [w.ask(), w.ask()];
      await settled();
      expect(ids.map((id) => w.types(id))).toEqual([['hit'], ['follow', 'hit']]);
      expect(w.types(w.ask())).toEqual(['hit']);
    });

    it('asks the engine when it has nothing or cannot be used, and writes the answer there', async () => {
      const { store, written } = storeOf({});
      const { worker } = cacheWith({ shared: { ...store, get: () => Promise.reject(new Error('frozen')) } });
      const w = worker();
      const id = w.ask();
      await settled();
      expect(w.types(id)).toEqual(['lead']);
      w.end(id, 'keep', answerOf('a'));
      expect(Object.keys(written)).toEqual(['k']);
    });

    it('has the next one lead when the first leaves while it is asked', async () => {
      const gate = Promise.withResolvers<void>();
      const { store } = storeOf({}, gate.promise);
      const { worker } = cacheWith({ shared: store });
      const w = worker();
      const first = w.ask();
      const second = w.ask();
      w.say({ type: 'leave', id: first });
      gate.resolve();
      await settled();
      expect([w.types(first), w.types(second)]).toEqual([[], ['follow', 'lead']]);
    });
  });
});
