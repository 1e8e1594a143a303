/**
 * Transport to engines over undici's `dispatch`, its leanest interface. HTTP/1.1 only, no pipelining, no redirects, no
 * timeouts of undici's own (the planes watch tokens, not sockets), one agent per thread.
 */
import { Agent, type Dispatcher } from 'undici';
import type {
  Transport,
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
} from '../../contract/ports/transport.ts';

type Failure = Parameters<UpstreamHandler['onError']>[0];

/** @param open makes the agent for a connect limit in ms; default: one as described above. */
export function createUndiciTransport(open: (connectTimeoutMs: number) => Agent = openAgent): Transport {
  const agents = new Map<number, Agent>();
  const agentFor = (connectTimeoutMs: number): Agent => {
    let agent = agents.get(connectTimeoutMs);
    if (agent === undefined) {
      agent = open(connectTimeoutMs);
      agents.set(connectTimeoutMs, agent);
    }
    return agent;
  };
  return {
    send: (request, handler) => send(agentFor(request.connectTimeoutMs), request, handler),
    // undici closes idle connections after keepAliveTimeout; a departed origin needs nothing more.
    forget: () => {},
    close: async () => {
      await Promise.all([...agents.values()].map((agent) => agent.destroy()));
    },
  };
}

function openAgent(connectTimeoutMs: number): Agent {
  return new Agent({
    connect: { timeout: connectTimeoutMs },
    connections: null,
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: 4_000,
    allowH2: false,
  });
}

/** One for all: capturing a stack for each request costs more than the rest of this file. */
const ABORTED = new Error('the attempt was ended by the gateway');

function send(agent: Agent, request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
  let controller: Dispatcher.DispatchController | null = null;
  let finished = false;
  let paused = false;
  agent.dispatch(
    {
      origin: request.origin,
      path: request.path,
      method: request.method,
      headers: request.headers,
      body: request.body,
    },
    {
      onRequestStart(started) {
        controller = started;
        if (finished) controller.abort(ABORTED);
        else if (paused) controller.pause();
      },
      onResponseStart(_controller, status, headers) {
        if (!finished) handler.onHead(status, headers as Record<string, string | string[] | undefined>);
      },
      onResponseData(_controller, chunk) {
        if (!finished) handler.onData(chunk as Buffer);
      },
      onResponseEnd() {
        if (finished) return;
        finished = true;
        handler.onEnd();
      },
      onResponseError(_controller, error) {
        if (finished) return;
        finished = true;
        handler.onError(failureOf(error), error);
      },
    },
  );
  return {
    pause: () => {
      paused = true;
      controller?.pause();
    },
    resume: () => {
      paused = false;
      controller?.resume();
    },
    abort: () => {
      if (finished) return;
      finished = true;
      controller?.abort(ABORTED);
    },
  };
}

function failureOf(error: Error): Failure {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ECONNREFUSED' || code === 'ENOTFOUND' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH')
    return 'connect-refused';
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT') return 'connect-timeout';
  return 'connection-lost';
}
