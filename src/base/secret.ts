/**
 * A value that must not reach a log, an error message or a terminal by accident: however it is printed, it reads `[secret]`.
 * `reveal` is the one way to the text, so that its uses can be found by searching for one word.
 */
const inspectSymbol = Symbol.for('nodejs.util.inspect.custom');

export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspectSymbol](): string {
    return '[secret]';
  }
}
