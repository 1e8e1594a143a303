/** The tables as queries see them, whatever database holds them. Their definitions are migrations. */
export interface Tables {
  responses: {
    id: string;
    owner: string;
    status: string;
    previous_id: string | null;
    created_at_ms: number;
    expires_at_ms: number;
    alive_at_ms: number | null;
    events_kept: number;
    input_json: string;
    response_json: string;
    /** Of this row and its events. */
    bytes: number;
  };
  response_events: { response_id: string; sequence: number; data: string };
  idempotency: {
    owner: string;
    key: string;
    fingerprint: string;
    token: string;
    lease_until_ms: number;
    expires_at_ms: number;
    /** Null while the request runs. */
    status: number | null;
    headers_json: string | null;
    body: Uint8Array | null;
    bytes: number;
  };
  files: {
    id: string;
    owner: string;
    filename: string;
    purpose: string;
    bytes: number;
    created_at_ms: number;
    expires_at_ms: number | null;
  };
  batches: {
    id: string;
    owner: string;
    endpoint: string;
    input_file_id: string;
    completion_window: string;
    metadata_json: string | null;
    output_ttl_ms: number | null;
    status: string;
    ending: string | null;
    created_at_ms: number;
    expires_at_ms: number;
    in_progress_at_ms: number | null;
    finalizing_at_ms: number | null;
    cancelling_at_ms: number | null;
    ended_at_ms: number | null;
    total: number;
    completed: number;
    failed: number;
    /** Of a batch that is not over: reserved. */
    output_file_id: string | null;
    error_file_id: string | null;
    problems_json: string;
    /** Who runs it; null when nobody does. */
    holder: string | null;
    lease_until_ms: number;
    /** Counts the holders; a write under a former number changes nothing. */
    fence: number;
  };
  batch_answers: { batch_id: string; line: number; ok: number; text: string };
}
