/**
 * One connection to Redis for whoever must not wait for it: each call ends within a deadline, and while Redis is away calls are
 * refused at once, without a queue. Whether it is back is found out beside all requests, by a new connection and a PING.
 *
 * States: `away` (no call is sent; a new connection is tried again and again), `up`, `closed`. It leaves `up` when the connection
 * breaks or several calls in a row had no answer in time; that connection is cut then, with all that waits on it.
 */
import { createClient, ErrorReply, RESP_TYPES } from '@redis/client';
import { type BackoffPolicy, backoffMs } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import { PlatformError } from '../../contract/errors.ts';

export interface RedisLinkOptions {
  /** `redis://` or `rediss://`, with user and password where one is needed; never logged. */
  url: string;
  /** Longest wait for the answer to a call. */
  deadlineMs: number;
  clock: Clock;
  random: Random;
  /** It came up, or went away and why. */
  onState(state: 'up' | 'away', detail: string): void;
}

/** How calls ended since the last look. */
export interface RedisCounts {
  answered: number;
  /** Redis said no. */
  failed: number;
  /** No answer in time, or before the connection broke. */
  late: number;
  /** Not sent, because Redis is away. */
  refused: number;
}

/** Calls in a row without an answer in time, after which Redis counts as away. */
const LATE_MAX = 3;
/** For a connection and its PING. */
const OPEN_MS_MAX = 1_000;
/** Calls under way. */
const CALLS_MAX = 1_000;
const RETRY: BackoffPolicy = { initialMs: 100, maxMs: 2_000, jitterRatio: 0.2 };

function newClient(url: string) {
  return createClient({
    url,
    // Every server speaks it, and nothing has to be negotiated.
    RESP: 2,
    disableClientInfo: true,
    maintNotifications: 'disabled',
    disableOfflineQueue: true,
    commandsQueueMaxLength: CALLS_MAX,
    socket: { connectTimeout: OPEN_MS_MAX, reconnectStrategy: false },
    // Answers are bytes.
    commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
  });
}

export type RedisConnection = ReturnType<typeof newClient>;

export class RedisLink {
  readonly #options: RedisLinkOptions;
  #connection: RedisConnection | null = null;
  #lateInRow = 0;
  #closed = false;
  readonly #closing = new AbortController();
  #onAway: (detail: string) => void = () => {};
  #counts = noCounts();

  constructor(options: RedisLinkOptions) {
    this.#options = options;
  }

  start(): void {
    void this.#keepConnected();
  }

  get isUp(): boolean {
    return this.#connection !== null;
  }

  takeCounts(): RedisCounts {
    const counts = this.#counts;
    this.#counts = noCounts();
    return counts;
  }

  /**
   * One command, or several that belong together. Rejects with `storage_unavailable` when Redis is away or late, and with what
   * Redis said when it refused. What was sent and had no answer in time may have been carried out.
   */
  async call<T>(command: (connection: RedisConnection) => Promise<T>): Promise<T> {
    const connection = this.#connection;
    if (connection === null) {
      this.#counts.refused++;
      throw unavailable('Redis is away');
    }
    try {
      const answer = await within(this.#options.deadlineMs, command(connection));
      this.#counts.answered++;
      this.#lateInRow = 0;
      return answer;
    } catch (thrown) {
      if (thrown instanceof ErrorReply) {
        this.#counts.failed++;
        throw thrown;
      }
      this.#counts.late++;
      if (thrown instanceof Late) this.#noteLate(connection);
      throw unavailable(thrown instanceof Late ? thrown.message : 'Redis went away');
    }
  }

  close(): void {
    this.#closed = true;
    this.#closing.abort();
    this.#onAway('closed');
  }

  #noteLate(connection: RedisConnection): void {
    // Calls of a former connection say nothing about this one.
    if (this.#connection !== connection || ++this.#lateInRow < LATE_MAX) return;
    this.#onAway(`${LATE_MAX} calls in a row had no answer within ${this.#options.deadlineMs} ms`);
  }

  async #keepConnected(): Promise<void> {
    const { clock, random, onState } = this.#options;
    for (let tries = 0; !this.#closed; tries++) {
      const detail = await this.#connectOnce(() => {
        tries = 0;
      });
      if (this.#closed) return;
      // Of a Redis that stays away, one word is enough.
      if (tries === 0) onState('away', detail);
      await clock.sleep(backoffMs(RETRY, tries, random.next()), this.#closing.signal).catch(() => {});
    }
  }

  /** Resolves when the connection is over, with the reason. */
  async #connectOnce(onUp: () => void): Promise<string> {
    const connection = newClient(this.#options.url);
    const away = Promise.withResolvers<string>();
    this.#onAway = away.resolve;
    connection.on('error', (error: Error) => away.resolve(textOf(error)));
    connection.on('end', () => away.resolve('the connection has ended'));
    try {
      const opened = within(
        OPEN_MS_MAX,
        connection.connect().then(() => connection.ping()),
      );
      const failed = await Promise.race([opened.then(() => null), away.promise]);
      if (failed !== null) return failed;
      this.#lateInRow = 0;
      this.#connection = connection;
      onUp();
      this.#options.onState('up', '');
      return await away.promise;
    } catch (error) {
      return textOf(error as Error);
    } finally {
      this.#connection = null;
      connection.destroy();
    }
  }
}

class Late extends Error {}

/** Timers of one length are one list to Node, so that each costs next to nothing. */
function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Late(`Redis did not answer within ${ms} ms`)), ms);
  // Its end may still come when nobody waits for it.
  promise.catch(() => {});
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function unavailable(message: string): PlatformError {
  return new PlatformError('storage_unavailable', message);
}

/** Errors of the client may repeat the address, and with it the password. */
function textOf({ name, message, ...rest }: Error & { code?: string }): string {
  return rest.code ?? (/^(NOAUTH|WRONGPASS|NOPERM|LOADING|ERR)\b/.exec(message)?.[1] || name);
}

function noCounts(): RedisCounts {
  return { answered: 0, failed: 0, late: 0, refused: 0 };
}
