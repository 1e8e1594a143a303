/**
 * The `x-ratelimit-*` headers as OpenAI writes them (https://platform.openai.com/docs/guides/rate-limits): of several limits
 * of a kind, the one that binds first. Resets are durations such as `1s`, `6m0s`, `120ms`.
 */
import type { BoundLimit, RequestLimits } from './request-limits.ts';

export function rateLimitHeaders(
  limits: readonly BoundLimit[],
  state: Pick<RequestLimits, 'remaining'>,
  nowMs: number,
): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const kind of ['requests', 'tokens'] as const) {
    let least: { limit: number; remaining: number; resetMs: number } | null = null;
    for (const limit of limits) {
      if (limit.kind !== kind) continue;
      const { remaining, resetMs } = state.remaining(limit, nowMs);
      if (least === null || remaining < least.remaining) {
        least = { limit: limit.rate.amount, remaining, resetMs };
      }
    }
    if (least === null) continue;
    headers[`x-ratelimit-limit-${kind}`] = String(least.limit);
    headers[`x-ratelimit-remaining-${kind}`] = String(least.remaining);
    headers[`x-ratelimit-reset-${kind}`] = durationText(least.resetMs);
  }
  return headers;
}

/** Rounded up, so that whoever waits as long as it says has waited long enough. */
export function durationText(ms: number): string {
  const whole = Math.ceil(ms - 1e-6);
  if (whole < 1_000) return `${Math.max(0, whole)}ms`;
  const seconds = Math.ceil(whole / 1_000);
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor((seconds % 3_600) / 60)];
  if (hours > 0) return `${hours}h${minutes}m${seconds % 60}s`;
  return minutes > 0 ? `${minutes}m${seconds % 60}s` : `${seconds}s`;
}

/** Whole seconds for `Retry-After`, one at least. */
export function retryAfterS(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1_000));
}
