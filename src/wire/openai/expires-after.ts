/** `expires_after` and `output_expires_after`: how long a file is kept. */
import { PlatformError } from '../../contract/errors.ts';
import { isRecord, showFound } from '../json/parse-object.ts';

const SECONDS_MIN = 3_600;
const SECONDS_MAX = 2_592_000;

/** Milliseconds. Throws `invalid_request`. */
export function expiryFrom(value: unknown, param: string): number {
  if (!isRecord(value)) throw wrong(param, value, 'an object with anchor and seconds');
  const { anchor, seconds } = value;
  if (anchor !== 'created_at') throw wrong(`${param}.anchor`, anchor, '"created_at"');
  if (!Number.isInteger(seconds) || (seconds as number) < SECONDS_MIN || (seconds as number) > SECONDS_MAX) {
    throw wrong(`${param}.seconds`, seconds, `a whole number from ${SECONDS_MIN} to ${SECONDS_MAX}`);
  }
  return (seconds as number) * 1000;
}

function wrong(param: string, found: unknown, right: string): PlatformError {
  return new PlatformError('invalid_request', `${param}: found ${showFound(found)}; expected ${right}`, {
    param,
  });
}
