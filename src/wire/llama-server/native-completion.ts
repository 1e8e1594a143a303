/** llama-server's own /completion: prompt as text or ids, `n_predict`, one event a token, the last one with everything. */
import type { DialectParts, Work } from '../vllm/dialect-variant.ts';
import { EventWriter } from '../vllm/event-writer.ts';
import type { Fields } from '../vllm/request-fields.ts';
import type { SingleEnd } from '../vllm/run-single.ts';
import { sendJson } from '../vllm/send-json.ts';

const STALL_MS = 60_000;

export async function answerNativeCompletion(parts: DialectParts, work: Work): Promise<void> {
  const { exchange, fields, signal } = work;
  const run = parts.runSingle(work, 'completions', completionFields(fields));
  const last = (end: SingleEnd, content: string) => ({
    index: 0,
    content,
    tokens: fields.return_tokens === true && !run.stream ? end.tokens.map(({ id }) => id) : [],
    id_slot: 0,
    stop: true,
    model: parts.core.info.model,
    tokens_predicted: end.completionTokens,
    tokens_evaluated: run.promptTokens,
    stop_type: end.finishReason === 'length' ? 'limit' : typeof end.stopReason === 'string' ? 'word' : 'eos',
    stopping_word: typeof end.stopReason === 'string' ? end.stopReason : '',
  });
  if (!run.stream) {
    const end = await run.run(() => {});
    return sendJson(exchange, last(end, end.text));
  }
  const writer = new EventWriter({ exchange, clock: parts.clock, stallMs: STALL_MS, signal });
  let predicted = 0;
  const end = await run.run((emissions) =>
    writer.write(
      emissions.map(({ text, tokens }) => {
        predicted += tokens.length;
        const ids = fields.return_tokens === true ? tokens.map(({ id }) => id) : [];
        const counts = { tokens_predicted: predicted, tokens_evaluated: run.promptTokens };
        return { index: 0, content: text, tokens: ids, stop: false, id_slot: -1, ...counts };
      }),
    ),
  );
  await writer.write([last(end, '')]);
  exchange.end();
}

function completionFields(fields: Fields): Fields {
  const { n_predict: limit, ...rest } = fields;
  const bounded = typeof limit === 'number' && limit >= 0;
  return { ...rest, max_tokens: bounded ? limit : (fields.max_tokens ?? 128) };
}
