/**
 * Static keys: the caller's key is hashed and looked up; the key itself is kept nowhere. Without configured keys everybody
 * is let in, which configuration allows on loopback only (or where it was asked for in so many words).
 */
import { hash } from 'node:crypto';
import { PlatformError } from '../../contract/errors.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';

export class KeyRing {
  readonly #nameByHash: ReadonlyMap<string, string>;

  constructor(keys: readonly { name: string; sha256: string }[]) {
    this.#nameByHash = new Map(keys.map(({ name, sha256 }) => [sha256, name]));
  }

  /** Name of the caller's key; null when no key is needed. Throws `invalid_api_key`. */
  authenticate(exchange: HttpExchange): string | null {
    if (this.#nameByHash.size === 0) return null;
    const key = presentedKey(exchange);
    if (key === null) {
      throw new PlatformError('invalid_api_key', 'no key was sent; send "Authorization: Bearer KEY"');
    }
    const name = this.#nameByHash.get(hash('sha256', key, 'hex'));
    if (name === undefined) throw new PlatformError('invalid_api_key', 'the key is not known');
    return name;
  }
}

function presentedKey({ headers }: HttpExchange): string | null {
  const bearer = /^bearer +(\S+)$/i.exec(headers.authorization ?? '');
  return bearer?.[1] ?? headers['x-api-key'] ?? null;
}
