import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyText } from '../../../tests/support/hostile-json.ts';
import { mustBeRefusal, mustEqual } from '../../../tests/support/must.ts';
import { readUpload, type UploadedFile } from './read-upload.ts';

const BOUNDARY = 'xX-boundary-Xx';
const TYPE = `multipart/form-data; boundary=${BOUNDARY}`;

interface Part {
  name: string;
  filename?: string;
  bytes: Uint8Array | string;
}

function form(parts: Part[], end = `--${BOUNDARY}--\r\n`): Buffer {
  const pieces = parts.flatMap(({ name, filename, bytes }) => [
    `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"${filename === undefined ? '' : `; filename="${filename}"`}\r\n\r\n`,
    bytes,
    '\r\n',
  ]);
  return Buffer.concat([...pieces, end].map((piece) => Buffer.from(piece as string)));
}

async function* cut(body: Buffer, places: readonly number[]): AsyncGenerator<Buffer> {
  const cuts = [...new Set(places.map((place) => place % (body.length + 1)))].sort((a, b) => a - b);
  for (const [index, from] of [0, ...cuts].entries()) {
    const piece = body.subarray(from, cuts[index] ?? body.length);
    if (piece.length > 0) yield piece;
  }
}

async function read(body: Buffer, cuts: number[] = [], contentType: string | undefined = TYPE) {
  const taken: { name: string; bytes: Buffer }[] = [];
  const onFile = async ({ filename, chunks }: UploadedFile) => {
    const pieces: Buffer[] = [];
    for await (const chunk of chunks) pieces.push(chunk);
    taken.push({ name: filename, bytes: Buffer.concat(pieces) });
  };
  const fields = await readUpload({ contentType, body: cut(body, cuts), fileField: 'file', onFile });
  return { fields, file: taken[0] };
}

describe('readUpload', () => {
  it('gives file and fields back as they were, in any order and any chunking (10,000 cases)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 80 }),
        anyText(10),
        fc.array(fc.nat(400), { maxLength: 4 }),
        fc.boolean(),
        async (bytes, value, cuts, fileFirst) => {
          const parts: Part[] = [
            { name: 'file', filename: 'a.jsonl', bytes },
            { name: 'purpose', bytes: value },
          ];
          const { fields, file } = await read(form(fileFirst ? parts : parts.reverse()), cuts);
          mustEqual(file?.bytes.equals(bytes), true);
          mustEqual(fields.get('purpose'), value);
        },
      ),
      { numRuns: 10_000 },
    );
  });

  it('never hangs and never gives half a file for whole: a cut body is refused (10,000 cases)', async () => {
    const body = form([
      { name: 'purpose', bytes: 'batch' },
      { name: 'file', filename: 'a', bytes: 'x'.repeat(200) },
    ]);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(body.length - 5),
        fc.array(fc.nat(400), { maxLength: 3 }),
        async (length, cuts) => {
          await read(body.subarray(0, length), cuts).then(
            () => expect.fail('a body that was cut is taken'),
            (error) => mustBeRefusal(error, 'invalid_request'),
          );
        },
      ),
      { numRuns: 10_000 },
    );
  });

  it('answers any bytes with an error or with what they hold (10,000 cases)', async () => {
    const tokens = fc.constantFrom(
      `--${BOUNDARY}`,
      '\r\n',
      '--',
      'content-disposition: form-data; name="file"; filename="x"\r\n',
      'content-disposition: form-data; name="purpose"\r\n',
      'content-type: application/octet-stream\r\n',
      'x',
      '\u0000',
      'é',
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(tokens, { maxLength: 14 }),
        fc.array(fc.nat(400), { maxLength: 4 }),
        async (parts, cuts) => {
          await read(Buffer.from(parts.join('')), cuts).then(
            ({ file }) => mustEqual(file !== undefined, true),
            (error) => mustBeRefusal(error, 'invalid_request'),
          );
        },
      ),
      { numRuns: 10_000 },
    );
  });

  it.each([
    ['../../etc/passwd', 'passwd'],
    ['C:\\\\temp\\\\input.jsonl', 'input.jsonl'],
    ['..', 'file'],
    ['a\u202Egnp.exe', 'agnp.exe'],
    [`${'x'.repeat(400)}.jsonl`, 'x'.repeat(255)],
  ])('takes no folder from the name %s', async (filename, expected) => {
    const { file } = await read(form([{ name: 'file', filename, bytes: 'x' }]));
    expect(file?.name).toBe(expected);
  });

  it.each([
    ['no Content-Type', undefined, 'unsupported_media_type'],
    ['JSON', 'application/json', 'unsupported_media_type'],
    ['no boundary', 'multipart/form-data', 'invalid_request'],
    ['another boundary', 'multipart/form-data; boundary=other', 'invalid_request'],
  ])('refuses a body with %s', async (_name, contentType, code) => {
    const body = form([{ name: 'file', filename: 'a', bytes: 'x' }]);
    const reading = readUpload({ contentType, body: cut(body, []), fileField: 'file', onFile: drain });
    await expect(reading).rejects.toMatchObject({ code });
  });

  it.each([
    ['no file', [{ name: 'purpose', bytes: 'batch' }]],
    ['a file that is only a field', [{ name: 'file', bytes: 'x' }]],
    ['a file under another name', [{ name: 'document', filename: 'a', bytes: 'x' }]],
    [
      'two files',
      [
        { name: 'file', filename: 'a', bytes: 'x' },
        { name: 'file', filename: 'b', bytes: 'y' },
      ],
    ],
    ['too many fields', Array.from({ length: 40 }, (_, i) => ({ name: `f${i}`, bytes: 'x' }))],
    ['a field that is too large', [{ name: 'purpose', bytes: 'x'.repeat(70_000) }]],
  ] as [string, Part[]][])('refuses %s', async (_name, parts) => {
    await expect(read(form(parts))).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('stops reading when the file cannot be taken, and says why', async () => {
    let sent = 0;
    async function* endless() {
      yield form([{ name: 'file', filename: 'a', bytes: '' }], '').subarray(0, -2);
      for (;;) {
        sent += 65_536;
        yield Buffer.alloc(65_536);
      }
    }
    const onFile = async ({ chunks }: UploadedFile) => {
      let size = 0;
      for await (const chunk of chunks) {
        size += chunk.length;
        if (size > 1_000_000) throw new Error('disk full');
      }
    };
    const reading = readUpload({ contentType: TYPE, body: endless(), fileField: 'file', onFile });
    await expect(reading).rejects.toThrow('disk full');
    expect(sent).toBeLessThan(2_000_000);
  });

  it('does not read ahead of whoever takes the file', async () => {
    let sent = 0;
    async function* large() {
      yield form([{ name: 'file', filename: 'a', bytes: '' }], '').subarray(0, -2);
      for (let turn = 0; turn < 100; turn++) {
        sent += 65_536;
        yield Buffer.alloc(65_536, 'x');
      }
      yield Buffer.from(`\r\n--${BOUNDARY}--\r\n`);
    }
    const gate = Promise.withResolvers<void>();
    const onFile = async (file: UploadedFile) => {
      await gate.promise;
      await drain(file);
    };
    const reading = readUpload({ contentType: TYPE, body: large(), fileField: 'file', onFile });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(sent).toBeLessThan(500_000);
    gate.resolve();
    await reading;
  });
});

async function drain({ chunks }: UploadedFile): Promise<void> {
  for await (const _ of chunks);
}
