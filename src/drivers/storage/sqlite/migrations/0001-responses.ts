import type { Migration } from '../migrate.ts';

export const responses: Migration = {
  version: 1,
  name: 'responses',
  sql: `
    CREATE TABLE responses (
      id TEXT NOT NULL PRIMARY KEY,
      owner TEXT NOT NULL,
      status TEXT NOT NULL,
      previous_id TEXT,
      created_at_ms INTEGER NOT NULL,
      expires_at_ms INTEGER NOT NULL,
      alive_at_ms INTEGER,
      cancel_asked INTEGER NOT NULL DEFAULT 0,
      events_kept INTEGER NOT NULL DEFAULT 0,
      input_json TEXT NOT NULL,
      response_json TEXT NOT NULL,
      bytes INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX responses_by_expiry ON responses (expires_at_ms);
    CREATE INDEX responses_by_age ON responses (created_at_ms, bytes);
    CREATE TABLE response_events (
      response_id TEXT NOT NULL REFERENCES responses (id) ON DELETE CASCADE,
      sequence INTEGER NOT NULL,
      data TEXT NOT NULL,
      PRIMARY KEY (response_id, sequence)
    ) STRICT, WITHOUT ROWID;
  `,
};
