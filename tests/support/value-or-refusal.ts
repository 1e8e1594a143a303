/** For properties of readers: whatever a client sends gives a value or an error that says what the client did wrong. */
import { PlatformError } from '../../src/contract/errors.ts';

export type ValueOrRefusal<T> = { value: T } | { refusal: PlatformError };

/** Throws on whatever else `read` throws: that is what the property is about. */
export function valueOrRefusal<T>(read: () => T): ValueOrRefusal<T> {
  try {
    return { value: read() };
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error;
    const { status, fault } = error.spec;
    if (fault !== 'caller' || status < 400 || status > 499)
      throw new Error(`refused as ${error.code} (${status}, by fault of ${fault})`, { cause: error });
    return { refusal: error };
  }
}
