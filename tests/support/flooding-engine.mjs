/** An engine whose streams never end and go as fast as they are taken; prints its address. A process of its own, for tests. */
import { createServer } from 'node:http';

const event = `data: ${JSON.stringify({ id: 'f', object: 'chat.completion.chunk', created: 1, model: 'flood', choices: [{ index: 0, delta: { content: 'x'.repeat(2_000) }, finish_reason: null }] })}\n\n`;

const server = createServer((request, response) => {
  request.resume();
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const pump = () => {
    while (!response.destroyed) if (!response.write(event)) return response.once('drain', pump);
  };
  pump();
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
