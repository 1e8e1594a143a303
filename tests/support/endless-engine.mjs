/**
 * An engine whose streams never end: they go as fast as they are taken, or with `--once` say one thing and then nothing. Prints
 * its address. A process of its own, for tests. Argument: characters of each event.
 */
import { createServer } from 'node:http';

const [characters, once] = process.argv.slice(2);
const choice = { index: 0, delta: { content: 'x'.repeat(Number(characters)) }, finish_reason: null };
const chunk = { id: 'endless', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [choice] };
const event = `data: ${JSON.stringify(chunk)}\n\n`;

const server = createServer((request, response) => {
  request.resume();
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const pump = () => {
    while (!response.destroyed) if (!response.write(event)) return response.once('drain', pump);
  };
  if (once === undefined) pump();
  else response.write(event);
});
server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () =>
  console.log(`http://127.0.0.1:${server.address().port}`),
);
