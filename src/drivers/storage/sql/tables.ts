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
    cancel_asked: number;
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
}
