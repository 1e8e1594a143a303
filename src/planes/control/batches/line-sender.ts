/** Sends lines of batches to our own gateway, as requests that may wait, and says what came of each. */
import type { Clock } from '../../../base/clock.ts';
import { FILLER_KEY_HEADER, FILLER_OWNER_HEADER } from '../../../contract/filler.ts';
import type {
  Transport,
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
} from '../../../contract/ports/transport.ts';
import type { LineResult } from '../../../decide/batches/batch-state.ts';

export interface LineAnswerBody {
  status: number;
  requestId: string;
  body: Buffer;
}

/** Why there is no answer, as the error file says it. */
export interface LineError {
  code: string;
  message: string;
}

export type LineEnd =
  | { result: LineResult; answer: LineAnswerBody }
  | { result: LineResult; error: LineError };

export interface LineRequest {
  /** Path of the endpoint. */
  path: string;
  body: Buffer;
  /** Name of the key that owns the batch. */
  owner: string;
  requestId: string;
}

export interface LineSender {
  /** Reports the end once, unless it is aborted. */
  send(request: LineRequest, onEnd: (end: LineEnd) => void): { abort(): void };
}

export interface LineSenderOptions {
  transport: Transport;
  /** Origin of the gateway at present. */
  gatewayOrigin(): string;
  /** By which the gateway knows us. */
  key: string;
  clock: Clock;
  /** From the sending of a line to the end of its answer. The gateway has a limit of its own; one that hangs keeps to none. */
  timeoutMs: number;
}

const CONNECT_TIMEOUT_MS = 5_000;
const ANSWER_BYTES_MAX = 16_777_216;

const GATEWAY_LOST: LineError = {
  code: 'gateway_lost',
  message: 'The connection to the gateway was lost each time while this request was executed.',
};

export function createLineSender(options: LineSenderOptions): LineSender {
  const { transport, clock, timeoutMs } = options;
  return {
    send: (request, onEnd) => {
      const over = new AbortController();
      const end = (how: LineEnd) => {
        if (over.signal.aborted) return;
        over.abort();
        onEnd(how);
      };
      const call = transport.send(
        upstreamRequest(options, request),
        answerHandler(request, end, () => call),
      );
      const giveUp = () => {
        call.abort();
        end(timedOut(timeoutMs));
      };
      clock.sleep(timeoutMs, over.signal).then(giveUp, () => {});
      return {
        abort: () => {
          over.abort();
          call.abort();
        },
      };
    },
  };
}

function upstreamRequest(
  { gatewayOrigin, key }: LineSenderOptions,
  { path, body, owner, requestId }: LineRequest,
): UpstreamRequest {
  return {
    origin: gatewayOrigin(),
    method: 'POST',
    path,
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      'x-request-id': requestId,
      [FILLER_KEY_HEADER]: key,
      ...(owner !== '' && { [FILLER_OWNER_HEADER]: encodeURIComponent(owner) }),
    },
    body,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
  };
}

function answerHandler(
  { requestId: askedId }: LineRequest,
  end: (how: LineEnd) => void,
  call: () => UpstreamCall,
): UpstreamHandler {
  const chunks: Buffer[] = [];
  let size = 0;
  let status = 0;
  let requestId = askedId;
  return {
    onHead: (found, headers) => {
      status = found;
      const id = headers['x-request-id'];
      if (typeof id === 'string') requestId = id;
    },
    onData: (chunk) => {
      size += chunk.length;
      if (size <= ANSWER_BYTES_MAX) return void chunks.push(chunk);
      call().abort();
      end(tooLarge(requestId));
    },
    onEnd: () =>
      end({ result: resultOf(status), answer: { status, requestId, body: Buffer.concat(chunks) } }),
    onError: (failure) =>
      end({ result: { kind: failure === 'connection-lost' ? 'lost' : 'refused' }, error: GATEWAY_LOST }),
  };
}

/** What a status says of the line. */
function resultOf(status: number): LineResult {
  if (status >= 200 && status < 300) return { kind: 'answered', ok: true };
  // Our key is not known yet, somebody is busy, or no replica is there: none of it is the line's fault.
  if ([401, 403, 408, 425, 429, 503].includes(status)) return { kind: 'refused' };
  if (status >= 500) return { kind: 'failed' };
  return { kind: 'answered', ok: false };
}

function tooLarge(requestId: string): LineEnd {
  const message = `the answer has more than ${ANSWER_BYTES_MAX} bytes, the limit for a line of a batch`;
  const error = { message, type: 'upstream_error', param: null, code: 'answer_too_large' };
  return {
    result: { kind: 'answered', ok: false },
    answer: { status: 502, requestId, body: Buffer.from(JSON.stringify({ error })) },
  };
}

/** The code that the vendor's error files have for it. */
function timedOut(timeoutMs: number): LineEnd {
  const message = `This request was not answered within ${timeoutMs} ms.`;
  return { result: { kind: 'failed' }, error: { code: 'request_timeout', message } };
}
