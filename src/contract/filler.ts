/**
 * How the runner of batches speaks to a gateway: it has a key of its own, which no client has, and names the key of the client
 * for whom it asks. Such requests wait while clients are served.
 */
export const FILLER_KEY_HEADER = 'x-autoglm-filler-key';
/** Name of the key that owns the batch, percent-encoded; left out where no key is needed. */
export const FILLER_OWNER_HEADER = 'x-autoglm-filler-owner';
