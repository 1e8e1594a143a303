/**
 * A small engine inside the test process for requests that are answered input by input: embeddings, classification, rerank and score in
 * vLLM's shape. What it answers follows from each text alone, so an answer tells whose it is. Calls can be held back, and texts say what
 * goes wrong: one that holds `bad` is refused (400), `poison` breaks the engine (500), `odd` is left out of the answer.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface SeenCall {
  path: string;
  requestId: string;
  body: Record<string, unknown>;
  /** Its inputs, as texts. */
  inputs: string[];
  /** The gateway cut it. */
  aborted: boolean;
}

export interface ListEngine {
  url: string;
  calls: SeenCall[];
  /** Calls are answered only from `release` on, or after `release(count)` one by one. */
  hold(): void;
  release(): void;
  /** Refuses larger lists with 413, as TGI's --max-client-batch-size does. */
  inputsMax: number;
  close(): Promise<void>;
}

const DIMENSIONS = 3;

/** As 32-bit floats, so that both encodings say the same. */
export function vectorOf(text: string): number[] {
  return Array.from({ length: DIMENSIONS }, (_, place) =>
    [...text].reduce((sum, char, at) => sum + char.charCodeAt(0) * ((at + place) % 7), place),
  );
}

export function base64Of(text: string): string {
  const bytes = Buffer.alloc(DIMENSIONS * 4);
  for (const [place, value] of vectorOf(text).entries()) bytes.writeFloatLE(value, place * 4);
  return bytes.toString('base64');
}

export async function startListEngine(): Promise<ListEngine> {
  let held: (() => void)[] | null = null;
  const server = createServer((request, response) => void serve(request, response));
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const path = request.url ?? '';
    const requestId = String(request.headers['x-request-id']);
    const body = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
    const call: SeenCall = { path, requestId, body, inputs: inputsOf(body), aborted: false };
    engine.calls.push(call);
    response.on('close', () => {
      call.aborted = !response.writableFinished;
    });
    if (held !== null) await new Promise<void>((resolve) => held?.push(resolve));
    const { status, answer } = answerTo(call, engine.inputsMax);
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const engine: ListEngine = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls: [],
    hold: () => {
      held ??= [];
    },
    release: () => {
      const waiting = held ?? [];
      held = null;
      for (const resolve of waiting) resolve();
    },
    inputsMax: Number.POSITIVE_INFINITY,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return engine;
}

function inputsOf({ input, documents, text_2: pairs }: Record<string, unknown>): string[] {
  const value = input ?? documents ?? pairs;
  const isOne = !Array.isArray(value) || typeof value[0] === 'number';
  const list = isOne ? [value] : (value as unknown[]);
  return list.map((one) => (Array.isArray(one) ? `ids ${one.join(' ')}` : String(one)));
}

function answerTo({ path, body, inputs, requestId }: SeenCall, inputsMax: number) {
  const refusal = (status: number, message: string) => ({
    status,
    answer: { error: { message, type: 'invalid_request_error', param: null, code: status } },
  });
  if (inputs.length > inputsMax) return refusal(413, `${inputs.length} inputs; at most ${inputsMax}`);
  const bad = inputs.findIndex((text) => text.includes('bad'));
  if (bad >= 0) return refusal(400, `input ${bad} is bad: ${inputs[bad]}`);
  if (inputs.some((text) => text.includes('poison'))) return refusal(500, 'input is too large to process');
  const known = inputs.filter((text) => !text.includes('odd'));
  const tokens = inputs.reduce((sum, text) => sum + text.split(' ').length, 0);
  const kind = path.replace(/^\/(v1\/)?/, '');
  const common = { model: body.model, usage: { prompt_tokens: tokens, total_tokens: tokens } };
  if (kind === 'rerank') {
    const results = known
      .map((text, index) => ({ index, document: { text }, relevance_score: vectorOf(text)[0] ?? 0 }))
      .sort((a, b) => b.relevance_score - a.relevance_score);
    return { status: 200, answer: { id: `rerank-${requestId}`, ...common, results } };
  }
  const data = known.map((text, index) => ({ index, ...itemOf(kind, text, body) }));
  return { status: 200, answer: { id: `${kind}-${requestId}`, object: 'list', created: 1, data, ...common } };
}

function itemOf(kind: string, text: string, { encoding_format: format, text_1: left }: SeenCall['body']) {
  if (kind === 'classify') return { label: text, probs: [0.25, 0.75], num_classes: 2 };
  if (kind === 'score') return { object: 'score', score: vectorOf(`${String(left).length} ${text}`)[0] };
  return { object: 'embedding', embedding: format === 'base64' ? base64Of(text) : vectorOf(text) };
}
