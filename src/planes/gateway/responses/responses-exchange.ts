/**
 * The exchange of a request to the Responses API whose client waits: the request loop writes a chat answer into it, and the
 * client reads a response. The end is said when the response has been kept, or could not be.
 */
import { PlatformError } from '../../../contract/errors.ts';
import type { HttpExchange } from '../../../contract/ports/http-exchange.ts';
import { errorAnswerOf, openAiErrorFrom } from '../../../wire/openai/error-object.ts';
import {
  commentsIn,
  eventText,
  type ResponseEventOut,
  type ResponsesTranslator,
} from '../../../wire/responses/answer-translator.ts';
import { errorInResponsesWords } from '../../../wire/responses/error-words.ts';
import type { ResponseObject } from '../../../wire/responses/response-object.ts';
import { bytesOf, WrappedExchange } from '../wrapped-exchange.ts';

/** Never rejects; gives back the response as it is to be shown. */
export type KeepResponse = (response: ResponseObject) => Promise<ResponseObject>;

export class ResponsesExchange extends WrappedExchange {
  readonly #translator: ResponsesTranslator;
  readonly #keep: KeepResponse;
  #begun = false;

  constructor(inner: HttpExchange, translator: ResponsesTranslator, keep: KeepResponse) {
    super(inner);
    this.#translator = translator;
    this.#keep = keep;
  }

  override write(chunk: Uint8Array | string): boolean {
    const text = this.#textOf(bytesOf(chunk));
    return text === '' || this.inner.write(text);
  }

  override end(chunk?: Uint8Array | string): void {
    const text = this.#textOf(chunk === undefined ? Buffer.alloc(0) : bytesOf(chunk));
    const { events, response } = this.#translator.end();
    const before = text + textOf(events);
    if (before !== '') this.inner.write(before);
    void this.#keep(response).then((kept) => this.inner.end(eventText(this.#translator.last(kept))));
  }

  override send(status: number, headers: Record<string, string>, body: Uint8Array | string): void {
    if (status >= 400) {
      const error = errorInResponsesWords(Buffer.from(errorAnswerOf(status, bytesOf(body))));
      return this.inner.send(status, { ...headers, 'content-type': 'application/json' }, error);
    }
    const response = this.#translator.answer(bytesOf(body));
    if (response === null) return this.#sendBroken(headers);
    void this.#keep(response).then((kept) =>
      this.inner.send(status, { ...headers, 'content-type': 'application/json' }, JSON.stringify(kept)),
    );
  }

  #textOf(frames: Buffer): string {
    const first = this.#begun ? '' : textOf(this.#translator.begin());
    this.#begun = true;
    return first + commentsIn(frames) + textOf(this.#translator.events(frames));
  }

  #sendBroken(headers: Record<string, string>): void {
    const error = new PlatformError(
      'engine_failed',
      'the engine answered with something that is no chat answer',
    );
    this.inner.send(
      error.spec.status,
      { ...headers, 'content-type': 'application/json' },
      JSON.stringify(openAiErrorFrom(error)),
    );
  }
}

function textOf(events: readonly ResponseEventOut[]): string {
  return events.map(eventText).join('');
}
