/**
 * Triton's OpenAI front end as the pretend engine has it: the answers of the vLLM dialect, without what the front end does not
 * know, with its health path, its metrics and errors in the shape of FastAPI.
 */
import type { HttpExchange } from '../contract/ports/http-exchange.ts';
import { isRecord } from '../wire/json/parse-object.ts';
import { TritonError } from '../wire/triton/triton-error.ts';
import type { TritonServer } from '../wire/triton/triton-server.ts';
import type { VllmDialect } from '../wire/vllm/dialect.ts';
import { FaultyExchange } from './faults/faulty-exchange.ts';

/** It renders every chat with a new turn at the end. */
const UNKNOWN_FIELDS = ['continue_final_message', 'add_generation_prompt', 'return_token_ids'];
const PATHS = ['/v1/models', '/v1/chat/completions', '/v1/completions', '/v1/embeddings'];
const MANAGEMENT = /^\/v1\/models\/([^/]+)\/(load|unload)$/;
const JSON_TYPE = { 'content-type': 'application/json' };

export function createTritonFrontEnd(
  dialect: VllmDialect,
  server: TritonServer,
): (exchange: HttpExchange) => void {
  return (exchange) => {
    const { path } = exchange;
    if (path === '/health/ready') {
      const body = server.ready ? '' : JSON.stringify({ detail: 'Attached inference engine is not ready.' });
      return exchange.send(server.ready ? 200 : 400, { ...JSON_TYPE }, body);
    }
    const management = MANAGEMENT.exec(path);
    if (management !== null && exchange.method === 'POST') return manage(exchange, server, management);
    if (!PATHS.includes(path) && !path.startsWith('/v1/models/'))
      return exchange.send(404, { ...JSON_TYPE }, JSON.stringify({ detail: 'Not Found' }));
    dialect.handle(new FrontEndExchange(exchange));
  };
}

function manage(exchange: HttpExchange, server: TritonServer, [, name = '', action]: RegExpExecArray): void {
  try {
    server.setLoaded(decodeURIComponent(name), action === 'load');
    exchange.send(200, { ...JSON_TYPE }, JSON.stringify({ status: 'success', model: name }));
  } catch (thrown) {
    const error = TritonError.from(thrown);
    exchange.send(error.httpStatus, { ...JSON_TYPE }, JSON.stringify({ detail: error.message }));
  }
}

class FrontEndExchange extends FaultyExchange {
  readonly #given: HttpExchange;

  constructor(given: HttpExchange) {
    super(given, undefined);
    this.#given = given;
  }

  override async readBody(bytesMax: number): Promise<Buffer> {
    const body = await this.#given.readBody(bytesMax);
    try {
      const fields: unknown = JSON.parse(body.toString('utf8'));
      if (!isRecord(fields)) return body;
      for (const field of UNKNOWN_FIELDS) delete fields[field];
      return Buffer.from(JSON.stringify(fields));
    } catch {
      return body;
    }
  }

  override send(status: number, headers: Record<string, string>, body: Uint8Array | string): void {
    super.send(status, headers, status < 400 ? body : JSON.stringify({ detail: messageIn(String(body)) }));
  }
}

function messageIn(body: string): string {
  try {
    const value: unknown = JSON.parse(body);
    const error = isRecord(value) ? value.error : undefined;
    return isRecord(error) && typeof error.message === 'string' ? error.message : body;
  } catch {
    return body;
  }
}
