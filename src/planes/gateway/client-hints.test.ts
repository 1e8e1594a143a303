import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mustEqual } from '../../../tests/support/must.ts';
import { clientHints } from './client-hints.ts';

describe('clientHints', () => {
  it('reads what SDKs send', () => {
    expect(clientHints({ 'x-stainless-retry-count': '2', 'x-stainless-timeout': '600' })).toEqual({
      retries: 2,
      timeoutMs: 600_000,
    });
    expect(clientHints({ 'x-stainless-read-timeout': '600.0' }).timeoutMs).toBe(600_000);
    expect(clientHints({ 'x-litellm-timeout': '1.5' }).timeoutMs).toBe(1500);
    expect(clientHints({})).toEqual({ retries: 0, timeoutMs: null });
  });

  it('takes a timeout of 0 seconds as none, for SDKs round down', () => {
    expect(clientHints({ 'x-stainless-timeout': '0' }).timeoutMs).toBeNull();
  });

  it('gives numbers in range for any text (10,000 cases)', () => {
    const value = fc.oneof(fc.string(), fc.constantFrom('-1', '1e9', '99999999', '0.0', ' 1', 'Infinity'));
    fc.assert(
      fc.property(value, value, (retries, timeout) => {
        const hints = clientHints({ 'x-stainless-retry-count': retries, 'x-request-timeout': timeout });
        mustEqual(hints.retries >= 0 && hints.retries <= 1000, true);
        mustEqual(hints.timeoutMs === null || (hints.timeoutMs > 0 && hints.timeoutMs <= 86_400_000), true);
      }),
      { numRuns: 10_000 },
    );
  });
});
