/**
 * What one request asks of the pool that serves it, as far as its turn and the choice of a replica go. One object per request,
 * for all its attempts; what only some strategies need is worked out when they ask.
 */
import { hash } from 'node:crypto';
import { addPrompt, PromptBlocks } from '../../../decide/scheduling/affinity/prompt-blocks.ts';
import { hashText } from '../../../decide/scheduling/pick/replica-columns.ts';
import type { Envelope } from '../../../wire/openai/envelope.ts';
import type { Caller } from '../caller.ts';
import { ANSWER_TOKENS, promptTokensIn } from './token-estimate.ts';

/** More than this is not believed before it has been seen. */
const ANSWER_TOKENS_MAX = 8_192;
/** Prompts that wait to be used again by another request; about 1 KiB each. */
const SPARE_MAX = 64;
const spare: PromptBlocks[] = [];

/** Fields of a body that name a conversation, in this order. */
const SESSION_FIELDS = ['session_id', 'prompt_cache_key', 'user'];

export class Demand {
  readonly caller: Caller;
  /** Estimates. */
  readonly promptTokens: number;
  readonly answerTokens: number;
  readonly #envelope: Envelope;
  #blocks: PromptBlocks | null = null;
  #blocksOf = '';

  constructor(envelope: Envelope, caller: Caller) {
    this.#envelope = envelope;
    this.caller = caller;
    this.promptTokens = promptTokensIn(envelope.bytes);
    this.answerTokens = expectedAnswer(envelope);
  }

  /** The beginning of the prompt, block by block, as the cache of a pool's engines sees it. */
  blocks(pool: string): PromptBlocks {
    if (this.#blocks === null || this.#blocksOf !== pool) {
      this.#blocks ??= spare.pop() ?? new PromptBlocks();
      this.#blocksOf = pool;
      addPrompt(this.#blocks.start(hashText(pool)), this.#envelope.fields);
    }
    return this.#blocks;
  }

  /** Names the conversation, 0: none. */
  sessionHash(): number {
    const { fields } = this.#envelope;
    const session = this.caller.session ?? SESSION_FIELDS.map((name) => fields[name]).find(isName);
    return session === undefined ? 0 : hashText(session) || 1;
  }

  /** What the request has in common with itself when it is sent again. */
  ticket(): string {
    const { ticket, bytes } = this.#envelope;
    const own = ticket === undefined ? bytes : Buffer.from(ticket);
    return hash('sha256', Buffer.concat([Buffer.from(`${this.caller.tenant}\0`), own]), 'base64');
  }

  /** The request is over. */
  dispose(): void {
    if (this.#blocks !== null && spare.length < SPARE_MAX) spare.push(this.#blocks);
    this.#blocks = null;
  }
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function expectedAnswer({ endpoint, fields }: Envelope): number {
  if (endpoint !== 'chat' && endpoint !== 'completions') return 0;
  const named = fields.max_completion_tokens ?? fields.max_tokens;
  if (typeof named !== 'number' || !(named >= 1)) return ANSWER_TOKENS;
  return Math.min(ANSWER_TOKENS_MAX, Math.floor(named));
}
