/**
 * Requests with an `Idempotency-Key`: of many with one key one is served, and what it answered is given to the others. Claims
 * of this worker are renewed while their requests run, so that those of a dead gateway come free.
 *
 * When the store cannot be used, the request is served all the same and the answer says that it was not kept: inference does
 * not stop for want of a disk.
 */
import { createHash, randomUUID } from 'node:crypto';
import { PlatformError } from '../../../contract/errors.ts';
import type { ClaimResult, KeptAnswer } from '../../../contract/ports/idempotency-store.ts';
import { type ApiCall, type ApiContext, ownerOf } from '../api-route.ts';
import type { ErrorDialect } from '../error-dialect.ts';
import { RecordingExchange } from './recording-exchange.ts';

export const KEY_HEADER = 'idempotency-key';
const KEY_CHARS_MAX = 255;
const LEASE_MS = 20_000;
const RENEW_MS = 5_000;
const RETRY_AFTER_S = 1;

export class IdempotencyClaims {
  readonly #gateway: ApiContext;
  readonly #tokens = new Set<string>();
  #renewing = false;

  constructor(gateway: ApiContext) {
    this.#gateway = gateway;
  }

  /** Serves the call by `serve`, or by the answer to an earlier one with the same key. */
  async serve(
    call: ApiCall,
    errors: ErrorDialect,
    serve: (call: ApiCall) => void | Promise<void>,
  ): Promise<void> {
    const { exchange, record } = call;
    const key = checkedKey(exchange.headers[KEY_HEADER] ?? '');
    const body = await exchange.readBody(this.#gateway.settings.bodyBytesMax);
    record.bytesIn = body.length;
    const token = randomUUID();
    const found = await this.#claim(call, key, body, token);
    if (found.kind === 'kept') return replay(call, found.answer, errors);
    if (found.kind === 'other-request') {
      throw new PlatformError(
        'idempotency_key_reused',
        `the Idempotency-Key "${key.slice(0, 80)}" was used for a request with another path or body`,
      );
    }
    if (found.kind === 'running') {
      throw new PlatformError(
        'idempotency_conflict',
        `a request with the Idempotency-Key "${key.slice(0, 80)}" still runs`,
        { retryAfterS: RETRY_AFTER_S },
      );
    }
    const kept = found.kind === 'claimed';
    const recording = new RecordingExchange(exchange, {
      body,
      record,
      headers: kept ? {} : { 'x-autoglm-idempotency': 'not-kept' },
      settle: (answer) => (kept ? this.#settle(token, answer, record.requestId) : Promise.resolve()),
    });
    if (kept) this.#hold(token);
    try {
      await serve({ ...call, exchange: recording });
    } finally {
      await recording.close();
    }
  }

  async #claim(
    call: ApiCall,
    key: string,
    body: Buffer,
    token: string,
  ): Promise<ClaimResult | { kind: 'unkept' }> {
    const { exchange, record } = call;
    const nowMs = this.#gateway.clock.wallMs();
    const fingerprint = createHash('sha256').update(exchange.path).update('\n').update(body).digest('hex');
    try {
      return await this.#gateway.stores.idempotency.claim({
        owner: ownerOf(call),
        key,
        fingerprint,
        token,
        nowMs,
        leaseUntilMs: nowMs + LEASE_MS,
        expiresAtMs: nowMs + this.#gateway.settings.idempotencyTtlMs,
      });
    } catch (error) {
      this.#gateway.logError('an Idempotency-Key could not be honoured', error, record.requestId);
      return { kind: 'unkept' };
    }
  }

  async #settle(token: string, answer: KeptAnswer | null, requestId: string): Promise<void> {
    this.#tokens.delete(token);
    const { idempotency } = this.#gateway.stores;
    try {
      if (answer === null) await idempotency.release(token);
      else await idempotency.finish({ token, answer });
    } catch (error) {
      // The claim comes free when its lease runs out.
      this.#gateway.logError('the answer to an Idempotency-Key could not be kept', error, requestId);
    }
  }

  #hold(token: string): void {
    this.#tokens.add(token);
    if (!this.#renewing) void this.#renew();
  }

  async #renew(): Promise<void> {
    const { clock, stores } = this.#gateway;
    this.#renewing = true;
    while (this.#tokens.size > 0) {
      await clock.sleep(RENEW_MS);
      const tokens = [...this.#tokens];
      await stores.idempotency.renew({ tokens, leaseUntilMs: clock.wallMs() + LEASE_MS }).catch(() => {});
    }
    this.#renewing = false;
  }
}

function checkedKey(key: string): string {
  if (key.length >= 1 && key.length <= KEY_CHARS_MAX) return key;
  throw new PlatformError(
    'invalid_request',
    `Idempotency-Key: found ${key.length} characters; expected 1 to ${KEY_CHARS_MAX}`,
  );
}

function replay(
  { exchange, record }: ApiCall,
  { status, headers, body }: KeptAnswer,
  errors: ErrorDialect,
): void {
  const { requestId } = record;
  record.status = status;
  record.outcome = 'completed';
  record.bytesOut = body.byteLength;
  exchange.send(
    status,
    {
      ...headers,
      'x-request-id': requestId,
      ...(errors === 'anthropic' && { 'request-id': requestId }),
      'x-autoglm-idempotent-replay': 'true',
    },
    body,
  );
}
