/** The top rung for engines that speak KServe: one token, asked for as the gateway asks, so that the translation is proved too. */
import type { EngineTarget, ProbeResult } from '../../contract/ports/engine-driver.ts';
import type { KServeTarget, Transport } from '../../contract/ports/transport.ts';
import { statusText } from './probe-http.ts';

const QUESTIONS = [
  { path: '/v1/completions', body: { prompt: 'Hello', max_tokens: 1, temperature: 0 } },
  { path: '/v1/embeddings', body: { input: 'Hello' } },
] as const;

/** The model gives vectors and no text. */
const NOT_SUPPORTED = 501;
/** Longer than any probe may take; the signal of the probe is the limit. */
const CONNECT_MS_MAX = 60_000;

/** On a connection of its own: a probe must see whether the engine accepts one. */
export async function oneTokenOverKServe(
  openTransport: () => Transport,
  target: EngineTarget,
  protocol: KServeTarget['protocol'],
  signal: AbortSignal,
): Promise<ProbeResult> {
  const transport = openTransport();
  try {
    return await askForToken(transport, target, protocol, signal);
  } finally {
    await transport.close();
  }
}

async function askForToken(
  transport: Transport,
  target: EngineTarget,
  protocol: KServeTarget['protocol'],
  signal: AbortSignal,
): Promise<ProbeResult> {
  let last: ProbeResult = { ok: false, detail: 'not asked' };
  for (const { path, body } of QUESTIONS) {
    const answer = await send(transport, target, protocol, path, body, signal);
    if ('failure' in answer) return { ok: false, detail: answer.failure };
    if (answer.status === 200) return { ok: true, detail: `one token by ${path}` };
    last = { ok: false, detail: statusText(answer) };
    if (answer.status !== NOT_SUPPORTED) return last;
  }
  return last;
}

type Answer = { status: number; body: string } | { failure: string };

function send(
  transport: Transport,
  target: EngineTarget,
  protocol: KServeTarget['protocol'],
  path: string,
  body: object,
  signal: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let status = 0;
    const settle = (answer: Answer) => {
      signal.removeEventListener('abort', onAbort);
      resolve(answer);
    };
    const call = transport.send(
      {
        origin: target.url,
        method: 'POST',
        path,
        headers: {
          'content-type': 'application/json',
          'x-request-id': 'probe',
          ...(target.engineKey !== undefined && { authorization: `Bearer ${target.engineKey}` }),
        },
        body: Buffer.from(JSON.stringify({ model: target.servedModel, ...body })),
        connectTimeoutMs: CONNECT_MS_MAX,
        kserve: { protocol, model: target.servedModel },
      },
      {
        onHead: (found) => {
          status = found;
        },
        onData: (chunk) => chunks.push(chunk),
        onEnd: () => settle({ status, body: Buffer.concat(chunks).toString('utf8') }),
        onError: (failure, cause) =>
          settle({ failure: failure === 'connect-refused' ? 'connection refused' : cause.message }),
      },
    );
    const onAbort = () => {
      call.abort();
      settle({ failure: 'no answer in time' });
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}
