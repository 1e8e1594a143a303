/**
 * Port: answers kept under an `Idempotency-Key`. In the contract: of many claims of one key at once, over all processes,
 * exactly one is granted until it is finished, released or its lease runs out; a finished answer is given back as it was.
 */
export interface IdempotencyKey {
  /** Name of the caller's key; empty where no key is needed. */
  owner: string;
  /** What the client sent. */
  key: string;
}

export interface IdempotencyClaim extends IdempotencyKey {
  /** Of path and body. */
  fingerprint: string;
  /** Names this claim; only its holder may finish or release it. */
  token: string;
  nowMs: number;
  /** A claim that is not renewed until then is open to others: its gateway has died. */
  leaseUntilMs: number;
  expiresAtMs: number;
}

export interface KeptAnswer {
  status: number;
  headers: Record<string, string>;
  body: Uint8Array;
}

export type ClaimResult =
  | { kind: 'claimed' }
  /** Another request with this key runs. */
  | { kind: 'running' }
  /** The key was used for something else. */
  | { kind: 'other-request' }
  | { kind: 'kept'; answer: KeptAnswer };

export interface IdempotencyStore {
  claim(claim: IdempotencyClaim): Promise<ClaimResult>;
  renew(renewal: { tokens: string[]; leaseUntilMs: number }): Promise<void>;
  /** Keeps the answer. False when the claim was lost meanwhile. */
  finish(end: { token: string; answer: KeptAnswer }): Promise<boolean>;
  /** The key may be used again, as if it had never been. */
  release(token: string): Promise<void>;
  /** Takes away what has expired, and the oldest answers beyond the limit of bytes. */
  sweep(nowMs: number): Promise<void>;
}
