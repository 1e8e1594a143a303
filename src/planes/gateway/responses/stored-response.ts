/** Stored responses as APIs read them: those of their caller only, and none that seems to run when its gateway has died. */
import { PlatformError } from '../../../contract/errors.ts';
import type { StoredResponse } from '../../../contract/ports/response-store.ts';
import { isResponseId } from '../../../wire/responses/item-ids.ts';
import type { GatewayContext } from '../gateway-context.ts';

/** A gateway that gives no sign of life for so long has died; it gives one each second. */
const ABANDONED_MS = 15_000;

export interface ResponseKey {
  id: string;
  owner: string;
}

export function notFound(id: string): PlatformError {
  return new PlatformError('response_not_found', `Response with id '${id.slice(0, 100)}' not found.`);
}

export function isRunning({ status }: Pick<StoredResponse, 'status'>): boolean {
  return status === 'queued' || status === 'in_progress';
}

/** Rejects with `response_not_found` or `storage_unavailable`. */
export async function readResponse(
  context: GatewayContext,
  { id, owner }: ResponseKey,
): Promise<StoredResponse> {
  if (!isResponseId(id)) throw notFound(id);
  const nowMs = context.clock.wallMs();
  const stored = await context.stores.responses.find({ id, owner, nowMs });
  if (stored === null) throw notFound(id);
  if (!isRunning(stored) || (stored.aliveAtMs ?? 0) > nowMs - ABANDONED_MS) return stored;
  const error = { code: 'server_error', message: 'the gateway that worked on this response has ended' };
  return endStored(context, stored, { status: 'failed', error });
}

/** Ends one that runs, from outside of its run; gives back how it ended, which may be otherwise. */
export async function endStored(
  context: GatewayContext,
  stored: StoredResponse,
  end: { status: 'failed' | 'cancelled'; error?: { code: string; message: string } },
): Promise<StoredResponse> {
  const response = JSON.parse(stored.responseJson) as Record<string, unknown>;
  const responseJson = JSON.stringify({ ...response, status: end.status, error: end.error ?? null });
  const ended = { ...stored, status: end.status, responseJson, aliveAtMs: null };
  if (await context.stores.responses.update(ended)) return ended;
  const { id, owner } = stored;
  const found = await context.stores.responses.find({ id, owner, nowMs: context.clock.wallMs() });
  if (found === null) throw notFound(id);
  return found;
}
