/**
 * Port: answers that gateways on several machines share. In the contract: what is found under a key is what was stored under it
 * and has not expired; a call ends within a deadline of the store's own; one that cannot be carried out rejects. Not in the
 * contract: that what was stored is still there.
 */
import type { CachedAnswer } from '../cached-answer.ts';

export interface StoredAnswer {
  answer: CachedAnswer;
  /** Until it expires. */
  ttlMs: number;
}

export interface AnswerStore {
  get(key: string): Promise<StoredAnswer | null>;
  set(key: string, stored: StoredAnswer): Promise<void>;
}
