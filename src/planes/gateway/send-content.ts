/** Sends a body in pieces, as fast as the client takes them; a client that takes nothing for too long is dropped. */
import { PlatformError } from '../../contract/errors.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';

export interface Content {
  headers: Record<string, string>;
  chunks: AsyncIterable<Buffer>;
  /** Longest time in which the client takes nothing. */
  stallMs: number;
}

/** The number of bytes sent. Rejects with `client_closed`, or with what `chunks` throws; the connection is cut then. */
export async function sendContent(
  exchange: HttpExchange,
  { headers, chunks, stallMs }: Content,
): Promise<number> {
  let sent = 0;
  exchange.sendHead(200, headers);
  try {
    for await (const chunk of chunks) {
      if (!exchange.write(chunk)) await drained(exchange, stallMs);
      if (exchange.clientGone) throw gone();
      sent += chunk.length;
    }
  } catch (error) {
    // The length was announced: an end that comes too early is all that can be said.
    exchange.destroy();
    throw error;
  }
  exchange.end();
  return sent;
}

function drained(exchange: HttpExchange, stallMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(gone()), stallMs);
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    exchange.onDrain(done);
    exchange.onClientGone(done);
  });
}

function gone(): PlatformError {
  return new PlatformError('client_closed', 'the client closed the connection, or stopped reading');
}
