/** One static key in front of an engine, compared in constant time. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { PlatformError } from '../../contract/errors.ts';

const digest = (text: string) => createHash('sha256').update(text).digest();

/** Throws `invalid_api_key` unless the headers carry `Authorization: Bearer KEY` with this key. */
export function checkBearer(headers: Readonly<Record<string, string | undefined>>, key: string): void {
  const found = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
  if (found !== undefined && timingSafeEqual(digest(found), digest(key))) return;
  throw new PlatformError(
    'invalid_api_key',
    found === undefined
      ? 'no key; expected Authorization: Bearer KEY'
      : 'the key is not the one of this engine',
  );
}
