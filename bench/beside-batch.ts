/**
 * What a batch costs clients: they ask in a closed loop, and phases alone and beside a batch take turns, so that whatever else
 * the machine does disturbs both alike. Used by `bench/batches.ts` and by tests.
 */
import { runLoad } from './load-client.ts';
import { percentile } from './statistics.ts';

export interface BesideBatchOptions {
  /** Of the gateway. */
  origin: string;
  model: string;
  rounds: number;
  /** Clients alone, before each batch, ms. */
  quietMs: number;
  /** Lines of each batch, and tokens that each is answered with. */
  lines: number;
  lineTokens: number;
  clients: number;
  clientTokens: number;
  stream: boolean;
}

export interface Phase {
  answers: number;
  p50Ms: number;
  p99Ms: number;
  durationMs: number;
}

export interface BesideBatch {
  alone: Phase[];
  beside: Phase[];
  /** Answers to clients that failed. */
  failed: number;
  /** Lines that were not answered with success. */
  linesFailed: number;
}

const WARM_UP_MS = 3_000;
const POLL_MS = 50;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export async function measureBesideBatch(options: BesideBatchOptions): Promise<BesideBatch> {
  const end = new AbortController();
  const load = runLoad({
    url: `${options.origin}/v1/chat/completions`,
    requests: 10_000_000,
    concurrency: options.clients,
    signal: end.signal,
    stream: options.stream,
    keep: 'timing',
    body: (index) => chat(options, `Client ${index % 50}`, options.clientTokens),
  });
  const spans: { alone: Span[]; beside: Span[] } = { alone: [], beside: [] };
  let linesFailed = 0;
  try {
    await pause(WARM_UP_MS);
    for (let round = 0; round < options.rounds; round++) {
      spans.alone.push(await spanOf(() => pause(options.quietMs)));
      spans.beside.push(
        await spanOf(async () => {
          linesFailed += await runBatch(options);
        }),
      );
    }
  } finally {
    end.abort();
  }
  const { records } = await load;
  const good = records.filter(({ error }) => error === null);
  const phase = ([from, to]: Span): Phase => {
    const times = good
      .filter(({ startedAtMs }) => startedAtMs >= from && startedAtMs < to)
      .map(({ totalMs }) => totalMs);
    return {
      answers: times.length,
      p50Ms: percentile(times, 50),
      p99Ms: percentile(times, 99),
      durationMs: to - from,
    };
  };
  return {
    alone: spans.alone.map(phase),
    beside: spans.beside.map(phase),
    failed: records.filter(({ error }) => error !== null && error.class !== 'aborted').length,
    linesFailed,
  };
}

/** On the monotonic clock of this process. */
type Span = [fromMs: number, toMs: number];

async function spanOf(work: () => Promise<unknown>): Promise<Span> {
  const fromMs = performance.now();
  await work();
  return [fromMs, performance.now()];
}

function chat({ model }: BesideBatchOptions, content: string, tokens: number) {
  return { model, max_tokens: tokens, ignore_eos: true, messages: [{ role: 'user', content }] };
}

interface BatchView {
  id: string;
  status: string;
  request_counts: { total: number; completed: number; failed: number };
}

/** The number of lines without success. */
async function runBatch(options: BesideBatchOptions): Promise<number> {
  const lines = Array.from({ length: options.lines }, (_, line) =>
    JSON.stringify({
      custom_id: `line-${line}`,
      method: 'POST',
      url: '/v1/chat/completions',
      body: chat(options, `Line ${line}`, options.lineTokens),
    }),
  );
  const form = new FormData();
  form.set('purpose', 'batch');
  form.set('file', new Blob([lines.join('\n')]), 'input.jsonl');
  const file = await ask<{ id: string }>(`${options.origin}/v1/files`, { method: 'POST', body: form });
  let batch = await ask<BatchView>(`${options.origin}/v1/batches`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      input_file_id: file.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    }),
  });
  while (!['completed', 'failed', 'expired', 'cancelled'].includes(batch.status)) {
    await pause(POLL_MS);
    batch = await ask<BatchView>(`${options.origin}/v1/batches/${batch.id}`, {});
  }
  return options.lines - batch.request_counts.completed;
}

async function ask<T>(url: string, init: RequestInit): Promise<T> {
  const response = await fetch(url, init);
  if (!response.ok) throw new Error(`${url}: HTTP ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}
