/** Ids that nobody can guess: a prefix and 24 characters of base 62, about 142 bits. */
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const CHARACTERS = 24;
/** The largest multiple of 62 that a byte holds: bytes from there on would favour the first letters. */
const FAIR_MAX = 248;

export function opaqueId(prefix: string): string {
  let id = prefix;
  while (id.length < prefix.length + CHARACTERS) {
    for (const byte of crypto.getRandomValues(new Uint8Array(CHARACTERS))) {
      if (byte < FAIR_MAX && id.length < prefix.length + CHARACTERS) id += ALPHABET[byte % 62];
    }
  }
  return id;
}
