/** Ollama's own /api/generate and /api/chat: lines of JSON, one a token unless `stream: false`, the last one with counts. */
import { isRecord } from '../json/parse-object.ts';
import type { DialectParts, Work } from '../vllm/dialect-variant.ts';
import { EventWriter } from '../vllm/event-writer.ts';
import type { Fields } from '../vllm/request-fields.ts';
import { sendJson } from '../vllm/send-json.ts';
import type { StreamFormat } from '../vllm/stream-format.ts';

const STALL_MS = 60_000;
const NDJSON: StreamFormat = {
  contentType: 'application/x-ndjson',
  event: (data) => `${JSON.stringify(data)}\n`,
  done: '',
  failure: (error) => `${JSON.stringify({ error: error.message })}\n`,
};

export async function answerOllamaGenerate(parts: DialectParts, work: Work): Promise<void> {
  const { exchange, fields } = work;
  const { prompt = '', keep_alive: keepAlive } = fields;
  if (prompt === '') {
    // Nothing to answer: the model is loaded, or leaves memory once its requests have ended.
    const unload = keepAlive === 0 || keepAlive === '0';
    if (unload) parts.core.clearCache?.();
    const end = { done: true, done_reason: unload ? 'unload' : 'load' };
    return sendJson(exchange, { ...envelope(parts), response: '', ...end });
  }
  const raw = fields.raw === true;
  const messages = [{ role: 'user', content: prompt }];
  const asked = raw ? { prompt } : { messages };
  await answer(parts, work, raw ? 'completions' : 'chat', asked, (text) => ({ response: text }));
}

export function answerOllamaChat(parts: DialectParts, work: Work): Promise<void> {
  return answer(parts, work, 'chat', { messages: work.fields.messages }, (content) => ({
    message: { role: 'assistant', content },
  }));
}

async function answer(
  parts: DialectParts,
  work: Work,
  endpoint: 'chat' | 'completions',
  asked: Fields,
  shape: (text: string) => object,
): Promise<void> {
  const { exchange, fields, signal } = work;
  const { num_predict: limit, ...options } = isRecord(fields.options) ? fields.options : {};
  const bounded = typeof limit === 'number' && limit > 0 ? { max_tokens: limit } : {};
  const run = parts.runSingle(work, endpoint, { ...options, ...bounded, ...asked });
  const counts = (completionTokens: number) => ({
    prompt_eval_count: run.promptTokens,
    eval_count: completionTokens,
  });
  if (fields.stream === false) {
    const end = await run.run(() => {});
    const done = { done: true, done_reason: end.finishReason, ...counts(end.completionTokens) };
    return sendJson(exchange, { ...envelope(parts), ...shape(end.text), ...done });
  }
  const writer = new EventWriter({ exchange, clock: parts.clock, stallMs: STALL_MS, signal, format: NDJSON });
  const end = await run.run((emissions) =>
    writer.write(emissions.map(({ text }) => ({ ...envelope(parts), ...shape(text), done: false }))),
  );
  const done = { done: true, done_reason: end.finishReason, ...counts(end.completionTokens) };
  await writer.write([{ ...envelope(parts), ...shape(''), ...done }]);
  exchange.end();
}

function envelope({ core, clock }: DialectParts): object {
  return { model: core.info.model, created_at: new Date(clock.wallMs()).toISOString() };
}
