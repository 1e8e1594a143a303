/**
 * One HTTP/2 connection per engine and thread, and the typed client on it. It is opened by the first call and again after it
 * was lost. No pings: servers of gRPC close connections that ping too often, and the planes watch tokens.
 */
import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { httpStatusOf } from '../../wire/kserve/engine-error.ts';
import { GRPCInferenceService } from '../../wire/kserve/proto/inference_pb.ts';
import { BackendError, type LostConnection } from './backend.ts';

export type InferenceClient = Client<typeof GRPCInferenceService>;

/** Vectors and texts are far smaller. */
const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;

export interface GrpcSession {
  client: InferenceClient;
  /** Rejects with `BackendError` when there is no connection within the time. */
  connect(timeoutMs: number, signal: AbortSignal): Promise<void>;
  close(): void;
}

export function openGrpcSession(origin: string): GrpcSession {
  const sessions = new Http2SessionManager(origin);
  const transport = createGrpcTransport({
    baseUrl: origin,
    sessionManager: sessions,
    readMaxBytes: MESSAGE_BYTES_MAX,
  });
  return {
    client: createClient(GRPCInferenceService, transport),
    connect: (timeoutMs, signal) => connect(sessions, origin, timeoutMs, signal),
    close: () => sessions.abort(),
  };
}

async function connect(
  sessions: Http2SessionManager,
  origin: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const state = sessions.state();
  if (state === 'open' || state === 'idle') return;
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), timeoutMs);
  const ended = AbortSignal.any([signal, limit.signal]);
  const endedEarly = new Promise<'ended'>((resolve) => {
    ended.addEventListener('abort', () => resolve('ended'), { once: true });
  });
  try {
    const reached = await Promise.race([sessions.connect(), endedEarly]);
    signal.throwIfAborted();
    if (reached === 'open' || reached === 'idle') return;
    if (reached === 'ended') {
      // The next call begins anew instead of waiting for this attempt.
      sessions.abort();
      throw lost('connect-timeout', new Error(`no connection to ${origin} within ${timeoutMs} ms`));
    }
    throw backendError(sessions.error() ?? new Error(`no connection to ${origin}`));
  } finally {
    clearTimeout(timer);
  }
}

/** What went wrong in a call: the connection, or what the engine said by its status. */
export function backendError(thrown: unknown): BackendError {
  if (thrown instanceof BackendError) return thrown;
  const error = ConnectError.from(thrown);
  const cause = error.cause as NodeJS.ErrnoException | undefined;
  switch (cause?.code) {
    case 'ECONNREFUSED':
    case 'ENOTFOUND':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return lost('connect-refused', error);
    case 'ETIMEDOUT':
      return lost('connect-timeout', error);
  }
  const isOurs = typeof cause?.code === 'string' || error.rawMessage.startsWith('http/2 ');
  // An engine does not cancel what nobody asked it to: its process is gone, and the streams with it.
  if (isOurs || error.code === Code.Canceled) return lost('connection-lost', error);
  return new BackendError({ kind: 'refused', status: httpStatusOf(error.code), message: error.rawMessage });
}

function lost(failure: LostConnection, cause: Error): BackendError {
  return new BackendError({ kind: 'lost', failure, cause });
}
