/** POST /v1/embeddings: texts or token ids to vectors, as floats or as base64 of little-endian 32-bit floats. */
import { PlatformError } from '../../contract/errors.ts';
import type { EngineCore } from '../../contract/ports/engine-core.ts';
import { parsePrompts } from './parse-prompt.ts';
import { type Fields, integerField, refuse } from './request-fields.ts';

export async function answerEmbeddings(
  core: EngineCore,
  fields: Fields,
  signal: AbortSignal,
): Promise<object> {
  if (!core.info.canEmbed) {
    throw new PlatformError('not_supported', `model ${core.info.model} does not make embeddings`);
  }
  const format = fields.encoding_format ?? 'float';
  if (format !== 'float' && format !== 'base64')
    throw refuse('encoding_format', format, '"float" or "base64"');
  const dimensions = integerField(fields, 'dimensions', { min: 1, max: 1_000_000 });
  const inputs = parsePrompts(core, 'input', fields.input);
  const data: object[] = [];
  // One after the other: the client may leave in between, and a vector takes milliseconds.
  for (const [index, { tokens }] of inputs.entries()) {
    const vector = await core.embed(tokens, signal);
    if (dimensions !== undefined && dimensions !== vector.length) {
      throw refuse(
        'dimensions',
        dimensions,
        `${vector.length}: the vectors of ${core.info.model} can not be shortened`,
      );
    }
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

function toBase64(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes.toString('base64');
}
