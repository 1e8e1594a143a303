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
export type BindingLimits = { [kind in 'requests' | 'tokens']?: BindingLimit | undefined };

export function bindingLimits(
  limits: readonly BoundLimit[],
  read: (limit: BoundLimit) => LimitReading,
): BindingLimits {
  let requests: BindingLimit | undefined;
  let tokens: BindingLimit | undefined;
  for (const limit of limits) {
    if (limit.kind === 'concurrency') continue;
    const { remaining, resetMs } = read(limit);
    const least = limit.kind === 'requests' ? requests : tokens;
    if (least !== undefined && least.remaining <= remaining) continue;
    const binding = { limit: limit.rate.amount, remaining, resetMs };
    if (limit.kind === 'requests') requests = binding;
    else tokens = binding;
  }
  return { requests, tokens };
}

export function rateLimitHeaders(binding: BindingLimits): Record<string, string> {
  const headers: Record<string, string> = {};
  const { requests, tokens } = binding;
  if (requests !== undefined) {
    headers['x-ratelimit-limit-requests'] = String(requests.limit);
    headers['x-ratelimit-remaining-requests'] = String(requests.remaining);
    headers['x-ratelimit-reset-requests'] = durationText(requests.resetMs);
  }
  if (tokens !== undefined) {
    headers['x-ratelimit-limit-tokens'] = String(tokens.limit);
    headers['x-ratelimit-remaining-tokens'] = String(tokens.remaining);
    headers['x-ratelimit-reset-tokens'] = durationText(tokens.resetMs);
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
