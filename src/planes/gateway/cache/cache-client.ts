/**
 * A worker's end of the line to the cache thread. Without a thread, or when it dies, every question is told `lost` and goes on
 * without a cache: nothing depends on it.
 */
import type { FromCache, ToCache } from './cache-protocol.ts';

export type CacheMessage = FromCache | { type: 'lost' };

/** What is said about one question, by its id. */
export interface Ticket {
  say(message: TicketMessage): void;
  /** Nothing is heard any more. */
  close(): void;
}

type WithoutId<M> = M extends { id: number } ? Omit<M, 'id'> : never;
type TicketMessage = WithoutId<Exclude<ToCache, { type: 'ask' }>>;

type Post = (message: ToCache) => void;

export class CacheClient {
  #post: Post | null = null;
  readonly #listeners = new Map<number, (message: CacheMessage) => void>();
  #nextId = 0;

  /** From here on this line is used: the thread was started, or replaced. */
  connect(post: Post): Post {
    if (this.#post !== null) this.lost(this.#post);
    this.#post = post;
    return post;
  }

  /** The thread behind this line has ended. */
  lost(post: Post): void {
    if (this.#post !== post) return;
    this.#post = null;
    const listeners = [...this.#listeners.values()];
    this.#listeners.clear();
    for (const listener of listeners) listener({ type: 'lost' });
  }

  take(message: FromCache): void {
    this.#listeners.get(message.id)?.(message);
  }

  ask(
    question: Omit<Extract<ToCache, { type: 'ask' }>, 'type' | 'id'>,
    listener: (message: CacheMessage) => void,
  ): Ticket {
    const post = this.#post;
    if (post === null) {
      queueMicrotask(() => listener({ type: 'lost' }));
      return { say: () => {}, close: () => {} };
    }
    const id = this.#nextId++;
    this.#listeners.set(id, listener);
    post({ type: 'ask', id, ...question });
    return {
      say: (message) => {
        if (this.#post === post) post({ ...message, id } as ToCache);
      },
      close: () => void this.#listeners.delete(id),
    };
  }

  keep(kept: Omit<Extract<ToCache, { type: 'keep' }>, 'type'>): void {
    this.#post?.({ type: 'keep', ...kept });
  }
}
