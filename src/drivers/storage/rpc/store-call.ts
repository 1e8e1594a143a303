/** What a client thread and the storage thread say to each other over a MessagePort. */
import type { ErrorCode } from '../../../contract/errors.ts';

export interface StoreCall {
  id: number;
  store: string;
  method: string;
  args: unknown[];
  /** Unix ms; a call that is read later is not carried out, since nobody waits for it. */
  deadlineAtMs: number;
}

/** Every call is answered exactly once, also after its deadline. */
export type StoreReply =
  | { id: number; ok: true; value: unknown }
  | { id: number; ok: false; code: ErrorCode; message: string; retryAfterS: number | undefined };
