/**
 * Goal: whatever a KServe server does, the request loop sees what an OpenAI engine would have sent, or how the attempt failed;
 * and a client that leaves is known to the engine at once. Method: the transport against servers of the test's making, over
 * sockets; for the way through the gateway, its process in front of a pretend Triton in this one.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ServiceImpl } from '@connectrpc/connect';
import { ConnectError } from '@connectrpc/connect';
import { afterEach, describe, expect, it } from 'vitest';
import { openEngineTransport } from '../../src/assembly/engine-transport.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { GeneratedToken } from '../../src/contract/ports/engine-core.ts';
import type { KServeTarget, Transport, UpstreamCall } from '../../src/contract/ports/transport.ts';
import { createGrpcServer } from '../../src/drivers/grpc/grpc-server.ts';
import { createHttpServer } from '../../src/drivers/http/server.ts';
import { BUILT_IN_TEMPLATES } from '../../src/wire/kserve/chat-templates.ts';
import { GRPCInferenceService } from '../../src/wire/kserve/proto/inference_pb.ts';
import { tritonGrpcService } from '../../src/wire/triton/grpc-service.ts';
import { createTritonHttpDialect } from '../../src/wire/triton/http-dialect.ts';
import { configJson, metadataJson } from '../../src/wire/triton/http-json.ts';
import { DECLARATIONS } from '../../src/wire/triton/model-declaration.ts';
import { TritonServer } from '../../src/wire/triton/triton-server.ts';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { ScriptedCore } from '../support/scripted-core.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

type Protocol = KServeTarget['protocol'];
const PROTOCOLS: Protocol[] = ['kserve-http', 'kserve-grpc'];

interface Seen {
  status: number;
  type: string;
  text: string;
  end: 'ended' | string;
}

/** Sends a request and waits for its end. */
function exchange(
  transport: Transport,
  origin: string,
  protocol: Protocol,
  body: object,
  path = '/v1/completions',
  onData: (call: UpstreamCall) => void = () => {},
): Promise<Seen> {
  return new Promise((resolve) => {
    const seen: Seen = { status: 0, type: '', text: '', end: '' };
    const call = transport.send(
      {
        origin,
        method: 'POST',
        path,
        headers: { 'x-request-id': 'r1' },
        body: Buffer.from(JSON.stringify({ model: 'm', prompt: 'Once', ...body })),
        connectTimeoutMs: 2_000,
        kserve: { protocol, model: 'm' },
      },
      {
        onHead: (status, headers) => Object.assign(seen, { status, type: headers['content-type'] }),
        onData: (chunk) => {
          seen.text += chunk.toString('utf8');
          onData(call);
        },
        onEnd: () => resolve({ ...seen, end: 'ended' }),
        onError: (failure) => resolve({ ...seen, end: failure }),
      },
    );
  });
}

function transportUnderTest(): Transport {
  const transport = openEngineTransport();
  cleanups.push(() => transport.close());
  return transport;
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const json =
  (value: unknown, status = 200): Answer =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(typeof value === 'string' ? value : JSON.stringify(value));
  };
const events =
  (frames: string[], end: 'end' | 'cut' = 'end', status = 200): Answer =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'text/event-stream; charset=utf-8' });
    response.write(frames.map((frame) => `data: ${frame}\n\n`).join(''));
    if (end === 'end') response.end();
    else setImmediate(() => response.destroy());
  };

/** An HTTP server with a model of the vLLM backend, and answers of the test's making. */
async function httpServer(answers: Record<string, Answer>): Promise<{ origin: string; asked: string[] }> {
  const asked: string[] = [];
  const all: Record<string, Answer> = {
    '/v2/models/m': json(metadataJson('m', DECLARATIONS.vllm)),
    '/v2/models/m/config': json(configJson('m', DECLARATIONS.vllm)),
    ...answers,
  };
  const server: Server = createServer((request, response) => {
    asked.push(request.url ?? '');
    request.resume();
    (all[request.url ?? ''] ?? json({ error: 'Not Found' }, 404))(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

async function grpcServer(more: Partial<ServiceImpl<typeof GRPCInferenceService>>): Promise<string> {
  const { server } = tritonWith(new ScriptedCore({ answer: 'abc' }));
  const grpc = createGrpcServer((router) =>
    router.service(GRPCInferenceService, { ...tritonGrpcService(server), ...more }),
  );
  const { port } = await grpc.listen({ host: '127.0.0.1', port: 0 });
  cleanups.push(() => {
    grpc.announceClose();
    grpc.cutConnections();
  });
  return `http://127.0.0.1:${port}`;
}

function tritonWith(core: ScriptedCore): { server: TritonServer; core: ScriptedCore } {
  core.info.model = 'm';
  return { server: new TritonServer({ core, clock: systemClock, backend: 'vllm' }), core };
}

const errorIn = (text: string) => (JSON.parse(text) as { error: { code: string; message: string } }).error;

describe('over HTTP', () => {
  const piece = (text: string, finish: string) =>
    JSON.stringify({ text_output: text, finish_reason: finish });

  it('asks the model once what it is, and then only for answers', async () => {
    const { origin, asked } = await httpServer({ '/v2/models/m/generate': json(piece('x', 'stop')) });
    const transport = transportUnderTest();
    for (let turn = 0; turn < 3; turn++)
      expect(await exchange(transport, origin, 'kserve-http', {})).toMatchObject({
        status: 200,
        end: 'ended',
      });
    expect(asked).toEqual(['/v2/models/m', '/v2/models/m/config', ...Array(3).fill('/v2/models/m/generate')]);
    transport.forget(origin);
    await exchange(transport, origin, 'kserve-http', {});
    expect(asked.slice(5)).toContain('/v2/models/m');
  });

  it.each([
    ['metadata that is no JSON', { '/v2/models/m': json('<html>') }, 502, 'engine_failed'],
    ['metadata without inputs', { '/v2/models/m': json({}) }, 502, 'engine_failed'],
    [
      'a model that is not there',
      { '/v2/models/m': json({ error: "unknown model: 'm'" }, 404) },
      502,
      'engine_failed',
    ],
    ['an answer that is no JSON', { '/v2/models/m/generate': json('what') }, 502, 'engine_failed'],
    ['an answer without text', { '/v2/models/m/generate': json({ a: 1 }) }, 502, 'engine_failed'],
    ['an empty answer', { '/v2/models/m/generate': json('') }, 502, 'engine_failed'],
    ['an error with status 200', { '/v2/models/m/generate': json({ error: 'broke' }) }, 502, 'engine_failed'],
    ['a refusal', { '/v2/models/m/generate': json({ error: 'no' }, 400) }, 400, 'invalid_request'],
    ['a full queue', { '/v2/models/m/generate': json({ error: 'busy' }, 503) }, 503, 'engine_full'],
    [
      'a proxy in between',
      { '/v2/models/m/generate': json('<h1>Bad Gateway</h1>', 502) },
      502,
      'engine_failed',
    ],
  ])('answers %s with a typed error', async (_what, answers, status, code) => {
    const { origin } = await httpServer(answers);
    const seen = await exchange(transportUnderTest(), origin, 'kserve-http', {});
    expect(seen).toMatchObject({ status, type: 'application/json', end: 'ended' });
    expect(errorIn(seen.text)).toMatchObject({ code, type: expect.any(String), param: null });
  });

  it.each([
    ['ends before its end', events([piece('a', 'None')]), 'connection-lost', 200],
    ['is cut', events([piece('a', 'None')], 'cut'), 'connection-lost', 200],
    ['is cut before its first answer', (_q, response) => response.destroy(), 'connection-lost', 0],
  ] satisfies [
    string,
    Answer,
    string,
    number,
  ][])('tells of a stream that %s', async (_what, answer, end, status) => {
    const { origin } = await httpServer({ '/v2/models/m/generate_stream': answer });
    const seen = await exchange(transportUnderTest(), origin, 'kserve-http', { stream: true });
    expect(seen).toMatchObject({ status, end });
    expect(seen.text).not.toContain('[DONE]');
  });

  it('gives an error before the first answer its status, and one in the middle an event', async () => {
    const before = await httpServer({
      '/v2/models/m/generate_stream': events([JSON.stringify({ error: 'busy' })], 'end', 503),
    });
    const transport = transportUnderTest();
    const first = await exchange(transport, before.origin, 'kserve-http', { stream: true });
    expect(first).toMatchObject({ status: 503, type: 'application/json', end: 'ended' });
    const during = await httpServer({
      '/v2/models/m/generate_stream': events([piece('a', 'None'), JSON.stringify({ error: 'broke' })]),
    });
    const second = await exchange(transport, during.origin, 'kserve-http', { stream: true });
    expect(second).toMatchObject({ status: 200, end: 'ended' });
    expect(second.text).toMatch(/data: \{"error":\{"message":"the engine says: broke".*"engine_failed"/);
    expect(second.text).not.toContain('[DONE]');
    const garbage = await httpServer({ '/v2/models/m/generate_stream': events([piece('a', 'None'), '{]']) });
    const third = await exchange(transport, garbage.origin, 'kserve-http', { stream: true });
    expect(third.text).toMatch(/"engine_failed"/);
  });
});

describe('over gRPC', () => {
  it.each([
    ['a refusal', { modelMetadata: fails(3) }, 400, 'invalid_request'],
    ['a model that is not there', { modelMetadata: fails(5) }, 502, 'engine_failed'],
    ['a call that nobody implements', { modelStreamInfer: failsStream(12) }, 501, 'not_supported'],
    ['a full queue', { modelStreamInfer: failsStream(14) }, 503, 'engine_full'],
    ['an exhausted quota', { modelStreamInfer: failsStream(8) }, 429, 'saturated'],
    ['a failure', { modelStreamInfer: failsStream(13) }, 502, 'engine_failed'],
    [
      'an error as text',
      { modelStreamInfer: () => answers([{ errorMessage: 'broke' }]) },
      502,
      'engine_failed',
    ],
    ['no answer at all', { modelStreamInfer: () => answers([]) }, 502, 'engine_failed'],
    [
      'outputs without contents',
      {
        modelStreamInfer: () =>
          answers([
            {
              inferResponse: {
                outputs: [
                  { name: 'text_output', datatype: 'BYTES' },
                  { name: 'x', datatype: 'BYTES' },
                ],
                rawOutputContents: [new Uint8Array()],
              },
            },
          ]),
      },
      502,
      'engine_failed',
    ],
    [
      'a text that ends too early',
      {
        modelStreamInfer: () =>
          answers([
            {
              inferResponse: {
                outputs: [{ name: 'text_output', datatype: 'BYTES' }],
                rawOutputContents: [Uint8Array.of(9, 0, 0, 0, 1)],
              },
            },
          ]),
      },
      502,
      'engine_failed',
    ],
  ] satisfies [
    string,
    Partial<ServiceImpl<typeof GRPCInferenceService>>,
    number,
    string,
  ][])('answers %s with a typed error', async (_what, service, status, code) => {
    const origin = await grpcServer(service);
    const seen = await exchange(transportUnderTest(), origin, 'kserve-grpc', {});
    expect(seen).toMatchObject({ status, end: 'ended' });
    expect(errorIn(seen.text)).toMatchObject({ code });
  });

  it('tells of a server that speaks no HTTP/2', async () => {
    const { origin } = await httpServer({});
    expect(await exchange(transportUnderTest(), origin, 'kserve-grpc', {})).toMatchObject({
      end: 'connection-lost',
    });
  });

  it('asks models without a transaction policy by ModelInfer', async () => {
    const origin = await grpcServer({
      modelConfig: fails(12),
      modelInfer: () => ({
        outputs: [
          {
            name: 'text_output',
            datatype: 'BYTES',
            shape: [1n],
            contents: { bytesContents: [Buffer.from('hi')] },
          },
          {
            name: 'finish_reason',
            datatype: 'BYTES',
            shape: [1n],
            contents: { bytesContents: [Buffer.from('stop')] },
          },
        ],
      }),
    });
    const seen = await exchange(transportUnderTest(), origin, 'kserve-grpc', {});
    expect(JSON.parse(seen.text)).toMatchObject({ choices: [{ text: 'hi', finish_reason: 'stop' }] });
  });
});

function fails(code: number) {
  return () => {
    throw new ConnectError('said so', code);
  };
}

function failsStream(code: number) {
  // biome-ignore lint/correctness/useYield: it fails before it says anything
  return async function* (): AsyncGenerator<never> {
    throw new ConnectError('said so', code);
  };
}

async function* answers<T>(values: T[]): AsyncGenerator<T> {
  yield* values;
}

/** Gives a token every 2 ms for ever, and notes when it was ended. */
class EndlessCore extends ScriptedCore {
  given = 0;
  endedAtMs = 0;

  constructor() {
    super({ answer: '' });
  }

  override async *generate(
    _request: never,
    signal: AbortSignal,
  ): AsyncGenerator<GeneratedToken[], never, void> {
    const onAbort = () => {
      this.endedAtMs = performance.now();
    };
    signal.addEventListener('abort', onAbort);
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      signal.throwIfAborted();
      this.given++;
      yield [{ id: 97, bytes: Uint8Array.of(97) }];
    }
  }
}

async function endlessTriton(protocol: Protocol): Promise<{ origin: string; core: EndlessCore }> {
  const core = new EndlessCore();
  const { server } = tritonWith(core);
  if (protocol === 'kserve-grpc') {
    const grpc = createGrpcServer((router) =>
      router.service(GRPCInferenceService, tritonGrpcService(server)),
    );
    const { port } = await grpc.listen({ host: '127.0.0.1', port: 0 });
    cleanups.push(() => {
      grpc.announceClose();
      grpc.cutConnections();
    });
    return { origin: `http://127.0.0.1:${port}`, core };
  }
  const http = createHttpServer({ handle: createTritonHttpDialect(server, systemClock).handle });
  const { port } = await http.listen({ host: '127.0.0.1', port: 0 });
  cleanups.push(() => http.destroy());
  return { origin: `http://127.0.0.1:${port}`, core };
}

describe.each(PROTOCOLS)('a client of %s', (protocol) => {
  it('that leaves is known to the engine within 10 ms (median of 20), in the body and before it', async () => {
    const { origin, core } = await endlessTriton(protocol);
    const gateway: RunningGateway = await startGateway([
      poolOf('m', [{ url: origin, protocol, chatTemplate: BUILT_IN_TEMPLATES.chatml }]),
    ]);
    cleanups.push(() => gateway.stop());
    for (const stream of [true, false]) {
      const tookMs: number[] = [];
      for (let turn = 0; turn < 20; turn++) {
        const controller = new AbortController();
        core.given = 0;
        core.endedAtMs = 0;
        const request = fetch(`${gateway.v1}/chat/completions`, {
          method: 'POST',
          body: JSON.stringify({
            model: 'm',
            messages: [{ role: 'user', content: 'a' }],
            max_tokens: 200,
            stream,
          }),
          signal: controller.signal,
        });
        request.then((response) => response.text()).catch(() => {});
        await eventually(() => core.given > 2);
        const leftAtMs = performance.now();
        controller.abort();
        await eventually(() => core.endedAtMs > 0);
        tookMs.push(core.endedAtMs - leftAtMs);
      }
      tookMs.sort((a, b) => a - b);
      console.log(
        `${protocol}, stream ${stream}: abort reached the engine after ${tookMs[10]?.toFixed(1)} ms (median), ${tookMs[19]?.toFixed(1)} ms (most)`,
      );
      expect(tookMs[10]).toBeLessThan(10);
    }
  });

  it('that pauses gets nothing until it resumes', async () => {
    const { origin, core } = await endlessTriton(protocol);
    const transport = transportUnderTest();
    let reads = 0;
    let call: UpstreamCall | undefined;
    void exchange(
      transport,
      origin,
      protocol,
      { stream: true, max_tokens: 200 },
      '/v1/completions',
      (found) => {
        call = found;
        if (++reads === 3) found.pause();
      },
    );
    await eventually(() => core.given > 20);
    // What had been read before may still arrive; then there is silence.
    const atRest = reads;
    await eventually(() => core.given > 60);
    expect(reads).toBeLessThanOrEqual(atRest + 1);
    call?.resume();
    await eventually(() => reads > atRest + 20);
    call?.abort();
    await eventually(() => core.endedAtMs > 0);
  });

  it('is told when nobody listens', async () => {
    const { origin } = await httpServer({});
    for (const cleanup of cleanups.splice(0)) await cleanup();
    expect(await exchange(transportUnderTest(), origin, protocol, {})).toMatchObject({
      end: 'connect-refused',
    });
  });

  it('gets 404 for what the protocol has no words for', async () => {
    const { origin } = await endlessTriton(protocol);
    const seen = await exchange(transportUnderTest(), origin, protocol, {}, '/v1/rerank');
    expect(seen).toMatchObject({ status: 404, end: 'ended' });
  });
});
