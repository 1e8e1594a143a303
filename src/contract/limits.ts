/** What a key or a model may use, in the words of configuration and snapshots; `decide/scheduling/limits` keeps to it. */
export interface LimitSettings {
  /** Undefined: as many as come. */
  requestsPerMinute?: number | undefined;
  /** Of prompts and answers together. Undefined: as many as come. */
  tokensPerMinute?: number | undefined;
  /** Under way at once. Undefined: as many as come. */
  parallelRequests?: number | undefined;
}

/** Whose limit it is: of a key, of a key on one model, or of a model for all callers together. */
export type LimitScope = 'key' | 'key-model' | 'model';
export type LimitKind = 'requests' | 'tokens' | 'concurrency';

/** Keys, models of keys, and models with limits that one gateway keeps count of. */
export const LIMITED_MAX = 16_384;
