/** For tests: a batch as it stands in storage, new but for what the test changes. */
import { newBatch, type StoredBatch } from '../../src/contract/ports/batch-store.ts';

export function storedBatch(change: Partial<StoredBatch> = {}): StoredBatch {
  const batch = newBatch({
    id: 'batch_1',
    owner: 'me',
    endpoint: '/v1/chat/completions',
    inputFileId: 'file-1',
    completionWindow: '24h',
    metadata: null,
    outputTtlMs: null,
    createdAtMs: 1_000,
    expiresAtMs: Number.MAX_SAFE_INTEGER,
  });
  return { ...batch, ...change };
}
