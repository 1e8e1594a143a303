/**
 * Answers of a KServe model as what an OpenAI engine would send: a whole answer, or the events of a stream one by one. One
 * instance per request; pure but for what it has counted so far.
 */
import { PlatformError } from '../../contract/errors.ts';
import { sseData } from '../sse/parse-event.ts';
import { type ModelSignature, textOutputOf, vectorOf } from './model-signature.ts';
import type { InferPlan } from './openai-request.ts';
import type { InferReply } from './tensor.ts';

export interface AnswerIdentity {
  /** Makes the `id`. */
  requestId: string;
  createdS: number;
  /** The name by which the engine knows the model. */
  model: string;
}

type FinishReason = 'stop' | 'length' | 'content_filter';

export class OpenAiAnswer {
  readonly #plan: InferPlan;
  readonly #signature: ModelSignature;
  readonly #identity: AnswerIdentity;
  #promptTokens: number | undefined;
  #completionTokens: number | undefined;
  #finish: FinishReason | null = null;
  #opened = false;

  constructor(plan: InferPlan, signature: ModelSignature, identity: AnswerIdentity) {
    this.#plan = plan;
    this.#signature = signature;
    this.#identity = identity;
  }

  /** Whether the model says itself when it has finished: an end without that is a lost connection. */
  get saysFinish(): boolean {
    const takes = this.#signature.inputs.some(({ name }) => name === 'return_finish_reason');
    return this.#plan.convention === 'vllm' && takes;
  }

  get finished(): boolean {
    return this.#finish !== null;
  }

  /** The body of a whole answer. Throws PlatformError `engine_failed`. */
  whole(replies: readonly InferReply[]): object {
    if (this.#plan.endpoint === 'embeddings') return this.#embeddings(replies);
    const answer = replies.map((reply) => this.#read(reply)).join('');
    if (replies.every(({ outputs }) => !outputs.has(textOutputOf(this.#signature))))
      throw this.#noText(replies[0]);
    if (this.saysFinish && !this.finished)
      throw new PlatformError('engine_failed', 'the engine ended the request before its end');
    const { endpoint, echo } = this.#plan;
    const text = this.#withoutPrompt(answer);
    const end = { index: 0, logprobs: null, finish_reason: this.#finish ?? this.#guessFinish() };
    const usage = this.#usage();
    return {
      ...this.#head(endpoint === 'chat' ? 'chat.completion' : 'text_completion'),
      choices: [
        endpoint === 'chat'
          ? { ...end, message: { role: 'assistant', content: text } }
          : { ...end, text: echo + text },
      ],
      ...(usage !== null && { usage }),
    };
  }

  /** Events for one more answer of the model; empty when it says nothing that a client reads. */
  events(reply: InferReply): string {
    const read = this.#read(reply);
    // A model that sends one answer puts all into it, with or without the prompt.
    const text = this.#signature.decoupled ? read : this.#withoutPrompt(read);
    let events = this.#opened ? '' : this.#opening();
    this.#opened = true;
    if (text !== '') events += this.#chunk(this.#content(text), null);
    return events;
  }

  /** The rest of the stream: why it ended, usage if asked for, [DONE]. */
  closing(): string {
    const opening = this.#opened ? '' : this.#opening();
    this.#opened = true;
    const chat = this.#plan.endpoint === 'chat';
    const end = this.#chunk(chat ? { delta: {} } : { text: '' }, this.#finish ?? this.#guessFinish());
    const usage = this.#plan.includeUsage ? this.#usage() : null;
    const counted = usage === null ? '' : sseData({ ...this.#head(this.#chunkObject()), choices: [], usage });
    return `${opening}${end}${counted}${sseData('[DONE]')}`;
  }

  #withoutPrompt(text: string): string {
    const { promptCopy } = this.#plan;
    return promptCopy !== null && text.startsWith(promptCopy) ? text.slice(promptCopy.length) : text;
  }

  #opening(): string {
    if (this.#plan.endpoint === 'chat')
      return this.#chunk({ delta: { role: 'assistant', content: '' } }, null);
    return this.#plan.echo === '' ? '' : this.#chunk({ text: this.#plan.echo }, null);
  }

  #content(text: string): object {
    return this.#plan.endpoint === 'chat' ? { delta: { content: text } } : { text };
  }

  #chunk(content: object, finish: FinishReason | null): string {
    const choice = { index: 0, ...content, logprobs: null, finish_reason: finish };
    return sseData({ ...this.#head(this.#chunkObject()), choices: [choice] });
  }

  #chunkObject(): string {
    return this.#plan.endpoint === 'chat' ? 'chat.completion.chunk' : 'text_completion';
  }

  #head(object: string): object {
    const { requestId, createdS, model } = this.#identity;
    const prefix = this.#plan.endpoint === 'chat' ? 'chatcmpl' : 'cmpl';
    return { id: `${prefix}-${requestId}`, object, created: createdS, model };
  }

  /** The text of an answer; counts and the reason for the end are noted. */
  #read({ outputs }: InferReply): string {
    const text = outputs.get(textOutputOf(this.#signature))?.values[0];
    if (text !== undefined && typeof text !== 'string')
      throw new PlatformError(
        'engine_failed',
        `the answer of the engine holds ${typeof text} instead of text`,
      );
    this.#promptTokens ??= numberIn(outputs, 'num_input_tokens');
    const tokens = numberIn(outputs, 'num_output_tokens');
    if (tokens !== undefined) this.#completionTokens = (this.#completionTokens ?? 0) + tokens;
    const finish = finishOf(outputs.get('finish_reason')?.values[0]);
    if (finish !== null) this.#finish = finish;
    return text ?? '';
  }

  /** Most engines do not say why they ended; as many tokens as were allowed are the limit. */
  #guessFinish(): FinishReason {
    return this.#completionTokens !== undefined && this.#completionTokens >= this.#plan.maxTokens
      ? 'length'
      : 'stop';
  }

  #usage(): object | null {
    const [prompt, completion] = [this.#promptTokens, this.#completionTokens];
    if (prompt === undefined || completion === undefined) return null;
    return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
  }

  #embeddings(replies: readonly InferReply[]): object {
    let promptTokens = 0;
    const data = replies.map((reply, index) => {
      promptTokens += numberIn(reply.outputs, 'num_input_tokens') ?? 0;
      const vector = this.#vector(reply);
      return { object: 'embedding', index, embedding: this.#plan.base64 ? toBase64(vector) : vector };
    });
    const usage = { prompt_tokens: promptTokens, total_tokens: promptTokens };
    return { object: 'list', data, model: this.#identity.model, usage };
  }

  #vector(reply: InferReply): number[] {
    const vector = this.#plan.convention === 'vllm' ? this.#vectorInText(reply) : this.#vectorIn(reply);
    const { dimensions } = this.#plan;
    if (dimensions !== undefined && dimensions !== vector.length) {
      throw new PlatformError(
        'invalid_request',
        `dimensions: found ${dimensions}; expected ${vector.length}: the vectors of this model can not be shortened`,
        { param: 'dimensions' },
      );
    }
    return vector;
  }

  /** The vLLM backend writes the vector as JSON. */
  #vectorInText(reply: InferReply): number[] {
    const text = reply.outputs.get(textOutputOf(this.#signature))?.values[0];
    try {
      const vector: unknown = JSON.parse(String(text));
      if (isVector(vector)) return vector;
    } catch {
      // Said below.
    }
    throw new PlatformError('engine_failed', 'the answer of the engine holds no vector');
  }

  #vectorIn({ outputs }: InferReply): number[] {
    const values = outputs.get(vectorOf(this.#signature) ?? '')?.values;
    if (isVector(values)) return values;
    throw new PlatformError('engine_failed', 'the answer of the engine holds no vector');
  }

  #noText(reply: InferReply | undefined): PlatformError {
    const found = [...(reply?.outputs.keys() ?? [])].join(', ').slice(0, 200) || 'nothing';
    const wanted = textOutputOf(this.#signature);
    return new PlatformError('engine_failed', `the answer of the engine has no '${wanted}'; found: ${found}`);
  }
}

function finishOf(value: unknown): FinishReason | null {
  if (value === 'stop' || value === 'length' || value === 'content_filter') return value;
  // "None" while it runs; "abort" is no end that a client may be shown.
  return null;
}

function numberIn(outputs: InferReply['outputs'], name: string): number | undefined {
  const value = outputs.get(name)?.values[0];
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

function isVector(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'number');
}

function toBase64(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes.toString('base64');
}
