/**
 * Triton's HTTP side: `/v2/*` of KServe and the extensions for generation, configuration and the model repository. Every exchange
 * is answered or destroyed exactly once, and nothing that a client sends ends the process.
 */
import type { Clock } from '../../base/clock.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { sseData } from '../sse/parse-event.ts';
import { EventWriter } from '../vllm/event-writer.ts';
import type { Outputs } from './generate.ts';
import {
  configJson,
  generateResponse,
  type HttpRequest,
  inferResponse,
  metadataJson,
  readGenerateRequest,
  readInferRequest,
} from './http-json.ts';
import { TritonError } from './triton-error.ts';
import type { TritonServer } from './triton-server.ts';

const BODY_BYTES_MAX = 64 * 1024 * 1024;
/** How long a client of a stream may read nothing. */
const STALL_MS = 60_000;
export const TRITON_RELEASE = '2.73.0+simulated';
export const TRITON_EXTENSIONS = [
  'model_repository',
  'model_repository(unload_dependents)',
  'model_configuration',
  'parameters',
];

export interface TritonHttpDialect {
  handle(exchange: HttpExchange): void;
}

interface Work {
  exchange: HttpExchange;
  body: Buffer;
  signal: AbortSignal;
}

export function createTritonHttpDialect(server: TritonServer, clock: Clock): TritonHttpDialect {
  const dialect = new Dialect(server, clock);
  return {
    handle: (exchange) => {
      dialect.route(exchange).catch((thrown: unknown) => refuse(exchange, TritonError.from(thrown)));
    },
  };
}

class Dialect {
  readonly #server: TritonServer;
  readonly #clock: Clock;

  constructor(server: TritonServer, clock: Clock) {
    this.#server = server;
    this.#clock = clock;
  }

  async route(exchange: HttpExchange): Promise<void> {
    const path = exchange.path.split('/').slice(1).map(decodeURIComponent);
    if (path[0] !== 'v2') return notFound(exchange);
    if (path[1] === undefined || path[1] === '') return this.#read(exchange, () => this.#metadata(exchange));
    if (path[1] === 'health') return this.#health(exchange, path[2]);
    if (path[1] === 'models') return this.#model(exchange, path[2] ?? '', withoutVersion(path.slice(3)));
    if (path[1] === 'repository') return this.#repository(exchange, path.slice(2));
    notFound(exchange);
  }

  #read(exchange: HttpExchange, answer: () => void): void {
    if (exchange.method === 'GET') answer();
    else send(exchange, 405, { error: 'Method Not Allowed' });
  }

  #metadata(exchange: HttpExchange): void {
    send(exchange, 200, { name: 'triton', version: TRITON_RELEASE, extensions: TRITON_EXTENSIONS });
  }

  #health(exchange: HttpExchange, what: string | undefined): void {
    if (what !== 'live' && what !== 'ready') return notFound(exchange);
    this.#read(exchange, () => {
      const well = what === 'live' || this.#server.ready;
      exchange.send(well ? 200 : 400, { 'content-type': 'text/plain' }, '');
    });
  }

  async #model(exchange: HttpExchange, model: string, action: string | undefined): Promise<void> {
    const { declaration } = this.#server;
    switch (action) {
      case undefined:
      case '':
      case 'config':
      case 'ready':
        return this.#read(exchange, () => {
          if (action === 'ready') {
            if (!this.#server.isReady(model)) throw new TritonError('INVALID_ARG', 'Model version not ready');
            return exchange.send(200, { 'content-type': 'text/plain' }, '');
          }
          this.#server.requireModel(model);
          send(
            exchange,
            200,
            action === 'config' ? configJson(model, declaration) : metadataJson(model, declaration),
          );
        });
      case 'infer':
      case 'generate':
      case 'generate_stream': {
        if (exchange.method !== 'POST') return send(exchange, 405, { error: 'Method Not Allowed' });
        const work = await this.#work(exchange);
        if (work !== null) await this.#infer(work, model, action);
        return;
      }
      default:
        notFound(exchange);
    }
  }

  async #work(exchange: HttpExchange): Promise<Work | null> {
    const gone = new AbortController();
    exchange.onClientGone(() => gone.abort(new Error('the client closed the connection')));
    if (exchange.clientGone) return null;
    return { exchange, body: await exchange.readBody(BODY_BYTES_MAX), signal: gone.signal };
  }

  async #infer(work: Work, model: string, action: 'infer' | 'generate' | 'generate_stream'): Promise<void> {
    this.#server.requireModel(model);
    const request =
      action === 'infer'
        ? readInferRequest(work.body)
        : readGenerateRequest(work.body, this.#server.declaration);
    const answers = this.#server.infer({
      model,
      requestId: request.id === '' ? 'request' : request.id,
      tensors: request.tensors,
      parameters: request.parameters,
      decoupledAllowed: action !== 'infer',
      signal: work.signal,
    });
    if (action === 'generate_stream') await this.#stream(work, model, request, answers);
    else await this.#whole(work, model, request, answers, action === 'infer');
  }

  async #whole(
    { exchange }: Work,
    model: string,
    { id, wanted }: HttpRequest,
    answers: AsyncGenerator<Outputs>,
    long: boolean,
  ): Promise<void> {
    const all: Outputs[] = [];
    for await (const outputs of answers) all.push(outputs);
    const [only] = all;
    if (only === undefined || all.length !== 1) {
      throw new TritonError(
        'INTERNAL',
        'generate expects model to produce exactly 1 response, use generate stream for model that generates various number of responses',
      );
    }
    send(exchange, 200, long ? inferResponse(model, id, only, wanted) : generateResponse(model, id, only));
  }

  async #stream(
    { exchange, signal }: Work,
    model: string,
    { id }: HttpRequest,
    answers: AsyncGenerator<Outputs>,
  ): Promise<void> {
    const writer = new EventWriter({ exchange, clock: this.#clock, stallMs: STALL_MS, signal });
    try {
      for await (const outputs of answers) await writer.write([generateResponse(model, id, outputs)]);
      exchange.end();
    } catch (thrown) {
      if (signal.aborted) return;
      const error = TritonError.from(thrown);
      // The first answer decides the status, and an error in its place has the type of the stream all the same.
      if (!exchange.headSent)
        exchange.sendHead(error.httpStatus, { 'content-type': 'text/event-stream; charset=utf-8' });
      exchange.end(sseData({ error: error.message }));
    }
  }

  async #repository(exchange: HttpExchange, path: readonly string[]): Promise<void> {
    if (exchange.method !== 'POST') return send(exchange, 405, { error: 'Method Not Allowed' });
    const work = await this.#work(exchange);
    if (work === null) return;
    const [what, model = '', action] = path;
    if (what === 'index') return send(exchange, 200, repositoryIndex(this.#server, work.body));
    if (what !== 'models' || (action !== 'load' && action !== 'unload')) return notFound(exchange);
    this.#server.setLoaded(model, action === 'load');
    exchange.send(200, { 'content-type': 'application/json' }, '');
  }
}

function repositoryIndex(server: TritonServer, body: Buffer): object {
  const readyOnly =
    body.length > 0 && (JSON.parse(body.toString('utf8')) as { ready?: unknown }).ready === true;
  const entry = modelIndex(server);
  return readyOnly && entry.state !== 'READY' ? [] : [entry];
}

export function modelIndex({ core, loaded }: TritonServer) {
  return {
    name: core.info.model,
    version: '1',
    ...(loaded ? { state: 'READY', reason: '' } : { state: 'UNAVAILABLE', reason: 'unloaded' }),
  };
}

/** `versions/N` before the action; the one version is what is served. */
function withoutVersion(path: readonly string[]): string | undefined {
  return path[0] === 'versions' ? path[2] : path[0];
}

function notFound(exchange: HttpExchange): void {
  send(exchange, 404, { error: 'Not Found' });
}

function refuse(exchange: HttpExchange, error: TritonError): void {
  if (exchange.clientGone) return;
  if (exchange.headSent) exchange.destroy();
  else send(exchange, error.httpStatus, { error: error.message });
}

function send(exchange: HttpExchange, status: number, body: object): void {
  exchange.send(status, { 'content-type': 'application/json' }, JSON.stringify(body));
}
