/**
 * Stands between a client and a server and keeps what the server answered, so that a test can compare what a client made of an
 * answer with the answer itself, whatever it was.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface RecordingProxy {
  url: string;
  /** Bodies of the answers to `path`, in the order of their end. */
  answers(path: string): string[];
  close(): Promise<void>;
}

export async function startRecordingProxy(origin: string): Promise<RecordingProxy> {
  const recorded: { path: string; body: string }[] = [];
  const server = createServer(async (request, response) => {
    const path = request.url ?? '';
    const sent: Buffer[] = [];
    for await (const chunk of request) sent.push(chunk as Buffer);
    const answer = await fetch(origin + path, {
      method: request.method ?? 'GET',
      headers: { 'content-type': 'application/json' },
      ...(sent.length > 0 && { body: Buffer.concat(sent) }),
    });
    const body = await answer.text();
    recorded.push({ path, body });
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answers: (path) => recorded.filter((one) => one.path === path).map(({ body }) => body),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
