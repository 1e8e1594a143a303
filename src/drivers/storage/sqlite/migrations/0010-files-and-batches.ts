import type { Migration } from '../migrate.ts';

export const filesAndBatches: Migration = {
  version: 10,
  name: 'files-and-batches',
  sql: `
    CREATE TABLE files (
      id TEXT NOT NULL PRIMARY KEY,
      owner TEXT NOT NULL,
      filename TEXT NOT NULL,
      purpose TEXT NOT NULL,
      bytes INTEGER NOT NULL,
      created_at_ms INTEGER NOT NULL,
      expires_at_ms INTEGER
    ) STRICT;
    CREATE INDEX files_by_owner ON files (owner, created_at_ms, id);
    CREATE INDEX files_by_expiry ON files (expires_at_ms);
    CREATE TABLE batches (
      id TEXT NOT NULL PRIMARY KEY,
      owner TEXT NOT NULL,
      endpoint TEXT NOT NULL,
      input_file_id TEXT NOT NULL,
      completion_window TEXT NOT NULL,
      metadata_json TEXT,
      output_ttl_ms INTEGER,
      status TEXT NOT NULL,
      ending TEXT,
      created_at_ms INTEGER NOT NULL,
      expires_at_ms INTEGER NOT NULL,
      in_progress_at_ms INTEGER,
      finalizing_at_ms INTEGER,
      cancelling_at_ms INTEGER,
      ended_at_ms INTEGER,
      total INTEGER NOT NULL DEFAULT 0,
      completed INTEGER NOT NULL DEFAULT 0,
      failed INTEGER NOT NULL DEFAULT 0,
      output_file_id TEXT,
      error_file_id TEXT,
      problems_json TEXT NOT NULL DEFAULT '[]',
      holder TEXT,
      lease_until_ms INTEGER NOT NULL DEFAULT 0,
      fence INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX batches_by_owner ON batches (owner, created_at_ms, id);
    CREATE INDEX batches_that_run ON batches (created_at_ms) WHERE ended_at_ms IS NULL;
    CREATE INDEX batches_by_end ON batches (ended_at_ms) WHERE ended_at_ms IS NOT NULL;
    CREATE TABLE batch_answers (
      batch_id TEXT NOT NULL,
      line INTEGER NOT NULL,
      ok INTEGER NOT NULL,
      text TEXT NOT NULL,
      PRIMARY KEY (batch_id, line)
    ) STRICT;
  `,
};
