/** A whole JSON answer. */
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';

export function sendJson(exchange: HttpExchange, body: unknown, status = 200): void {
  exchange.send(status, { 'content-type': 'application/json' }, JSON.stringify(body));
}
