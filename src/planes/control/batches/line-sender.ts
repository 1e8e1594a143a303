/** Sends lines of batches to our own gateway, as requests that may wait, and says what came of each. */
import { FILLER_KEY_HEADER, FILLER_OWNER_HEADER } from '../../../contract/filler.ts';
import type { Transport } from '../../../contract/ports/transport.ts';
import type { LineResult } from '../../../decide/batches/batch-state.ts';

export interface LineAnswerBody {
  status: number;
  requestId: string;
  body: Buffer;
}

/** `answer` is null when there was none. */
export type LineEnd = { result: LineResult; answer: LineAnswerBody | null };

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
}

const CONNECT_TIMEOUT_MS = 5_000;
const ANSWER_BYTES_MAX = 16_777_216;

export function createLineSender({ transport, gatewayOrigin, key }: LineSenderOptions): LineSender {
  return {
    send: ({ path, body, owner, requestId }, onEnd) => {
      const chunks: Buffer[] = [];
      let size = 0;
      let status = 0;
      let answerId = requestId;
      const call = transport.send(
        {
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
        },
        {
          onHead: (found, headers) => {
            status = found;
            const id = headers['x-request-id'];
            if (typeof id === 'string') answerId = id;
          },
          onData: (chunk) => {
            size += chunk.length;
            if (size <= ANSWER_BYTES_MAX) return void chunks.push(chunk);
            call.abort();
            onEnd(tooLarge(answerId));
          },
          onEnd: () => {
            const answer = { status, requestId: answerId, body: Buffer.concat(chunks) };
            onEnd({ result: resultOf(status), answer });
          },
          onError: (failure) =>
            onEnd({ result: { kind: failure === 'connection-lost' ? 'lost' : 'refused' }, answer: null }),
        },
      );
      return call;
    },
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
