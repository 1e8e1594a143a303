import type { Migration } from '../migrate.ts';

export const idempotency: Migration = {
  version: 2,
  name: 'idempotency',
  sql: `
    CREATE TABLE idempotency (
      owner TEXT NOT NULL,
      key TEXT NOT NULL,
      fingerprint TEXT NOT NULL,
      token TEXT NOT NULL UNIQUE,
      lease_until_ms INTEGER NOT NULL,
      expires_at_ms INTEGER NOT NULL,
      status INTEGER,
      headers_json TEXT,
      body BLOB,
      bytes INTEGER NOT NULL DEFAULT 0,
      PRIMARY KEY (owner, key)
    ) STRICT;
    CREATE INDEX idempotency_by_expiry ON idempotency (expires_at_ms, bytes);
  `,
};
