/** /generate and /generate_stream of text-generation-inference: `inputs` and `parameters` in, one event a token. */
import { isRecord } from '../json/parse-object.ts';
import type { DialectParts, Work } from '../vllm/dialect-variant.ts';
import { EventWriter } from '../vllm/event-writer.ts';
import { type Fields, refuse } from '../vllm/request-fields.ts';
import type { SingleEnd, SingleRun } from '../vllm/run-single.ts';
import { sendJson } from '../vllm/send-json.ts';
import type { StreamFormat } from '../vllm/stream-format.ts';
import type { Emission } from '../vllm/text-assembler.ts';
import { tgiFinishReason } from './event-shapes.ts';

const STALL_MS = 60_000;
const MAX_NEW_TOKENS_DEFAULT = 100;

export async function answerTgiGenerate(parts: DialectParts, work: Work): Promise<void> {
  const run = runOf(parts, work);
  const end = await run.run(() => {});
  const wantsDetails = isRecord(work.fields.parameters) && work.fields.parameters.details === true;
  sendJson(work.exchange, {
    generated_text: end.text,
    ...(wantsDetails && {
      details: {
        finish_reason: tgiFinishReason(end),
        generated_tokens: end.completionTokens,
        seed: null,
        prefill: [],
        tokens: end.tokens.map(({ id, bytes }) => tokenOf(id, new TextDecoder().decode(bytes))),
      },
    }),
  });
}

/** The last event carries the whole text; nothing follows it. */
export async function streamTgiGenerate(
  parts: DialectParts,
  work: Work,
  format: StreamFormat,
): Promise<void> {
  const { exchange, signal } = work;
  const run = runOf(parts, work);
  const writer = new EventWriter({ exchange, clock: parts.clock, stallMs: STALL_MS, signal, format });
  let index = 0;
  const events = (emissions: readonly Emission[]) =>
    emissions.map(({ text, tokens }) => ({
      index: ++index,
      token: tokenOf(tokens.at(-1)?.id ?? 0, text),
      generated_text: null,
      details: null,
    }));
  const end = await run.run((emissions) => writer.write(events(emissions)));
  await writer.write([lastEvent(end, run, index + 1)]);
  exchange.end();
}

function lastEvent(end: SingleEnd, { promptTokens }: SingleRun, index: number): object {
  return {
    index,
    token: { ...tokenOf(2, ''), special: true },
    generated_text: end.text,
    details: {
      finish_reason: tgiFinishReason(end),
      generated_tokens: end.completionTokens,
      seed: null,
      input_length: promptTokens,
    },
  };
}

function runOf(parts: DialectParts, work: Work): SingleRun {
  return parts.runSingle(work, 'completions', completionFields(work.fields));
}

function completionFields({ inputs, parameters }: Fields): Fields {
  if (typeof inputs !== 'string') throw refuse('inputs', inputs, 'a string');
  const {
    max_new_tokens: limit,
    do_sample: sampled,
    temperature,
    ...rest
  } = isRecord(parameters) ? parameters : {};
  return {
    ...rest,
    prompt: inputs,
    max_tokens: limit ?? MAX_NEW_TOKENS_DEFAULT,
    temperature: sampled === true ? (temperature ?? 1) : 0,
    include_stop_str_in_output: true,
  };
}

function tokenOf(id: number, text: string): object {
  return { id, text, logprob: 0, special: false };
}
