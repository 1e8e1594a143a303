/** What an engine process answers while its model is still loading: it listens, but is neither healthy nor has a model. */
import { PlatformError } from '../../contract/errors.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { sendError } from './dialect.ts';

export function answerWhileLoading(exchange: HttpExchange): void {
  if (exchange.path === '/v1/models' && exchange.method === 'GET') {
    exchange.send(200, { 'content-type': 'application/json' }, '{"object":"list","data":[]}');
    return;
  }
  sendError(exchange, new PlatformError('no_replica', 'loading model', { retryAfterS: 1 }));
}
