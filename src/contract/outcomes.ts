/**
 * How a request ended, for the request loop. Closed: it is the metric label, the log field and what tests assert.
 * The detail is a `PlatformError`.
 */
export type RequestOutcome =
  /** The client received the whole answer. */
  | 'completed'
  /** The caller sent something that no engine was asked about (4xx by us). */
  | 'rejected-invalid'
  /** No or wrong credentials, or not allowed. */
  | 'rejected-unauthorized'
  /** A limit of the key or the model was used up, or is too small for the request. */
  | 'rejected-rate-limited'
  /** Engines died while such a request ran, and it is refused for a time. */
  | 'rejected-suspect'
  /** The queue was full. */
  | 'rejected-saturated'
  /** The model exists, but no replica is ready and none came back within the queue's deadline. */
  | 'rejected-no-replica'
  /** The deadline passed while the request waited in the queue. */
  | 'expired-in-queue'
  /** The client went away. */
  | 'cancelled-by-client'
  /** An engine answered with its own error (4xx or 5xx) that was passed on. */
  | 'failed-by-engine'
  /** Engines died or timed out, and retries and continuation could not save the request. */
  | 'failed-upstream'
  /** The gateway itself broke or was stopped. */
  | 'failed-internal';
