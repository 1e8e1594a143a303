/** `anthropic-ratelimit-*` headers (https://docs.anthropic.com/en/api/rate-limits): resets are points in time, RFC 3339. */

interface Reading {
  limit: number;
  remaining: number;
  /** Until the limit is whole again. */
  resetMs: number;
}

export function anthropicRateLimitHeaders(
  readings: { [kind in 'requests' | 'tokens']?: Reading | undefined },
  wallMs: number,
): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const kind of ['requests', 'tokens'] as const) {
    const reading = readings[kind];
    if (reading === undefined) continue;
    // Whole seconds, rounded up: whoever waits until then has waited long enough.
    const reset = new Date(Math.ceil((wallMs + reading.resetMs) / 1_000) * 1_000);
    headers[`anthropic-ratelimit-${kind}-limit`] = String(reading.limit);
    headers[`anthropic-ratelimit-${kind}-remaining`] = String(reading.remaining);
    headers[`anthropic-ratelimit-${kind}-reset`] = reset.toISOString().replace('.000Z', 'Z');
  }
  return headers;
}
