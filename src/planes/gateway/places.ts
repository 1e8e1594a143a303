/** So many at once of what holds memory, a connection or the database for long; whoever comes beyond them is refused at once. */
import { PlatformError } from '../../contract/errors.ts';

export class Places {
  readonly #max: number;
  readonly #what: string;
  readonly #retryAfterS: number;
  #taken = 0;

  /** @param what who has all the places, such as "uploads are under way". */
  constructor(max: number, what: string, { retryAfterS }: { retryAfterS: number }) {
    this.#max = max;
    this.#what = what;
    this.#retryAfterS = retryAfterS;
  }

  /** Given back when it is disposed of. Throws `saturated`. */
  take(): Disposable {
    if (this.#taken >= this.#max) {
      const message = `${this.#max} ${this.#what} already; try again in a moment`;
      throw new PlatformError('saturated', message, { retryAfterS: this.#retryAfterS });
    }
    this.#taken++;
    return { [Symbol.dispose]: () => void this.#taken-- };
  }
}
