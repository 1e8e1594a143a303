/**
 * Answers of the OpenAI dialect, whole or streamed, success or error, in the vendor's shapes. One instance per request;
 * a translated exchange of the gateway holds it.
 */
import { PlatformError } from '../../contract/errors.ts';
import { readChatAnswer } from '../canonical/chat-answer.ts';
import { readStream } from '../canonical/chat-stream.ts';
import { type AnswerContext, translateAnswer } from './answer.ts';
import { errorAnswerFrom, translateErrorAnswer } from './error-object.ts';
import { MessageStream } from './stream.ts';

export class AnthropicTranslator {
  readonly #context: AnswerContext;
  readonly #stream: MessageStream;
  #failure: PlatformError | null = null;

  constructor(context: AnswerContext) {
    this.#context = context;
    this.#stream = new MessageStream(context);
  }

  /** Set when what the engine answered could not be said in this dialect, and the client was told so. */
  get failure(): PlatformError | null {
    return this.#failure ?? this.#stream.failure;
  }

  answer(status: number, body: Buffer): { status: number; body: string; headers: Record<string, string> } {
    const { requestId } = this.#context;
    if (status >= 400) return rendered(translateErrorAnswer(status, body, requestId));
    try {
      return { status, body: JSON.stringify(translateAnswer(parse(body), this.#context)), headers: {} };
    } catch (thrown) {
      this.#failure = PlatformError.from(thrown);
      return rendered(errorAnswerFrom(this.#failure, requestId));
    }
  }

  events(frames: Buffer): string {
    return this.#stream.push(readStream(frames));
  }

  end(): string {
    return this.#stream.end();
  }
}

function rendered({ status, body, headers }: ReturnType<typeof errorAnswerFrom>) {
  return { status, body: JSON.stringify(body), headers };
}

function parse(body: Buffer): NonNullable<ReturnType<typeof readChatAnswer>> {
  let json: unknown;
  try {
    json = JSON.parse(body.toString('utf8'));
  } catch {
    json = null;
  }
  const answer = readChatAnswer(json);
  if (answer === null)
    throw new PlatformError('engine_failed', 'the engine answered with no chat completion');
  return answer;
}
