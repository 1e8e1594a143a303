/** For tests: an engine core with one token per character code below 256, that says what it was told to say. */
import type {
  CoreFinish,
  EngineCore,
  EngineCoreMetrics,
  GeneratedToken,
  GenerateRequest,
} from '../../src/contract/ports/engine-core.ts';

export interface ScriptedCoreOptions {
  /** Bytes of the answer; each step yields `perStep` tokens. */
  answer: Uint8Array | string;
  perStep?: number;
  contextLength?: number;
  /** Calls tools and thinks, when the answer says so. */
  canCallTools?: boolean;
  /** Thrown after so many steps. */
  failAfter?: { steps: number; error: Error };
}

export class ScriptedCore implements EngineCore {
  readonly info;
  readonly requests: GenerateRequest[] = [];
  /** Generations that ended, whichever way. */
  ended = 0;
  full = false;
  readonly #options: ScriptedCoreOptions;

  constructor(options: ScriptedCoreOptions) {
    this.#options = options;
    this.info = {
      model: 'scripted',
      ownedBy: 'tests',
      contextLength: options.contextLength ?? 256,
      vocabularySize: 256,
      canEmbed: true,
      canCallTools: options.canCallTools === true,
      canReason: options.canCallTools === true,
    };
  }

  tokenize(text: string): number[] {
    return [...Buffer.from(text)];
  }

  detokenize(tokens: readonly number[]): Uint8Array {
    return Uint8Array.from(tokens);
  }

  renderChat(messages: readonly { content: string }[]): number[] {
    return this.tokenize(messages.map((message) => message.content).join('|'));
  }

  async *generate(
    request: GenerateRequest,
    signal: AbortSignal,
  ): AsyncGenerator<GeneratedToken[], CoreFinish, void> {
    this.requests.push(request);
    const { answer, perStep = 1, failAfter } = this.#options;
    const bytes = typeof answer === 'string' ? Buffer.from(answer) : answer;
    const end = Math.min(bytes.length, request.maxTokens);
    try {
      for (let start = 0, step = 0; start < end; start += perStep, step++) {
        await Promise.resolve();
        signal.throwIfAborted();
        if (failAfter?.steps === step) throw failAfter.error;
        yield [...bytes.subarray(start, Math.min(end, start + perStep))].map((byte) => ({
          id: byte,
          bytes: Uint8Array.of(byte),
          ...(request.topLogprobs !== undefined && {
            logprob: -0.5,
            topLogprobs: [{ id: byte, bytes: Uint8Array.of(byte), logprob: -0.5 }],
          }),
        }));
      }
      return end < bytes.length ? { reason: 'length' } : { reason: 'stop', stopTokenId: 0 };
    } finally {
      this.ended++;
    }
  }

  async embed(tokens: readonly number[]): Promise<number[]> {
    return [tokens.length, 0.5];
  }

  canAccept(): boolean {
    return !this.full;
  }

  metrics(): EngineCoreMetrics {
    const empty = { bounds: [1], cumulative: [0], sum: 0, count: 0 };
    return {
      running: 0,
      waiting: 0,
      kvCacheUsageRatio: 0.25,
      prefixCacheQueriesTotal: 1,
      prefixCacheHitsTotal: 2,
      promptTokensTotal: 3,
      generationTokensTotal: 4,
      preemptionsTotal: 5,
      stepsTotal: 6,
      finishedTotal: { stop: 7, length: 8, abort: 9 },
      timeToFirstTokenSeconds: empty,
      interTokenLatencySeconds: empty,
      e2eRequestLatencySeconds: empty,
    };
  }

  async close(): Promise<void> {}
}
