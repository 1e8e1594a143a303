/**
 * The engine of the bench: answers canned bytes over node:net, as cheaply as Node can, so that what is measured is the proxy.
 * It reads how to answer from the request's `user` field, "chunks x pace". Started by `run.ts`; prints its port as JSON.
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
  const timers = new Set<NodeJS.Timeout>();
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
      reply(socket, body, timers);
    }
  });
  const stop = () => {
    for (const timer of timers) clearInterval(timer);
  };
  socket.on('close', stop);
  socket.on('error', stop);
}

function reply(socket: Socket, body: string, timers: Set<NodeJS.Timeout>): void {
  if (!body.includes('"stream":true')) {
    socket.write(UNARY);
    return;
  }
  const [, chunks, pace] = /"user":"(\d+)x(\d+)"/.exec(body) ?? [];
  const count = Number(chunks ?? 1);
  socket.write(HEAD);
  if (Number(pace) === 0) {
    for (let i = 0; i < count; i++) socket.write(CHUNK);
    socket.write(LAST);
    return;
  }
  let left = count;
  const timer = setInterval(() => {
    socket.write(CHUNK);
    left--;
    if (left > 0) return;
    clearInterval(timer);
    timers.delete(timer);
    socket.write(LAST);
  }, Number(pace));
  timers.add(timer);
}

const server = createServer(serve);
server.listen({ host: '127.0.0.1', port: 0, backlog: 1024 }, () => {
  process.stdout.write(`${JSON.stringify(server.address())}\n`);
});
