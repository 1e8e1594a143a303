import fc from 'fast-check';
import { describe, it } from 'vitest';
import { anyBytes, jsonObject, validJson } from '../../../tests/support/hostile-json.ts';
import { mustEqual } from '../../../tests/support/must.ts';
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
const field = fc.constantFrom(
  ...['messages', 'prompt', 'input', 'n', 'stop', 'tools', 'functions', 'seed', 'stream_options', 'best_of'],
  ...['max_tokens', 'response_format', 'temperature'],
);
const body = jsonObject(validJson, { maxKeys: 6, keys: field }).map((fields) => {
  const rest = Object.entries(fields).map(([key, value]) => `,${JSON.stringify(key)}:${value}`);
  return Buffer.from(`{"model":"m"${rest.join('')}}`);
});

describe('parseEnvelope', () => {
  it('gives an envelope or a 400 that names the field, for any bytes (10,000 cases)', () => {
    fc.assert(
      fc.property(endpoint, fc.oneof(anyBytes, body), (kind, bytes) => {
        try {
          const envelope = parseEnvelope(kind, bytes);
          mustEqual(envelope.model.length > 0 && envelope.bytes === bytes, true);
          if (envelope.stream) mustEqual(kind === 'chat' || kind === 'completions', true);
        } catch (error) {
          if (!(error instanceof PlatformError) || error.spec.status !== 400) throw error;
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
        mustEqual(Number.isInteger(count) && count >= 1 && count <= 4096, true);
        continuationRequestOf(envelope);
        const delivered = emptyDelivered();
        summaryOf(delivered);
        const source = { envelope, delivered, deliveredTokens: 1, servedModel: 's', promptIds: null };
        mustEqual(JSON.parse(JSON.stringify(buildContinuation('C', source).body)).model, 's');
      }),
      { numRuns: 10_000 },
    );
  });
});
