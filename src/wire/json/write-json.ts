/** JSON text of what a client sent. The parser takes any depth of nesting, the writer does not. */
import { PlatformError } from '../../contract/errors.ts';

/** Throws PlatformError `invalid_request` for values that are nested too deeply to be written; `param` names them. */
export function writeJson(param: string, value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (thrown) {
    if (!(thrown instanceof RangeError)) throw thrown;
    throw new PlatformError('invalid_request', `${param}: nested too deeply`, { param });
  }
}
