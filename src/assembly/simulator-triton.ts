/**
 * The pretend engine as a Triton: KServe over HTTP on the port of every simulator, and beside it, where options ask for them,
 * gRPC, metrics and the OpenAI front end, all in front of one server with one model.
 */
import type { Clock } from '../base/clock.ts';
import type { EngineCore } from '../contract/ports/engine-core.ts';
import type { HttpExchange } from '../contract/ports/http-exchange.ts';
import { createGrpcServer, type GrpcServer } from '../drivers/grpc/grpc-server.ts';
import { createHttpServer, type HttpServer } from '../drivers/http/server.ts';
import { withAnswer } from '../simulator/front.ts';
import type { SimulatorConfig } from '../simulator/options.ts';
import type { AnswerFaults } from '../simulator/sequence.ts';
import { createTritonFrontEnd } from '../simulator/triton-front-end.ts';
import { GRPCInferenceService } from '../wire/kserve/proto/inference_pb.ts';
import { type AroundCall, tritonGrpcService } from '../wire/triton/grpc-service.ts';
import { createTritonHttpDialect } from '../wire/triton/http-dialect.ts';
import { renderTritonMetrics } from '../wire/triton/metrics-text.ts';
import { TritonServer } from '../wire/triton/triton-server.ts';
import { createVllmDialect } from '../wire/vllm/dialect.ts';

export interface SimulatedTritonParts {
  core: EngineCore;
  config: SimulatorConfig;
  clock: Clock;
  /** Puts the faults of the simulator before a dialect. */
  front(answer: (exchange: HttpExchange) => void): (exchange: HttpExchange) => void;
}

export interface SimulatedTriton {
  handle(exchange: HttpExchange): void;
  /** Listens on the further ports; gives those that it has. */
  listenBeside(): Promise<Record<string, number>>;
  announceClose(): void;
  drain(): Promise<void>;
}

export function createSimulatedTriton(parts: SimulatedTritonParts): SimulatedTriton {
  const { core, config, clock, front } = parts;
  const server = new TritonServer({ core, clock, backend: config.tritonBackend });
  const completions = createVllmDialect({
    core,
    clock,
    release: 'triton',
    ...(config.apiKey !== undefined && { apiKey: config.apiKey }),
  });
  const grpc: GrpcServer = createGrpcServer((router) =>
    router.service(
      GRPCInferenceService,
      tritonGrpcService(
        server,
        faultyAnswers(() => grpc.cutConnections()),
      ),
    ),
  );
  const https: Record<'metrics' | 'openai', HttpServer> = {
    metrics: createHttpServer({ handle: front((exchange) => answerMetrics(exchange, server)) }),
    openai: createHttpServer({
      handle: front((exchange) =>
        exchange.path === '/metrics'
          ? answerMetrics(exchange, server)
          : createTritonFrontEnd(completions, server)(exchange),
      ),
    }),
  };
  const listeners = { grpc, ...https };
  return {
    handle: createTritonHttpDialect(server, clock).handle,
    listenBeside: async () => {
      const ports: Record<string, number> = {};
      for (const name of ['grpc', 'metrics', 'openai'] as const) {
        const wanted = config.tritonPorts[name];
        if (wanted === undefined) continue;
        ports[name] = (await listeners[name].listen({ host: config.host, port: wanted })).port;
      }
      return ports;
    },
    announceClose: () => {
      for (const listener of Object.values(listeners)) listener.announceClose();
    },
    drain: async () => {
      await Promise.all([server.drain(), completions.drain()]);
    },
  };
}

function answerMetrics(exchange: HttpExchange, server: TritonServer): void {
  if (exchange.path !== '/metrics') return exchange.send(404, {}, '');
  exchange.send(200, { 'content-type': 'text/plain; charset=utf-8' }, renderTritonMetrics(server));
}

/** What faults do to the answers of one gRPC call. The protocol has no half answers: a truncated one is a cut connection. */
function faultyAnswers(cutConnections: () => void): AroundCall {
  return (context, answers) => {
    const state = { stalled: false, ended: false };
    const faults: AnswerFaults = {
      stall: () => {
        state.stalled = true;
      },
      truncate: (how) => {
        if (how === 'end') state.ended = true;
        else cutConnections();
      },
    };
    return spoiled(withAnswer(faults, answers), state, context.signal);
  };
}

async function* spoiled<T>(
  answers: AsyncGenerator<T, void>,
  state: Readonly<{ stalled: boolean; ended: boolean }>,
  signal: AbortSignal,
): AsyncGenerator<T, void> {
  for await (const answer of answers) {
    if (state.ended) return;
    if (state.stalled)
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    yield answer;
  }
}
