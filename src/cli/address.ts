/** Addresses that a person typed: an origin of http or https, or a message that says what one looks like. */
import { PlatformError } from '../contract/errors.ts';

/** `option` is named in the message. A path of `/v1` is taken off; any other is refused. */
export function readAddress(option: string, text: string): string {
  // Without its `//`, "localhost:8080" would be a URL of the scheme "localhost".
  const url = /^https?:\/\//i.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) {
    throw new PlatformError(
      'invalid_request',
      `${option}: found "${text}", which is not an address such as http://127.0.0.1:8080`,
    );
  }
  const rest = `${url.pathname}${url.search}${url.hash}`;
  if (url.username || url.password || !/^\/(v1\/?)?$/.test(rest)) {
    throw new PlatformError(
      'invalid_request',
      `${option}: found more than host and port in the address; would be right: ${url.origin}`,
    );
  }
  return url.origin;
}
