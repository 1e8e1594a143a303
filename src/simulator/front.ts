/**
 * The HTTP side of the pretend engine: fault routes, faults that answer in place of the dialect, and the dialect itself. It decides
 * only what breaks; what a healthy answer looks like is the dialect's business, so any dialect can stand behind it.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../contract/errors.ts';
import type { HttpExchange } from '../contract/ports/http-exchange.ts';
import { openAiErrorFrom } from '../wire/openai/error-object.ts';
import type { FaultBoard } from './faults/fault-board.ts';
import { FAULTS_PATH, type FaultRoutesOptions, handleFaultRoute } from './faults/fault-routes.ts';
import type { FaultOf } from './faults/fault-script.ts';
import { FaultyExchange } from './faults/faulty-exchange.ts';
import type { AnswerFaults } from './sequence.ts';

const BODY_BYTES_MAX = 64 * 1024 * 1024;
const METRICS_PATH = '/metrics';
/** Paths that a starved frontend answers late, in any dialect. */
const PROBED_PATHS: ReadonlySet<string> = new Set([
  ...['/health', '/health_generate', '/ready', '/ping', '/v1/health', '/api/version'],
  ...['/health/ready', '/v2/health/live', '/v2/health/ready'],
  ...['/v1/models', '/models', '/api/tags'],
]);
/** End points of the engines' own that generate, beside those under /v1/. */
const NATIVE_GENERATION_PATHS: ReadonlySet<string> = new Set([
  ...['/generate', '/generate_stream', '/completion', '/completions', '/chat/completions'],
  ...['/api/generate', '/api/chat'],
]);
const KSERVE_GENERATION_PATH = /^\/v2\/models\/[^/]+\/(infer|generate|generate_stream)$/;

/** Carries the exchange from the HTTP side to the engine, so that a fault of a request can reach its answer. */
const currentExchange = new AsyncLocalStorage<AnswerFaults>();

export function currentAnswer(): AnswerFaults | undefined {
  return currentExchange.getStore();
}

/** For answers that are no exchange: each step of the generator belongs to `faults`. */
export async function* withAnswer<T>(
  faults: AnswerFaults,
  answers: AsyncGenerator<T, void>,
): AsyncGenerator<T, void> {
  try {
    for (;;) {
      const step = await currentExchange.run(faults, () => answers.next());
      if (step.done === true) return;
      yield step.value;
    }
  } finally {
    await answers.return();
  }
}

export interface SimulatorFrontOptions extends FaultRoutesOptions {
  board: FaultBoard;
  clock: Clock;
  /** The dialect. */
  answer(exchange: HttpExchange): void;
  /** Lines added to /metrics. */
  extraMetrics(): string;
}

/** Handles each exchange of the server. */
export function createSimulatorFront(options: SimulatorFrontOptions): (exchange: HttpExchange) => void {
  const front = new SimulatorFront(options);
  return (exchange) => {
    front.handle(exchange).catch((thrown: unknown) => refuse(exchange, PlatformError.from(thrown)));
  };
}

function refuse(exchange: HttpExchange, error: PlatformError): void {
  if (exchange.clientGone) return;
  if (exchange.headSent) exchange.destroy();
  else
    exchange.send(
      error.spec.status,
      { 'content-type': 'application/json' },
      JSON.stringify(openAiErrorFrom(error)),
    );
}

class SimulatorFront {
  readonly #options: SimulatorFrontOptions;
  #generationRequests = 0;

  constructor(options: SimulatorFrontOptions) {
    this.#options = options;
  }

  async handle(exchange: HttpExchange): Promise<void> {
    const { board, answer } = this.#options;
    if (exchange.path === FAULTS_PATH || exchange.path.startsWith(`${FAULTS_PATH}/`)) {
      return handleFaultRoute(exchange, this.#options);
    }
    if (exchange.path === METRICS_PATH) return this.#metrics(exchange);
    if (PROBED_PATHS.has(exchange.path)) await this.#starve();
    const generates = exchange.method === 'POST' && isGenerationPath(exchange.path);
    if (generates) this.#generationRequests++;
    const ordinal = this.#generationRequests;
    let body: Buffer | undefined;
    if (board.hasHttpFaults) {
      if (generates) body = await exchange.readBody(BODY_BYTES_MAX);
      const fault = board.takeHttpFault(exchange.path, { ordinal, body: body?.toString('utf8') });
      if (fault !== undefined) return answerFault(exchange, fault);
    }
    if (!generates) return answer(exchange);
    const faulty = new FaultyExchange(exchange, body);
    currentExchange.run(faulty, () => answer(faulty));
  }

  async #starve(): Promise<void> {
    const starved = this.#options.board.active('starve-frontend');
    if (starved !== undefined) await this.#options.clock.sleep(starved.delayMs);
  }

  async #metrics(exchange: HttpExchange): Promise<void> {
    const { board, answer, extraMetrics } = this.#options;
    if (board.active('starve-frontend')?.metricsToo) await this.#starve();
    const dead = board.active('metrics-dead');
    if (dead?.how === 'hang') return;
    if (dead?.how === 'reset') return exchange.destroy();
    if (dead?.how === 'error') throw new PlatformError('internal', 'metrics are dead by a fault');
    const renamed = board.active('rename-metric');
    answer(
      new RewrittenExchange(exchange, (text) => {
        const whole = text + extraMetrics();
        return renamed === undefined ? whole : whole.replaceAll(renamed.from, renamed.to);
      }),
    );
  }
}

function isGenerationPath(path: string): boolean {
  return path.startsWith('/v1/') || NATIVE_GENERATION_PATHS.has(path) || KSERVE_GENERATION_PATH.test(path);
}

function answerFault(exchange: HttpExchange, fault: FaultOf<'http-error' | 'empty-answer'>): void {
  if (fault.action === 'empty-answer') {
    exchange.send(200, { 'content-type': 'application/json' }, '');
    return;
  }
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (fault.retryAfterS !== undefined) headers['retry-after'] = String(fault.retryAfterS);
  const message = `status ${fault.status} by a fault of the simulator`;
  const error = exchange.path.startsWith('/v2/')
    ? message
    : { message, type: 'server_error', param: null, code: null };
  exchange.send(fault.status, headers, JSON.stringify({ error }));
}

/** Changes the text of a whole answer. */
class RewrittenExchange extends FaultyExchange {
  readonly #rewrite: (text: string) => string;

  constructor(inner: HttpExchange, rewrite: (text: string) => string) {
    super(inner, undefined);
    this.#rewrite = rewrite;
  }

  override send(status: number, headers: Record<string, string>, body: Uint8Array | string): void {
    const text = typeof body === 'string' ? body : Buffer.from(body).toString('utf8');
    super.send(status, headers, status === 200 ? this.#rewrite(text) : text);
  }
}
