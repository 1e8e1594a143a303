/**
 * An OpenAI request as requests of the Open Inference Protocol, for a model whose signature is known. Pure; what the protocol
 * cannot say is refused (`invalid_request`) where the answer would be another one, and dropped where it would not: the
 * table is docs/reference/dialects-kserve.md.
 */
import { PlatformError } from '../../contract/errors.ts';
import type { ChatTemplate } from '../../contract/fleet.ts';
import { isRecord } from '../json/parse-object.ts';
import { chatPrompt } from './chat-prompt.ts';
import { limitOf, NOT_DROPPED, refuse, SETTINGS, settingOf } from './generation-settings.ts';
import { conventionOf, type ModelSignature, type TensorConvention, textInputOf } from './model-signature.ts';
import { structureOf } from './structured-output.ts';
import { type InferRequest, type Tensor, type TensorValue, tensorOf } from './tensor.ts';

export type KServeEndpoint = 'chat' | 'completions' | 'embeddings';
type Fields = Readonly<Record<string, unknown>>;

export interface InferPlan {
  endpoint: KServeEndpoint;
  convention: TensorConvention;
  /** One, but for embeddings: one per input. */
  requests: readonly InferRequest[];
  stream: boolean;
  includeUsage: boolean;
  /** Put before the answer: `echo` of completions. */
  echo: string;
  /** A copy of this at the beginning of a whole answer is the prompt and not part of it; null: models leave it out. */
  promptCopy: string | null;
  maxTokens: number;
  /** Of embeddings. */
  base64: boolean;
  dimensions: number | undefined;
}

/** As OpenAI for completions; chats have no limit there, but these engines stop at 16 when they are told none. */
export const COMPLETION_TOKENS_DEFAULT = 16;
const CHAT_TOKENS_DEFAULT = 1024;
const EMBEDDING_INPUTS_MAX = 2048;

/** Fields that must be absent or neutral, with what would be right. */
const REFUSED: readonly (readonly [field: string, neutral: (value: unknown) => boolean, expected: string])[] =
  [
    ['n', (value) => value === 1, '1: one answer per request'],
    ['best_of', (value) => value === 1, '1: answers are not ranked'],
    ['logprobs', (value) => value === false || value === 0, 'nothing: KServe models give no logprobs here'],
    ['top_logprobs', (value) => value === 0, 'nothing: KServe models give no logprobs here'],
    ['tools', (value) => isEmptyList(value), 'no tools: KServe takes and gives plain text'],
    ['functions', (value) => isEmptyList(value), 'no functions: KServe takes and gives plain text'],
    ['suffix', (value) => value === '', 'nothing: text can not be inserted'],
    [
      'logit_bias',
      (value) => isRecord(value) && Object.keys(value).length === 0,
      'nothing: KServe takes text, no token ids',
    ],
    ['audio', () => false, 'nothing: KServe takes and gives plain text'],
  ];

export function planInference(
  endpoint: KServeEndpoint,
  fields: Fields,
  signature: ModelSignature,
  template: ChatTemplate | undefined,
): InferPlan {
  const convention = conventionOf(signature);
  if (endpoint === 'embeddings') return planEmbeddings(convention, fields, signature);
  if (convention === 'embedding') {
    throw new PlatformError('not_supported', 'this model gives vectors and no text; use /v1/embeddings');
  }
  refuseFields(fields);
  const prompt = endpoint === 'chat' ? promptOfChat(fields, template) : promptOf(fields.prompt);
  const limit = limitOf(
    fields,
    endpoint === 'chat' ? ['max_completion_tokens', 'max_tokens'] : ['max_tokens'],
  );
  const maxTokens = limit ?? (endpoint === 'chat' ? CHAT_TOKENS_DEFAULT : COMPLETION_TOKENS_DEFAULT);
  const stream = fields.stream === true;
  const excludesPrompt = signature.inputs.some(({ name }) => name === 'exclude_input_in_output');
  return {
    endpoint,
    convention,
    requests: [requestFor(convention, signature, { fields, prompt, maxTokens, stream })],
    stream,
    includeUsage: isRecord(fields.stream_options) && fields.stream_options.include_usage === true,
    echo: endpoint === 'completions' && fields.echo === true ? prompt : '',
    promptCopy: excludesPrompt ? null : prompt,
    maxTokens,
    base64: false,
    dimensions: undefined,
  };
}

interface Generation {
  fields: Fields;
  prompt: string;
  maxTokens: number;
  stream: boolean;
}

function requestFor(
  convention: TensorConvention,
  signature: ModelSignature,
  generation: Generation,
): InferRequest {
  const inputs = new TensorList(signature);
  inputs.add(textInputOf(signature).name, [generation.prompt]);
  if (convention === 'text') return { inputs: inputs.list, parameters: textParameters(generation) };
  inputs.add('stream', [generation.stream]);
  inputs.add('exclude_input_in_output', [true]);
  for (const name of ['return_finish_reason', 'return_num_input_tokens', 'return_num_output_tokens'])
    inputs.add(name, [true]);
  if (convention === 'vllm') inputs.add('sampling_parameters', [vllmSampling(generation)]);
  else addTrtllmSettings(inputs, generation);
  return { inputs: inputs.list, parameters: {} };
}

/** The JSON text that the vLLM backend makes its SamplingParams from; it knows no other keys than those. */
function vllmSampling({ fields, maxTokens }: Generation): string {
  const sampling: Record<string, unknown> = { max_tokens: maxTokens };
  for (const setting of SETTINGS) {
    const value = settingOf(fields, setting);
    if (value !== undefined) sampling[setting.field] = value;
  }
  const structure = structureOf(fields);
  // JSON inside JSON: so the backend reads it.
  if (structure !== null) sampling.structured_outputs = JSON.stringify(structure.vllm);
  return JSON.stringify(sampling);
}

function addTrtllmSettings(inputs: TensorList, { fields, maxTokens }: Generation): void {
  inputs.add('max_tokens', [maxTokens]);
  for (const setting of SETTINGS) {
    const value = settingOf(fields, setting);
    if (value === undefined) continue;
    // Its sampler takes temperature 0 for an error in some releases; the best token alone is the same.
    const greedy = setting.field === 'temperature' && value === 0 && inputs.takes('top_k');
    const values = greedy ? [1] : Array.isArray(value) ? value : [value as TensorValue];
    const names = greedy ? ['top_k'] : setting.tensorrtllm;
    if (setting.field === 'top_k' && fields.temperature === 0) continue;
    if (!names.some((name) => inputs.add(name, values)) && NOT_DROPPED.includes(setting.field))
      refuse(setting.field, value, 'nothing: the model has no such input');
  }
  const structure = structureOf(fields);
  if (structure === null) return;
  const { type, guide } = structure.tensorrtllm;
  if (!inputs.add('guided_decoding_guide_type', [type]) || !inputs.add('guided_decoding_guide', [guide]))
    refuse(structure.field, fields[structure.field], 'nothing: the model has no input for guided decoding');
}

function textParameters({ fields, maxTokens }: Generation): Record<string, TensorValue> {
  const parameters: Record<string, TensorValue> = { max_tokens: maxTokens };
  for (const setting of SETTINGS) {
    const value = settingOf(fields, setting);
    if (value === undefined) continue;
    if (setting.text) parameters[setting.field] = value as TensorValue;
    else if (NOT_DROPPED.includes(setting.field))
      refuse(setting.field, value, 'nothing: the model takes no such setting');
  }
  const structure = structureOf(fields);
  if (structure !== null)
    refuse(structure.field, fields[structure.field], 'nothing: the model has no input for guided decoding');
  return parameters;
}

function planEmbeddings(convention: TensorConvention, fields: Fields, signature: ModelSignature): InferPlan {
  const format = fields.encoding_format ?? 'float';
  if (format !== 'float' && format !== 'base64') refuse('encoding_format', format, '"float" or "base64"');
  const dimensions = limitOf(fields, ['dimensions']);
  const inputs = embeddingInputs(fields.input);
  const asVllm = convention === 'vllm' && signature.inputs.some(({ name }) => name === 'embedding_request');
  if (!asVllm && convention !== 'embedding')
    throw new PlatformError('not_supported', 'this model gives text and no vectors');
  return {
    endpoint: 'embeddings',
    convention,
    requests: inputs.map((input) =>
      asVllm ? vllmEmbedding(signature, input, dimensions) : embeddingOf(signature, input),
    ),
    stream: false,
    includeUsage: false,
    echo: '',
    promptCopy: null,
    maxTokens: 0,
    base64: format === 'base64',
    dimensions,
  };
}

function vllmEmbedding(
  signature: ModelSignature,
  input: string | readonly number[],
  dimensions: number | undefined,
): InferRequest {
  const list = new TensorList(signature);
  const pooling = dimensions === undefined ? {} : { dimensions: [dimensions] };
  // Declared as required, though it is not read.
  list.add('text_input', [typeof input === 'string' ? input : '']);
  list.add('embedding_request', [JSON.stringify({ input, pooling_params: pooling })]);
  list.add('return_num_input_tokens', [true]);
  return { inputs: list.list, parameters: {} };
}

function embeddingOf(signature: ModelSignature, input: string | readonly number[]): InferRequest {
  if (typeof input !== 'string') return refuse('input', input, 'text: this model takes no token ids');
  const list = new TensorList(signature);
  list.add(textInputOf(signature).name, [input]);
  return { inputs: list.list, parameters: {} };
}

function embeddingInputs(value: unknown): (string | readonly number[])[] {
  if (typeof value === 'string') return [value];
  if (!Array.isArray(value) || value.length === 0 || value.length > EMBEDDING_INPUTS_MAX)
    return refuse('input', value, `a text or 1 to ${EMBEDDING_INPUTS_MAX} of them`);
  const items: unknown[] = value;
  if (isIds(items)) return [items];
  return items.map((item, index) =>
    typeof item === 'string' || isIds(item) ? item : refuse(`input[${index}]`, item, 'a text or token ids'),
  );
}

function promptOf(value: unknown): string {
  const only: unknown = Array.isArray(value) && value.length === 1 ? value[0] : value;
  return typeof only === 'string'
    ? only
    : refuse('prompt', value, 'one text: KServe takes no token ids and no lists');
}

function promptOfChat(fields: Fields, template: ChatTemplate | undefined): string {
  if (template !== undefined) return chatPrompt(template, fields);
  throw new PlatformError(
    'invalid_request',
    'messages: the engine speaks KServe, which takes text and no messages; set `chat_template` for this model in the configuration, or use /v1/completions',
    { param: 'messages' },
  );
}

function refuseFields(fields: Fields): void {
  for (const [field, isNeutral, expected] of REFUSED) {
    const value = fields[field] ?? undefined;
    if (value === undefined || isNeutral(value)) continue;
    if (field === 'tools' && fields.tool_choice === 'none') continue;
    refuse(field, value, expected);
  }
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function isIds(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length > 0 && value.every((id) => Number.isSafeInteger(id));
}

/** Tensors for inputs that the model has; others are left out. */
class TensorList {
  readonly list: Tensor[] = [];
  readonly #signature: ModelSignature;

  constructor(signature: ModelSignature) {
    this.#signature = signature;
  }

  takes(name: string): boolean {
    return this.#signature.inputs.some((input) => input.name === name);
  }

  /** False when the model has no such input. */
  add(name: string, values: readonly TensorValue[]): boolean {
    const spec = this.#signature.inputs.find((input) => input.name === name);
    if (spec === undefined) return false;
    this.list.push(tensorOf(spec, values));
    return true;
  }
}
