/** SGLang's own /generate: text or ids in, the whole text so far in every event. */

import { isRecord } from '../json/parse-object.ts';
import type { DialectParts, Work } from '../vllm/dialect-variant.ts';
import { EventWriter } from '../vllm/event-writer.ts';
import type { Fields } from '../vllm/request-fields.ts';
import type { ChoiceEnd } from '../vllm/run-choice.ts';
import { sendJson } from '../vllm/send-json.ts';
import { OPENAI_STREAM } from '../vllm/stream-format.ts';

const STALL_MS = 60_000;
const MAX_NEW_TOKENS_DEFAULT = 128;

export async function answerNativeGenerate(parts: DialectParts, work: Work): Promise<void> {
  const { exchange, requestId, signal } = work;
  const run = parts.runSingle(work, 'completions', completionFields(work.fields));
  const startedMs = parts.clock.monotonicMs();
  const text = { value: '' };
  const ids: number[] = [];
  const answer = (end: ChoiceEnd | null) => ({
    text: text.value,
    output_ids: [...ids],
    meta_info: {
      id: requestId,
      finish_reason: end === null ? null : finishReason(end, ids.length),
      prompt_tokens: run.promptTokens,
      completion_tokens: ids.length,
      cached_tokens: 0,
      ...(end !== null && { e2e_latency: (parts.clock.monotonicMs() - startedMs) / 1000 }),
    },
  });
  if (!run.stream) {
    const end = await run.run((emissions) => collect(emissions));
    return sendJson(exchange, answer(end));
  }
  const writer = new EventWriter({ exchange, clock: parts.clock, stallMs: STALL_MS, signal });
  const end = await run.run(async (emissions) => {
    collect(emissions);
    await writer.write([answer(null)]);
  });
  await writer.write([answer(end)]);
  exchange.end(OPENAI_STREAM.done);

  function collect(emissions: readonly { text: string; tokens: readonly { id: number }[] }[]): void {
    for (const emission of emissions) {
      text.value += emission.text;
      ids.push(...emission.tokens.map(({ id }) => id));
    }
  }
}

function finishReason({ finishReason: type, stopReason }: ChoiceEnd, length: number): object {
  return type === 'length' ? { type, length } : { type, matched: stopReason };
}

function completionFields({ text, input_ids: ids, sampling_params: sampling, stream }: Fields): Fields {
  const { max_new_tokens: limit, ...rest } = isRecord(sampling) ? sampling : {};
  return { ...rest, prompt: ids ?? text, max_tokens: limit ?? MAX_NEW_TOKENS_DEFAULT, stream };
}
