/**
 * Static keys: the caller's key is hashed and looked up; the key itself is kept nowhere. Without configured keys everybody
 * is let in, which configuration allows on loopback only (or where it was asked for in so many words).
 */
import { hash } from 'node:crypto';
import { PlatformError } from '../../contract/errors.ts';
import { FILLER_OWNER_HEADER } from '../../contract/filler.ts';
import type { GatewaySettings, KeySettings } from '../../contract/gateway-snapshot.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';

/** Whether everybody who can reach the gateway is on this machine and needs no key: such callers may read reasons. */
export function servesThisMachineOnly({ keys, host }: Pick<GatewaySettings, 'keys' | 'host'>): boolean {
  return keys.length === 0 && LOOPBACK_HOST.test(host);
}

export class KeyRing {
  readonly #byHash: ReadonlyMap<string, KeySettings>;
  readonly #loopbackOnly: boolean;

  /** @param host the address that the gateway listens on. */
  constructor(keys: readonly KeySettings[], host: string) {
    this.#byHash = new Map(keys.map((key) => [key.sha256, key]));
    this.#loopbackOnly = LOOPBACK_HOST.test(host);
  }

  /** The caller's key; null when no key is needed. Throws `invalid_api_key`, or `forbidden` for foreign web pages. */
  authenticate(exchange: HttpExchange): KeySettings | null {
    if (this.#byHash.size === 0) {
      if (this.#loopbackOnly) refuseForeignPages(exchange);
      return null;
    }
    const key = presentedKey(exchange);
    if (key === null) {
      throw new PlatformError('invalid_api_key', 'no key was sent; send "Authorization: Bearer KEY"');
    }
    const known = this.#byHash.get(hash('sha256', key, 'hex'));
    if (known === undefined) throw new PlatformError('invalid_api_key', 'the key is not known');
    return known;
  }
}

/**
 * Name of the key in whose name the runner of batches asks; null where no key is needed. Throws `invalid_api_key` for
 * everybody else (a key that is not known is never taken for that of a client), and `invalid_request` for a broken name.
 */
export function fillerOwner(
  { headers }: HttpExchange,
  key: string,
  knownSha256: string | null,
): string | null {
  if (knownSha256 === null || hash('sha256', key, 'hex') !== knownSha256)
    throw new PlatformError('invalid_api_key', 'the key of the batch runner is not known');
  const owner = headers[FILLER_OWNER_HEADER];
  if (owner === undefined || owner === '') return null;
  try {
    return decodeURIComponent(owner);
  } catch (error) {
    const message = `the header ${FILLER_OWNER_HEADER} is not percent-encoded UTF-8`;
    throw new PlatformError('invalid_request', message, { cause: error });
  }
}

const LOOPBACK_HOST = /^(localhost|127\.\d+\.\d+\.\d+|::1|\[::1\])$/i;

/** Without keys, any web page that a user of this machine visits could use the models through their browser. */
function refuseForeignPages({ headers: { origin } }: HttpExchange): void {
  if (origin === undefined) return;
  const host = URL.canParse(origin) ? new URL(origin).hostname : '';
  if (LOOPBACK_HOST.test(host)) return;
  throw new PlatformError(
    'forbidden',
    `the page at "${origin.slice(0, 100)}" may not use this gateway without a key; configure gateway.keys to let it in`,
  );
}

function presentedKey({ headers }: HttpExchange): string | null {
  const bearer = /^bearer +(\S+)$/i.exec(headers.authorization ?? '');
  return bearer?.[1] ?? headers['x-api-key'] ?? null;
}
