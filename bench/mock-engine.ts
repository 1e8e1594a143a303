/**
 * The engine of the bench: answers canned bytes over node:net, as cheaply as Node can, so that what is measured is the proxy.
 * It reads how to answer from the request's `user` field, "chunks x pace". Started by `targets/`; prints its port as JSON.
 */
import { createServer, type Socket } from 'node:net';

const MODEL = 'bench';
const CHUNK_BYTES = 234;
const ANSWER_BYTES = 1200;

function padded(build: (fill: string) => string, bytes: number): string {
  return build('x'.repeat(bytes - build('').length));
}

const chunkEvent = padded(
  (fill) =>
    `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1790000000,"model":"${MODEL}","choices":[{"index":0,"delta":{"content":" ${fill}"},"logprobs":null,"finish_reason":null}]}\n\n`,
  CHUNK_BYTES,
);
const lastEvents = `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1790000000,"model":"${MODEL}","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`;
const frame = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;

const HEAD = Buffer.from(
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n',
);
const CHUNK = Buffer.from(frame(chunkEvent));
const LAST = Buffer.from(`${frame(lastEvents)}0\r\n\r\n`);
const answer = padded(
  (fill) =>
    `{"id":"chatcmpl-bench","object":"chat.completion","created":1790000000,"model":"${MODEL}","choices":[{"index":0,"message":{"role":"assistant","content":"${fill}"},"finish_reason":"stop"}],"usage":{"prompt_tokens":500,"completion_tokens":200,"total_tokens":700}}`,
  ANSWER_BYTES,
);
const UNARY = Buffer.from(
  `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${answer.length}\r\n\r\n${answer}`,
);

/** Reads requests with a Content-Length from one connection, one after the other. */
function serve(socket: Socket): void {
  socket.setNoDelay(true);
  let pending = Buffer.alloc(0);
  socket.on('data', (data) => {
    pending = pending.length === 0 ? data : Buffer.concat([pending, data]);
    for (;;) {
      const headEnd = pending.indexOf('\r\n\r\n');
      if (headEnd < 0) return;
      const head = pending.toString('latin1', 0, headEnd);
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
      const end = headEnd + 4 + length;
      if (pending.length < end) return;
      const body = pending.toString('latin1', headEnd + 4, end);
      pending = pending.subarray(end);
      reply(socket, body);
    }
  });
  socket.on('close', () => paced.delete(socket));
  socket.on('error', () => paced.delete(socket));
}

function reply(socket: Socket, body: string): void {
  if (!body.includes('"stream":true')) {
    socket.write(UNARY);
    return;
  }
  const [, chunks, pace] = /"user":"(\d+)x(\d+)"/.exec(body) ?? [];
  const count = Number(chunks ?? 1);
  socket.write(HEAD);
  if (Number(pace) > 0) return startPaced(socket, count, Number(pace));
  for (let i = 0; i < count; i++) socket.write(CHUNK);
  socket.write(LAST);
}

interface Paced {
  left: number;
  paceMs: number;
  dueMs: number;
}

/** Streams in progress. One clock for all: a timer each would drift together until all streams send in one burst. */
const paced = new Map<Socket, Paced>();
let ticker: NodeJS.Timeout | null = null;
let started = 0;
/** Steps of this part of the pace spread the streams over it evenly, in whatever number they come. */
const GOLDEN = 0.618_033_988_749;

function startPaced(socket: Socket, left: number, paceMs: number): void {
  const phase = (started++ * GOLDEN) % 1;
  paced.set(socket, { left, paceMs, dueMs: performance.now() + phase * paceMs });
  ticker ??= setInterval(sendDue, 1);
}

function sendDue(): void {
  const nowMs = performance.now();
  for (const [socket, stream] of paced) {
    if (stream.dueMs > nowMs) continue;
    if (stream.left === 0) {
      socket.write(LAST);
      paced.delete(socket);
      continue;
    }
    socket.write(CHUNK);
    stream.left--;
    stream.dueMs += stream.paceMs;
  }
  if (paced.size > 0 || ticker === null) return;
  clearInterval(ticker);
  ticker = null;
}

const server = createServer(serve);
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  process.stdout.write(`${JSON.stringify(server.address())}\n`);
});
