/** The answers of several gateways in one Redis. What is too large, or more than Redis takes at the moment, is not stored. */
import type { Clock } from '../../base/clock.ts';
import type { AnswerStore, StoredAnswer } from '../../contract/ports/answer-store.ts';
import { decodeAnswer, encodeAnswer } from './answer-codec.ts';
import type { RedisLink } from './redis-link.ts';

/** Larger ones would take too much of a call's deadline, and of everybody else's. */
const ANSWER_BYTES_MAX = 1_048_576;
/** Answers on their way to Redis. */
const WRITING_BYTES_MAX = 33_554_432;

export interface RedisAnswerStoreOptions {
  link: RedisLink;
  clock: Clock;
  /** Begins the name of every key. */
  prefix: string;
}

export function createRedisAnswerStore({ link, clock, prefix }: RedisAnswerStoreOptions): AnswerStore {
  const nameOf = (key: string) => `${prefix}:answer:${key}`;
  let writingBytes = 0;
  return {
    get: async (key) => {
      const bytes = await link.call((redis) => redis.get(nameOf(key)));
      return bytes === null ? null : decodeAnswer(bytes, clock.wallMs());
    },
    set: async (key, stored: StoredAnswer) => {
      if (!link.isUp || stored.answer.chunks.bytes.length > ANSWER_BYTES_MAX) return;
      const bytes = encodeAnswer(stored, clock.wallMs());
      if (writingBytes + bytes.length > WRITING_BYTES_MAX) return;
      writingBytes += bytes.length;
      try {
        await link.call((redis) =>
          redis.set(nameOf(key), bytes, { expiration: { type: 'PX', value: stored.ttlMs } }),
        );
      } finally {
        writingBytes -= bytes.length;
      }
    },
  };
}
