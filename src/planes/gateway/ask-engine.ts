/**
 * One small JSON question to an engine, outside the queue and without a place: for what costs it no generation, such as
 * counting tokens. Bounded in time and size; the reply never rejects. Throws `invalid_request` for a body nested too deeply.
 */
import type { ReplicaView } from '../../contract/fleet.ts';
import { writeJson } from '../../wire/json/write-json.ts';
import type { GatewayContext } from './gateway-context.ts';

export interface EngineQuestion {
  path: string;
  body: Record<string, unknown>;
  timeoutMs: number;
  /** Of the answer. */
  bytesMax: number;
}

export type EngineReply =
  | { kind: 'answered'; status: number; body: Buffer }
  | { kind: 'failed'; why: 'timeout' | 'too-large' | 'unreachable' | 'cancelled'; detail: string };

export interface PendingReply {
  reply: Promise<EngineReply>;
  /** Ends the question and its connection. */
  cancel(): void;
}

export function askEngine(
  context: Pick<GatewayContext, 'transport' | 'settings'>,
  replica: ReplicaView,
  { path, body, timeoutMs, bytesMax }: EngineQuestion,
): PendingReply {
  const bytes = Buffer.from(writeJson('body', body));
  const { promise, resolve } = Promise.withResolvers<EngineReply>();
  const chunks: Buffer[] = [];
  let size = 0;
  let status = 0;
  let over = false;
  let timer: NodeJS.Timeout | undefined;
  const finish = (reply: EngineReply) => {
    over = true;
    clearTimeout(timer);
    resolve(reply);
  };
  const giveUp = (why: 'timeout' | 'too-large' | 'cancelled', detail: string) => {
    if (over) return;
    call.abort();
    finish({ kind: 'failed', why, detail });
  };
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (replica.engineKey !== undefined) headers.authorization = `Bearer ${replica.engineKey}`;
  const call = context.transport.send(
    {
      origin: replica.url,
      method: 'POST',
      path,
      headers,
      body: bytes,
      connectTimeoutMs: context.settings.connectTimeoutMs,
    },
    {
      onHead: (found) => {
        status = found;
      },
      onData: (chunk) => {
        size += chunk.length;
        if (size > bytesMax) giveUp('too-large', `an answer of more than ${bytesMax} bytes`);
        else chunks.push(chunk);
      },
      onEnd: () => finish({ kind: 'answered', status, body: Buffer.concat(chunks) }),
      onError: (_failure, cause) => finish({ kind: 'failed', why: 'unreachable', detail: cause.message }),
    },
  );
  // Not before: a transport may throw, and nobody would wait for this answer then.
  if (!over) timer = setTimeout(() => giveUp('timeout', `no answer within ${timeoutMs} ms`), timeoutMs);
  return { reply: promise, cancel: () => giveUp('cancelled', 'nobody waits for it') };
}
