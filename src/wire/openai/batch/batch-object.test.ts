import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { valueOrRefusal } from '../../../../tests/support/value-or-refusal.ts';
import { readBatchRequest } from './batch-object.ts';

const endpoint = fc.constantFrom(
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/responses',
);
const id = fc.string({ minLength: 1, maxLength: 200 });
const metadata = fc.dictionary(fc.string({ maxLength: 64 }), fc.string({ maxLength: 20 }), { maxKeys: 16 });
/** An hour to thirty days. */
const seconds = fc.integer({ min: 3_600, max: 2_592_000 });

const FIELDS = ['input_file_id', 'endpoint', 'completion_window', 'metadata', 'output_expires_after'];

describe('the request for a batch', () => {
  it('is read as it was written (10,000 cases)', () => {
    const request = fc.record({ id, endpoint, metadata: fc.option(metadata), span: fc.option(seconds) });
    fc.assert(
      fc.property(request, (wanted) => {
        const fields = {
          input_file_id: wanted.id,
          endpoint: wanted.endpoint,
          completion_window: '24h',
          metadata: wanted.metadata,
          ...(wanted.span !== null && {
            output_expires_after: { anchor: 'created_at', seconds: wanted.span },
          }),
          unknown: true,
        };
        return isDeepStrictEqual(readBatchRequest(JSON.parse(JSON.stringify(fields))), {
          inputFileId: wanted.id,
          endpoint: wanted.endpoint,
          completionWindow: '24h',
          metadata: wanted.metadata && { ...wanted.metadata },
          outputTtlMs: wanted.span === null ? null : wanted.span * 1_000,
        });
      }),
      { numRuns: 10_000 },
    );
  });

  it('that is wrong is refused by the name of a field; nothing else is thrown (10,000 cases)', () => {
    const any = fc.jsonValue({ maxDepth: 1 });
    const long = fc.constantFrom('x'.repeat(65), 'x'.repeat(201), 'x'.repeat(513));
    const near = fc.record(
      {
        input_file_id: fc.oneof({ weight: 5, arbitrary: id }, any, long),
        endpoint: fc.oneof({ weight: 5, arbitrary: endpoint }, any),
        completion_window: fc.oneof({ weight: 5, arbitrary: fc.constant('24h') }, any),
        metadata: fc.oneof(metadata, any, fc.dictionary(fc.oneof(fc.string(), long), fc.oneof(any, long))),
        output_expires_after: fc.oneof(
          fc.record({ anchor: fc.constant('created_at'), seconds: fc.oneof(seconds, any) }),
          any,
        ),
      },
      { requiredKeys: ['input_file_id', 'endpoint'] },
    );
    fc.assert(
      fc.property(near, (fields) => {
        const read = valueOrRefusal(() => readBatchRequest(fields as Record<string, unknown>));
        if ('value' in read) return read.value.completionWindow === '24h';
        return FIELDS.includes(read.refusal.param?.split('.')[0] ?? '');
      }),
      { numRuns: 10_000 },
    );
  });
});
