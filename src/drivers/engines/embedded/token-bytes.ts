/**
 * The bytes of each token, so that text can be put together byte by byte: the native library only gives text, in which the
 * parts of a split character are lost. Pure, from the vocabulary in the model file; used by core.ts.
 */
export interface Vocabulary {
  /** `tokenizer.ggml.model`: "gpt2" is byte-level BPE, "llama" is SentencePiece. */
  kind: string;
  tokens: readonly string[];
  /** `tokenizer.ggml.token_type`; see TOKEN_TYPE. */
  types: readonly number[] | undefined;
}

/** GGUF token types. */
const TOKEN_TYPE = { unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

const NOTHING = new Uint8Array(0);

/**
 * @param fallback text of a token in vocabularies of other kinds; it loses parts of split characters.
 */
export function createTokenBytes(
  vocabulary: Vocabulary,
  fallback: (id: number) => string,
): (id: number) => Uint8Array {
  const known = new Map<number, Uint8Array>();
  return (id) => {
    let bytes = known.get(id);
    if (bytes === undefined) {
      bytes = bytesOf(vocabulary, id, fallback);
      known.set(id, bytes);
    }
    return bytes;
  };
}

function bytesOf(vocabulary: Vocabulary, id: number, fallback: (id: number) => string): Uint8Array {
  const text = vocabulary.tokens[id];
  if (text === undefined)
    throw new RangeError(`token id ${id} is outside the vocabulary of ${vocabulary.tokens.length}`);
  const type = vocabulary.types?.[id];
  if (type === TOKEN_TYPE.control || type === TOKEN_TYPE.unknown || type === TOKEN_TYPE.unused)
    return NOTHING;
  if (type === TOKEN_TYPE.userDefined) return Buffer.from(text);
  if (vocabulary.kind === 'gpt2') return byteLevelBytes(text);
  if (vocabulary.kind === 'llama') return sentencePieceBytes(text, type);
  return Buffer.from(fallback(id));
}

function sentencePieceBytes(text: string, type: number | undefined): Uint8Array {
  const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(text)?.[1];
  if (byte !== undefined && (type === TOKEN_TYPE.byte || type === undefined)) {
    return Uint8Array.of(Number.parseInt(byte, 16));
  }
  return Buffer.from(text.replaceAll('\u2581', ' '));
}

/** Byte-level BPE writes each byte as a printable character; this is the way back. */
const BYTE_OF_CHARACTER = new Map(printableBytes());

function byteLevelBytes(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    const byte = BYTE_OF_CHARACTER.get(character);
    if (byte === undefined) return Buffer.from(text);
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

/** The table of GPT-2: printable Latin-1 stands for itself, the rest follows from U+0100 on, in order. */
function printableBytes(): [string, number][] {
  const table: [string, number][] = [];
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte < 256 && byte !== 173);
    table.push([String.fromCodePoint(printable ? byte : next++), byte]);
  }
  return table;
}
