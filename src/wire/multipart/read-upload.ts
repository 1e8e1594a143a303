/**
 * Reads a `multipart/form-data` body with one file and a few short fields, in any order. The file is handed on while it
 * arrives; nothing is kept but the fields. A body that ends early, or breaks the format, is an error, also when the file
 * itself had arrived: the caller keeps a file only when this has resolved.
 */
import { Busboy, type BusboyFileStream } from '@fastify/busboy';
import { PlatformError } from '../../contract/errors.ts';

export interface UploadedFile {
  /** What the client called it, without folders; never to be used as a path. */
  filename: string;
  mimeType: string;
  chunks: AsyncIterable<Buffer>;
}

export interface UploadRequest {
  contentType: string | undefined;
  body: AsyncIterable<Buffer>;
  /** Name of the field that holds the file. */
  fileField: string;
  /** Takes the whole file. When it rejects, so does the reading. */
  onFile(file: UploadedFile): Promise<void>;
}

/** The fields beside the file; a name that comes twice keeps its first value. */
export type UploadFields = ReadonlyMap<string, string>;

const FIELDS_MAX = 32;
const FIELD_BYTES_MAX = 65_536;
const NAME_CHARACTERS_MAX = 100;
const HEADER_PAIRS_MAX = 32;
const HEADER_BYTES_MAX = 8_192;
/** Read ahead of whoever takes the file. */
const FILE_BYTES_AHEAD = 65_536;
const FILENAME_CHARACTERS_MAX = 255;

/** Rejects with `invalid_request`, `unsupported_media_type`, or what `body` and `onFile` reject with. */
export async function readUpload(request: UploadRequest): Promise<UploadFields> {
  const parser = openParser(request.contentType);
  const fields = new Map<string, string>();
  /** Settles the reading early: nobody waits for the parser after that. */
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => {});
  const finished = new Promise<void>((resolve) => parser.on('finish', resolve));
  let taken: Promise<void> | null = null;

  parser.on('error', (error) => failure.reject(broken(error)));
  for (const limit of ['filesLimit', 'fieldsLimit', 'partsLimit'] as const) {
    parser.on(limit, () =>
      failure.reject(invalid('file', `more parts than one file and ${FIELDS_MAX} fields`)),
    );
  }
  parser.on('field', (name, value, nameCut, valueCut) => {
    if (typeof name !== 'string' || name === '' || nameCut || name.length > NAME_CHARACTERS_MAX) {
      failure.reject(invalid(null, 'a part without a name, or with a name that is too long'));
    } else if (valueCut) {
      failure.reject(invalid(name, `field ${name} has more than ${FIELD_BYTES_MAX} bytes`));
    } else if (!fields.has(name)) {
      fields.set(name, value);
    }
  });
  parser.on('file', (name, stream, filename, _encoding, mimeType) => {
    // An error that nobody hears would end the thread; the parser says it too.
    stream.on('error', () => {});
    if (name !== request.fileField) {
      stream.resume();
      failure.reject(invalid('file', `a file in field "${String(name).slice(0, 40)}"; expected "file"`));
      return;
    }
    const chunks = chunksOf(stream, failure.promise);
    taken = request.onFile({ filename: plainName(filename), mimeType, chunks });
    taken.catch(failure.reject);
  });

  try {
    for await (const chunk of request.body) {
      const written = new Promise<void>((resolve) => parser.write(chunk, () => resolve()));
      await Promise.race([written, failure.promise]);
    }
    parser.end();
    await Promise.race([finished, failure.promise]);
    if (taken === null) throw invalid('file', 'no file; send it as the part "file", with a filename');
    await Promise.race([taken, failure.promise]);
    return fields;
  } catch (error) {
    failure.reject(error);
    // Whoever takes the file has let go of it before the caller hears of the failure.
    await (taken as Promise<void> | null)?.catch(() => {});
    parser.removeAllListeners();
    parser.on('error', () => {});
    throw error;
  }
}

function openParser(contentType: string | undefined): InstanceType<typeof Busboy> {
  if (contentType === undefined || !/^multipart\/form-data\s*(;|$)/i.test(contentType)) {
    const found = contentType === undefined ? 'no Content-Type' : `"${contentType.slice(0, 60)}"`;
    throw new PlatformError(
      'unsupported_media_type',
      `found ${found}; files are sent as Content-Type "multipart/form-data"`,
    );
  }
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      fileHwm: FILE_BYTES_AHEAD,
      limits: {
        files: 1,
        fields: FIELDS_MAX,
        parts: FIELDS_MAX + 1,
        fieldSize: FIELD_BYTES_MAX,
        headerPairs: HEADER_PAIRS_MAX,
        headerSize: HEADER_BYTES_MAX,
      },
    });
  } catch (error) {
    throw broken(error);
  }
}

async function* chunksOf(stream: BusboyFileStream, failure: Promise<never>): AsyncGenerator<Buffer> {
  let ended = false;
  let wake: () => void = () => {};
  stream.on('readable', () => wake());
  stream.on('end', () => {
    ended = true;
    wake();
  });
  try {
    for (;;) {
      const chunk = stream.read() as Buffer | null;
      if (chunk !== null) {
        yield chunk;
        continue;
      }
      if (ended) return;
      const more = new Promise<void>((resolve) => {
        wake = resolve;
      });
      await Promise.race([more, failure]);
    }
  } finally {
    stream.resume();
  }
}

/** Folders, control characters and direction marks are left out, so that it can be shown anywhere. */
function plainName(filename: string | undefined): string {
  const last = (filename ?? '').split(/[/\\]/).at(-1) ?? '';
  const plain = last.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '').trim();
  return plain === '' || plain === '.' || plain === '..'
    ? 'file'
    : [...plain].slice(0, FILENAME_CHARACTERS_MAX).join('');
}

function broken(error: unknown): PlatformError {
  const detail = error instanceof Error ? error.message : String(error);
  return new PlatformError('invalid_request', `the body is not valid multipart/form-data: ${detail}`, {
    cause: error,
  });
}

function invalid(param: string | null, message: string): PlatformError {
  return new PlatformError('invalid_request', message, param === null ? {} : { param });
}
