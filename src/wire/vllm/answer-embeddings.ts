/** POST /v1/embeddings: texts or token ids to vectors, as floats or as base64 of little-endian 32-bit floats. */
import { PlatformError } from '../../contract/errors.ts';
import type { EngineCore } from '../../contract/ports/engine-core.ts';
import { parsePrompts } from './parse-prompt.ts';
import { type Fields, integerField, refuse } from './request-fields.ts';

/** As in the OpenAI API. */
const INPUTS_MAX = 2048;

export async function answerEmbeddings(
  core: EngineCore,
  fields: Fields,
  signal: AbortSignal,
): Promise<object> {
  refuseUnlessEmbeds(core);
  const format = fields.encoding_format ?? 'float';
  if (format !== 'float' && format !== 'base64')
    throw refuse('encoding_format', format, '"float" or "base64"');
  const dimensions = integerField(fields, 'dimensions', { min: 1, max: 1_000_000 });
  const inputs = parsePrompts(core, 'input', fields.input, INPUTS_MAX);
  const data: object[] = [];
  // One after the other: the client may leave in between, and a vector takes milliseconds.
  for (const [index, { tokens }] of inputs.entries()) {
    const vector = shortened(core, await core.embed(tokens, signal), dimensions);
    data.push({ object: 'embedding', index, embedding: format === 'float' ? vector : toBase64(vector) });
  }
  const promptTokens = inputs.reduce((sum, { tokens }) => sum + tokens.length, 0);
  return {
    object: 'list',
    data,
    model: core.info.model,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
  };
}

export function refuseUnlessEmbeds(core: EngineCore): void {
  if (core.info.canEmbed) return;
  throw new PlatformError('not_supported', `model ${core.info.model} does not make embeddings`);
}

/** The first `dimensions` numbers, of length 1 again, as vLLM does it for models that were trained for it. */
function shortened(core: EngineCore, vector: number[], dimensions: number | undefined): number[] {
  if (dimensions === undefined || dimensions === vector.length) return vector;
  if (dimensions > vector.length) {
    throw refuse(
      'dimensions',
      dimensions,
      `at most the ${vector.length} dimensions that ${core.info.model} has`,
    );
  }
  const head = vector.slice(0, dimensions);
  const length = Math.hypot(...head);
  return length === 0 ? head : head.map((value) => value / length);
}

function toBase64(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes.toString('base64');
}
