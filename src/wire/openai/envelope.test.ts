import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyBytes, validJson } from '../../../tests/support/hostile-json.ts';
import { PlatformError } from '../../contract/errors.ts';
import {
  buildContinuation,
  choiceCountOf,
  continuationRequestOf,
  summaryOf,
} from './continuation-request.ts';
import { emptyDelivered } from './delivered-stream.ts';
import { type InferenceEndpoint, parseEnvelope } from './envelope.ts';

const ENDPOINTS: InferenceEndpoint[] = [
  ...(['chat', 'completions', 'embeddings', 'rerank'] as const),
  ...(['score', 'tokenize', 'detokenize', 'classify', 'pooling'] as const),
];
const endpoint = fc.constantFrom(...ENDPOINTS);

/** A body that names a model, with other fields of any kind. */
const body = fc
  .dictionary(
    fc.constantFrom('messages', 'prompt', 'input', 'n', 'stop', 'tools', 'functions', 'seed', 'stream_options', 'best_of', 'max_tokens', 'response_format', 'temperature'),
    validJson,
  ) // biome-ignore format: a list
  .map((fields) => {
    const rest = Object.entries(fields).map(([key, value]) => `,${JSON.stringify(key)}:${value}`);
    return Buffer.from(`{"model":"m"${rest.join('')}}`);
  });

describe('parseEnvelope', () => {
  it('gives an envelope or a 400 that names the field, for any bytes (10,000 cases)', () => {
    fc.assert(
      fc.property(endpoint, fc.oneof(anyBytes, body), (kind, bytes) => {
        try {
          const envelope = parseEnvelope(kind, bytes);
          expect(envelope.model.length).toBeGreaterThan(0);
          expect(envelope.bytes).toBe(bytes);
          if (envelope.stream) expect(['chat', 'completions']).toContain(kind);
        } catch (error) {
          expect(error).toBeInstanceOf(PlatformError);
          expect((error as PlatformError).spec.status).toBe(400);
        }
      }),
      { numRuns: 10_000 },
    );
  });
});

describe('what continuation reads of a request', () => {
  it('is found in any body that has an envelope, without an exception (10,000 cases)', () => {
    fc.assert(
      fc.property(fc.constantFrom<InferenceEndpoint>('chat', 'completions'), body, (kind, bytes) => {
        let envelope: ReturnType<typeof parseEnvelope>;
        try {
          envelope = parseEnvelope(kind, bytes);
        } catch {
          return;
        }
        const count = choiceCountOf(envelope);
        expect(Number.isInteger(count) && count >= 1 && count <= 4096).toBe(true);
        continuationRequestOf(envelope);
        const delivered = emptyDelivered();
        summaryOf(delivered);
        const source = { envelope, delivered, deliveredTokens: 1, servedModel: 's', promptIds: null };
        expect(JSON.parse(JSON.stringify(buildContinuation('C', source).body)).model).toBe('s');
      }),
      { numRuns: 10_000 },
    );
  });
});
