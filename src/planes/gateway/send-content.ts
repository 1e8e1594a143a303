/** Sends a body in pieces, as fast as the client takes them. */
import { PlatformError } from '../../contract/errors.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import type { GatewayContext } from './gateway-context.ts';
import { underWatch } from './reader-watch.ts';

export interface Content {
  headers: Record<string, string>;
  chunks: AsyncIterable<Buffer>;
}

/** The number of bytes sent. Rejects with `client_closed`, or with what `chunks` throws; the connection is cut then. */
export async function sendContent(
  gateway: GatewayContext,
  exchange: HttpExchange,
  { headers, chunks }: Content,
): Promise<number> {
  let sent = 0;
  exchange.sendHead(200, headers);
  const relay = async () => {
    for await (const chunk of chunks) {
      sent += chunk.length;
      if (!exchange.write(chunk)) await drained(exchange);
      if (exchange.clientGone) return;
    }
    exchange.end();
  };
  try {
    await underWatch(gateway, exchange, () => sent, relay);
  } catch (error) {
    // The length was announced: an end that comes too early is all that can be said.
    exchange.destroy();
    throw error;
  }
  if (exchange.clientGone)
    throw new PlatformError('client_closed', 'the client closed the connection, or stopped reading');
  return sent;
}

function drained(exchange: HttpExchange): Promise<void> {
  return new Promise((resolve) => {
    exchange.onDrain(resolve);
    exchange.onClientGone(resolve);
  });
}
