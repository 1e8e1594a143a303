/**
 * An exchange with a client that speaks another dialect than engines do. The request loop writes the OpenAI dialect into it
 * as into any exchange, continuation and errors included; what the client reads is the translation. The body that the loop
 * is given is translated before, by the API.
 */
import type { HttpExchange } from '../../../contract/ports/http-exchange.ts';
import { bytesOf, WrappedExchange } from '../wrapped-exchange.ts';

/** Turns an answer of the OpenAI dialect into the client's. One per request; called in order, `end` once, last. */
export interface AnswerTranslator {
  /** A whole answer, success or OpenAI error object. May change the status and add headers. */
  answer(status: number, body: Buffer): { status: number; body: string; headers?: Record<string, string> };
  /** Whole events of a stream: chunks, comments, an error, `[DONE]`. Empty when the client is to be told nothing yet. */
  events(frames: Buffer): string;
  /** What is still to be said when the stream has ended. */
  end(): string;
}

const JSON_TYPE = { 'content-type': 'application/json' };

export class TranslatedExchange extends WrappedExchange {
  readonly #translator: AnswerTranslator;
  /** Called when the answer is known, before its end reaches the client. */
  readonly #beforeEnd: () => void;
  /** More headers for every answer. */
  readonly #headers: Readonly<Record<string, string>>;
  /** Status and bytes as the client got them; 0 before there was an answer. */
  status = 0;
  bytesOut = 0;

  constructor(
    inner: HttpExchange,
    translator: AnswerTranslator,
    headers: Readonly<Record<string, string>> = {},
    beforeEnd: () => void = () => {},
  ) {
    super(inner);
    this.#translator = translator;
    this.#headers = headers;
    this.#beforeEnd = beforeEnd;
  }

  override sendHead(status: number, headers: Record<string, string>): void {
    this.status = status;
    this.inner.sendHead(status, { ...headers, ...this.#headers });
  }

  override write(chunk: Uint8Array | string): boolean {
    const text = this.#translator.events(bytesOf(chunk));
    this.bytesOut += text.length;
    return text === '' ? true : this.inner.write(text);
  }

  override end(chunk?: Uint8Array | string): void {
    const last = chunk === undefined ? '' : this.#translator.events(bytesOf(chunk));
    const text = last + this.#translator.end();
    this.bytesOut += text.length;
    this.#beforeEnd();
    this.inner.end(text);
  }

  override send(status: number, headers: Record<string, string>, body: Uint8Array | string): void {
    const translated = this.#translator.answer(status, bytesOf(body));
    this.status = translated.status;
    this.bytesOut += translated.body.length;
    this.#beforeEnd();
    this.inner.send(
      translated.status,
      { ...headers, ...JSON_TYPE, ...translated.headers, ...this.#headers },
      translated.body,
    );
  }
}
