/**
 * What `x-ratelimit-*` headers say, as OpenAI writes them (https://platform.openai.com/docs/guides/rate-limits): of several
 * limits of a kind, the one that binds first. Resets are durations such as `1s`, `6m0s`, `120ms`.
 */
import type { BoundLimit } from './request-limits.ts';

/** Of one limit, at some moment. */
export interface LimitReading {
  remaining: number;
  /** Until it is whole again. */
  resetMs: number;
}

export interface BindingLimit extends LimitReading {
  limit: number;
}

/** By kind the limit of which the least is left; a kind that is not limited is not there. */
export type BindingLimits = Partial<Record<'requests' | 'tokens', BindingLimit>>;

export function bindingLimits(
  limits: readonly BoundLimit[],
  read: (limit: BoundLimit) => LimitReading,
): BindingLimits {
  const binding: BindingLimits = {};
  for (const limit of limits) {
    if (limit.kind === 'concurrency') continue;
    const { remaining, resetMs } = read(limit);
    const least = binding[limit.kind];
    if (least !== undefined && least.remaining <= remaining) continue;
    binding[limit.kind] = { limit: limit.rate.amount, remaining, resetMs };
  }
  return binding;
}

export function rateLimitHeaders(binding: BindingLimits): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const kind of ['requests', 'tokens'] as const) {
    const least = binding[kind];
    if (least === undefined) continue;
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
