import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { logLine } from './request-log.ts';
import { newRecord, type RequestRecord } from './request-record.ts';

const text = fc.string({ unit: 'binary', maxLength: 20 });
const count = fc.option(fc.nat());

const records: fc.Arbitrary<RequestRecord> = fc
  .record({
    requestId: text,
    method: fc.constantFrom('GET', 'POST'),
    route: fc.constantFrom('/v1/models', 'unknown'),
    startedWallMs: fc.double({ min: 0, max: 4e12, noNaN: true }),
    startedMs: fc.nat(),
    keyName: fc.option(text),
    model: fc.option(text),
    fallback: fc.option(text),
    replica: fc.option(text),
    filler: fc.boolean(),
    stream: fc.boolean(),
    cache: fc.constantFrom(null, 'hit' as const, 'miss' as const),
    batch: fc.constantFrom(null, { size: 3, waitMs: 1.26 }),
    status: fc.constantFrom(0, 200, 429, 502),
    errorCode: fc.constantFrom(null, 'internal' as const),
    limited: fc.constantFrom(null, { scope: 'key' as const, kind: 'tokens' as const }),
    queuedMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
    firstTokenMs: fc.option(fc.double({ min: 0, max: 1e6, noNaN: true })),
    promptTokens: count,
    completionTokens: count,
  })
  .map((fields) => ({ ...newRecord(fields), ...fields }));

describe('logLine', () => {
  it('is one line of JSON that says what the record says', () => {
    fc.assert(
      fc.property(records, (record) => {
        const line = logLine(record, record.startedMs + 12.5);
        expect(line.indexOf('\n')).toBe(line.length - 1);
        const { firstTokenMs } = record;
        expect(JSON.parse(line)).toEqual({
          '@timestamp': new Date(record.startedWallMs).toISOString(),
          'log.level': record.status >= 500 || record.outcome === 'failed-internal' ? 'error' : 'info',
          message: 'request',
          'event.duration': 12_500_000,
          'http.request.id': record.requestId,
          'http.request.method': record.method,
          'http.route': record.route,
          'http.response.status_code': record.status,
          'http.request.body.bytes': 0,
          'http.response.body.bytes': 0,
          outcome: record.outcome,
          error_code: record.errorCode,
          ...(record.limited !== null && { limited_by: 'key/tokens' }),
          key: record.keyName,
          ...(record.filler && { filler: true }),
          model: record.model,
          fallback: record.fallback,
          stream: record.stream,
          ...(record.cache !== null && { cache: record.cache }),
          ...(record.batch !== null && { batch_size: 3, batch_wait_ms: 1.3 }),
          replica: record.replica,
          attempts: 0,
          client_retries: 0,
          continuations: 0,
          tier: null,
          gap_ms: null,
          queue_ms: Math.round(record.queuedMs * 10) / 10,
          ttft_ms: firstTokenMs === null ? null : Math.round(firstTokenMs * 10) / 10,
          prompt_tokens: record.promptTokens,
          completion_tokens: record.completionTokens,
          completion_tokens_estimated: null,
        });
      }),
      { numRuns: 10_000 },
    );
  });
});
