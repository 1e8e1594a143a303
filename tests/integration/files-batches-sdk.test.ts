/**
 * Files and batches as the `openai` package uses them, against the whole system on simulated engines, and what hostile clients
 * send instead.
 */
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  chatLine,
  chatLines,
  readOutput,
  startBatch,
  untilBatch,
  untilOver,
  uploadInput,
} from '../support/batch-client.ts';
import { type SystemUnderTest, simulatorPool, startSystem } from '../support/system-under-test.ts';

let system: SystemUnderTest;
/** Two keys: what one owns, the other must not see. */
let client: OpenAI;
let other: OpenAI;
const KEYS = { mine: 'sk-mine-0123456789', yours: 'sk-yours-0123456789' };

beforeAll(async () => {
  system = await startSystem({
    gateway: {
      workers: 2,
      body_bytes_max: 20_000,
      keys: [
        { name: 'mine', key: KEYS.mine },
        { name: 'yours', key: KEYS.yours },
      ],
    },
    files: { file_bytes_max: 3_000_000, total_bytes_max: 12_000_000 },
    batches: { lines_max: 500 },
    models: [simulatorPool('sim', 2, ['--step-ms', '2'])],
  });
  const connectAs = (apiKey: string) => new OpenAI({ baseURL: system.v1(), apiKey, maxRetries: 0 });
  client = connectAs(KEYS.mine);
  other = connectAs(KEYS.yours);
});

afterAll(() => system?.stop());

async function errorOf(promise: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  return promise.then(
    () => {
      throw new Error('expected an error');
    },
    (thrown) => thrown as InstanceType<typeof OpenAI.APIError>,
  );
}

/** Names in the folder of files. */
const onDisk = () => readdirSync(join(system.stateDir, 'files'));

describe('files', () => {
  it('are created, read, listed, downloaded byte for byte, and deleted', async () => {
    const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, i) => i % 251));
    const file = await client.files.create({ file: await toFile(bytes, 'data.bin'), purpose: 'user_data' });
    expect(file).toMatchObject({
      object: 'file',
      bytes: bytes.length,
      filename: 'data.bin',
      purpose: 'user_data',
      status: 'processed',
    });
    expect(file.id).toMatch(/^file-[A-Za-z0-9]{24}$/);
    expect(Math.abs(file.created_at - Date.now() / 1000)).toBeLessThan(60);
    expect(await client.files.retrieve(file.id)).toEqual(file);
    const answer = await client.files.content(file.id);
    expect(Buffer.from(await answer.arrayBuffer()).equals(bytes)).toBe(true);
    expect(answer.headers.get('content-length')).toBe(String(bytes.length));
    expect(await client.files.delete(file.id)).toEqual({ id: file.id, object: 'file', deleted: true });
    expect(await errorOf(client.files.retrieve(file.id))).toBeInstanceOf(OpenAI.NotFoundError);
    expect(await errorOf(client.files.content(file.id))).toBeInstanceOf(OpenAI.NotFoundError);
    expect(await errorOf(client.files.delete(file.id))).toBeInstanceOf(OpenAI.NotFoundError);
    expect(onDisk()).not.toContain(file.id);
  });

  it('are processed at once, so that waitForProcessing returns', async () => {
    const id = await uploadInput(client, '{}\n');
    expect((await client.files.waitForProcessing(id)).id).toBe(id);
  });

  it('expire when the upload says so; files for batches expire in any case', async () => {
    const file = await toFile(Buffer.from('x'), 'x.txt');
    const hour = await client.files.create({
      file,
      purpose: 'user_data',
      expires_after: { anchor: 'created_at', seconds: 3_600 },
    });
    expect((hour.expires_at ?? 0) - hour.created_at).toBe(3_600);
    expect((await client.files.create({ file, purpose: 'user_data' })).expires_at).toBeUndefined();
    const batch = await client.files.create({ file, purpose: 'batch' });
    expect((batch.expires_at ?? 0) - batch.created_at).toBe(30 * 86_400);
    const short = client.files.create({
      file,
      purpose: 'user_data',
      expires_after: { anchor: 'created_at', seconds: 5 },
    });
    expect(await errorOf(short)).toMatchObject({ status: 400, param: 'expires_after.seconds' });
  });

  it('are listed by purpose, in either order, over pages that the helper walks', async () => {
    const made: string[] = [];
    for (let n = 0; n < 5; n++) {
      const file = await toFile(Buffer.from(`${n}`), `${n}.txt`);
      made.push((await client.files.create({ file, purpose: 'evals' })).id);
    }
    const walk = async (order: 'asc' | 'desc') => {
      const ids: string[] = [];
      for await (const file of client.files.list({ purpose: 'evals', limit: 2, order })) ids.push(file.id);
      return ids;
    };
    expect(await walk('asc')).toEqual(made);
    expect(await walk('desc')).toEqual(made.toReversed());
    const page = await client.files.list({ purpose: 'evals', limit: 2, order: 'asc' });
    expect(page.has_more).toBe(true);
    expect(page.data).toHaveLength(2);
    const last = await client.files.list({ purpose: 'evals', limit: 5, order: 'asc' });
    expect(last.has_more).toBe(false);
  });

  it.each([
    [{ limit: 0 }, 'limit'],
    [{ limit: 10_001 }, 'limit'],
    [{ order: 'up' as 'asc' }, 'order'],
    [{ after: 'file-nothing' }, 'after'],
  ])('refuse the query %j', async (query, param) => {
    expect(await errorOf(client.files.list(query))).toMatchObject({ status: 400, param });
  });

  it('belong to the key that made them', async () => {
    const id = await uploadInput(client, '{}\n');
    const attempts = [other.files.retrieve(id), other.files.content(id), other.files.delete(id)];
    for (const error of await Promise.all(attempts.map(errorOf))) expect(error.status).toBe(404);
    const listed: string[] = [];
    for await (const file of other.files.list()) listed.push(file.id);
    expect(listed).not.toContain(id);
    const batch = other.batches.create({
      input_file_id: id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    });
    expect(await errorOf(batch)).toMatchObject({ status: 404, param: 'input_file_id' });
    expect((await client.files.retrieve(id)).id).toBe(id);
  });

  it('refuse a purpose that nobody knows, an empty file, one that is too large, and one that finds no room', async () => {
    const before = onDisk().length;
    const upload = async (bytes: Uint8Array, purpose = 'batch') =>
      client.files.create({ file: await toFile(bytes, 'x.jsonl'), purpose: purpose as 'batch' });
    expect(await errorOf(upload(Buffer.from('x'), 'world-peace'))).toMatchObject({
      status: 400,
      param: 'purpose',
    });
    expect(await errorOf(upload(Buffer.alloc(0)))).toMatchObject({ status: 400, param: 'file' });
    expect(await errorOf(upload(Buffer.alloc(3_000_001)))).toMatchObject({
      status: 413,
      code: 'body_too_large',
    });
    const kept: string[] = [];
    for (let n = 0; n < 3; n++) kept.push((await upload(Buffer.alloc(3_000_000))).id);
    expect(await errorOf(upload(Buffer.alloc(3_000_000)))).toMatchObject({
      status: 507,
      code: 'storage_full',
    });
    expect(onDisk().length).toBe(before + 3);
    for (const id of kept) await client.files.delete(id);
    expect((await upload(Buffer.alloc(3_000_000))).bytes).toBe(3_000_000);
  });

  it('are named without folders, and lie where their names cannot lead', async () => {
    const file = await client.files.create({
      file: await toFile(Buffer.from('x'), '../../../../tmp/evil.jsonl'),
      purpose: 'batch',
    });
    expect(file.filename).toBe('evil.jsonl');
    for (const id of ['..%2f..%2fstate.db', '.staged-1', '%2e%2e', 'file-%00']) {
      const answer = await fetch(`${system.v1()}/files/${id}/content`, {
        headers: { authorization: `Bearer ${KEYS.mine}` },
      });
      expect([400, 404]).toContain(answer.status);
    }
  });

  it('need a key where keys are configured', async () => {
    const stranger = new OpenAI({ baseURL: system.v1(), apiKey: 'sk-unknown-000', maxRetries: 0 });
    expect(await errorOf(stranger.files.list())).toBeInstanceOf(OpenAI.AuthenticationError);
    const forged = await fetch(`${system.v1()}/batches`, { headers: { 'x-autoglm-filler-key': 'guess' } });
    expect(forged.status).toBe(401);
  });
});

describe('uploads that are broken', () => {
  const raw = (head: string, parts: (string | Buffer)[], end: 'keep' | 'half-close' | 'cut' = 'keep') =>
    new Promise<{ status: number; text: string }>((resolve) => {
      const { port } = new URL(system.url());
      const socket = connect(Number(port), '127.0.0.1');
      let text = '';
      const done = () => resolve({ status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0), text });
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1');
        if (text.includes('\r\n\r\n')) socket.destroy();
      });
      socket.on('error', () => {});
      socket.on('close', done);
      socket.write(
        `POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEYS.mine}\r\n${head}\r\n\r\n`,
      );
      for (const part of parts) socket.write(part);
      if (end === 'half-close') socket.end();
      if (end === 'cut') setTimeout(() => socket.destroy(), 100);
    });
  const FORM = 'Content-Type: multipart/form-data; boundary=b';
  const PART = '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n';

  it.each([
    ['no multipart at all', 'Content-Type: application/json\r\nContent-Length: 2', ['{}'], 415],
    ['no boundary', 'Content-Type: multipart/form-data\r\nContent-Length: 2', ['{}'], 400],
    ['a body without parts', `${FORM}\r\nContent-Length: 5`, ['hello'], 400],
    ['a part that does not end', `${FORM}\r\nContent-Length: ${PART.length + 4}`, [PART, 'text'], 400],
    ['no bytes', `${FORM}\r\nContent-Length: 0`, [], 400],
    ['a gigabyte that is only announced', `${FORM}\r\nContent-Length: 1000000000`, [], 413],
    ['compressed bytes', `${FORM}\r\nContent-Encoding: gzip\r\nContent-Length: 2`, ['xx'], 415],
    ['broken chunks', `${FORM}\r\nTransfer-Encoding: chunked`, ['5\r\nhello\r\nzz\r\n'], 400],
  ])('%s: a clear refusal, and nothing stays', async (_name, head, parts, status) => {
    const before = onDisk().length;
    const answer = await raw(head, parts);
    expect(answer.status).toBe(status);
    expect(answer.text).toContain('"error"');
    expect(onDisk().length).toBe(before);
  });

  it('an endless body is refused at the limit, and the client can read that', async () => {
    const before = onDisk().length;
    const piece = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(0x10000, 'x'), Buffer.from('\r\n')]);
    const first = Buffer.from(`${PART.length.toString(16)}\r\n${PART}\r\n`);
    const answer = await raw(`${FORM}\r\nTransfer-Encoding: chunked`, [first, ...Array(100).fill(piece)]);
    expect(answer.status).toBe(413);
    expect(onDisk().length).toBe(before);
  });

  it.each([
    'half-close',
    'cut',
  ] as const)('a client that goes in the middle (%s) leaves nothing', async (end) => {
    const before = onDisk().length;
    await raw(`${FORM}\r\nContent-Length: 1000000`, [PART, Buffer.alloc(300_000)], end);
    const endMs = performance.now() + 5_000;
    while (onDisk().length > before && performance.now() < endMs)
      await new Promise((go) => setTimeout(go, 20));
    expect(onDisk().length).toBe(before);
  });
});

describe('batches', () => {
  it('answer every line of a file, each under its custom_id', async () => {
    const created = await startBatch(client, chatLines(40));
    expect(created).toMatchObject({
      object: 'batch',
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      status: 'validating',
      request_counts: { total: 0, completed: 0, failed: 0 },
    });
    expect(created.id).toMatch(/^batch_[A-Za-z0-9]{24}$/);
    const batch = await untilOver(client, created.id);
    expect(batch).toMatchObject({
      status: 'completed',
      request_counts: { total: 40, completed: 40, failed: 0 },
    });
    expect(batch.error_file_id ?? null).toBeNull();
    for (const time of [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at])
      expect(time).toBeTypeOf('number');
    expect((batch.expires_at ?? 0) - batch.created_at).toBe(86_400);
    const lines = await readOutput(client, batch.output_file_id);
    expect(lines.map(({ custom_id }) => custom_id).sort()).toEqual(
      Array.from({ length: 40 }, (_, n) => `line-${n}`).sort(),
    );
    for (const line of lines) {
      expect(line.id).toMatch(/^batch_req_/);
      expect(line.error).toBeNull();
      expect(line.response?.status_code).toBe(200);
      expect(line.response?.request_id).toBeTruthy();
      expect(line.response?.body).toMatchObject({ object: 'chat.completion' });
    }
    const file = await client.files.retrieve(batch.output_file_id ?? '');
    expect(file).toMatchObject({ purpose: 'batch_output', filename: `${batch.id}_output.jsonl` });
  });

  it('give the answer that the same request gets outside of a batch', async () => {
    const batch = await untilOver(client, (await startBatch(client, [chatLine('one')])).id);
    const [line] = await readOutput(client, batch.output_file_id);
    const direct = await client.chat.completions.create({
      model: 'sim',
      messages: [{ role: 'user', content: 'Question one' }],
      max_tokens: 5,
      temperature: 0,
    });
    const choices = line?.response?.body.choices as typeof direct.choices;
    expect(choices[0]?.message.content).toBe(direct.choices[0]?.message.content);
  });

  it.each([
    ['/v1/completions', { model: 'sim', prompt: 'Hello', max_tokens: 3 }, 'text_completion'],
    ['/v1/embeddings', { model: 'sim', input: ['a', 'b'] }, 'list'],
  ] as const)('run %s', async (url, body, object) => {
    const line = JSON.stringify({ custom_id: 'a', method: 'POST', url, body });
    const batch = await untilOver(client, (await startBatch(client, [line], url)).id);
    const [answer] = await readOutput(client, batch.output_file_id);
    expect(answer?.response?.body).toMatchObject({ object });
  });

  it('keep metadata, expire their files as asked, and are listed newest first', async () => {
    const input = await uploadInput(client, `${chatLine('a')}\n`);
    const created = await client.batches.create({
      input_file_id: input,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      metadata: { team: 'search', run: '7' },
      output_expires_after: { anchor: 'created_at', seconds: 7_200 },
    });
    expect(created.metadata).toEqual({ team: 'search', run: '7' });
    const batch = await untilOver(client, created.id);
    const file = await client.files.retrieve(batch.output_file_id ?? '');
    expect((file.expires_at ?? 0) - file.created_at).toBe(7_200);
    const page = await client.batches.list({ limit: 1 });
    expect(page.data[0]?.id).toBe(created.id);
    expect(page.has_more).toBe(true);
    const ids: string[] = [];
    for await (const one of client.batches.list({ limit: 2 })) ids.push(one.id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeGreaterThan(2);
  });

  it('fail alone the lines that are wrong: those of an unknown model, and those that the engine refuses', async () => {
    const lines = [
      chatLine('good'),
      chatLine('unknown', { model: 'nobody' }),
      chatLine('refused', { max_tokens: -1 }),
    ];
    const batch = await untilOver(client, (await startBatch(client, lines)).id);
    expect(batch).toMatchObject({
      status: 'completed',
      request_counts: { total: 3, completed: 1, failed: 2 },
    });
    const [good] = await readOutput(client, batch.output_file_id);
    expect(good?.custom_id).toBe('good');
    const errors = await readOutput(client, batch.error_file_id);
    const byId = Object.fromEntries(errors.map((line) => [line.custom_id, line]));
    expect(byId.unknown?.response).toMatchObject({
      status_code: 404,
      body: { error: { code: 'model_not_found' } },
    });
    expect(byId.refused?.response?.status_code).toBe(400);
    expect(byId.refused?.error).toBeNull();
  });

  it('have no output file when every line failed', async () => {
    const lines = [chatLine('a', { max_tokens: -1 })];
    const batch = await untilOver(client, (await startBatch(client, lines)).id);
    expect(batch.output_file_id ?? null).toBeNull();
    expect(await readOutput(client, batch.error_file_id)).toHaveLength(1);
  });

  const good = chatLine('a');
  it.each([
    ['bad JSON', `${good}\n{"custom_id":\n`, 'invalid_json_line', 2],
    ['a missing custom_id', '{"method":"POST"}\n', 'missing_required_parameter', 1],
    ['a custom_id twice', `${good}\n\n${good}\n`, 'duplicate_custom_id', 3],
    ['another method', `${good.replace('"POST"', '"GET"')}\n`, 'invalid_method', 1],
    ['another url', `${good.replace('chat/completions', 'embeddings')}\n`, 'mismatched_endpoint', 1],
    ['no model', `${chatLine('a', { model: undefined })}\n`, 'invalid_request', 1],
    ['a stream', `${chatLine('a', { stream: true })}\n`, 'invalid_request', 1],
    ['only unknown models', `${chatLine('a', { model: 'nobody' })}\n`, 'model_not_found', 1],
    ['too many lines', chatLines(501).join('\n'), 'too_many_lines', null],
    ['a line that is too long', `${chatLine('a', { x: 'x'.repeat(30_000) })}\n`, 'line_too_long', 1],
    ['white space alone', ' \n\r\n\t\n', 'empty_file', null],
    ['bytes that are no text', Buffer.from([0, 0xff, 0xfe, 10, 0x80]), 'invalid_json_line', 1],
  ])('fail as a whole for %s, and say on which line', async (_name, text, code, line) => {
    const input = await uploadInput(client, text);
    const created = await client.batches.create({
      input_file_id: input,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    });
    const batch = await untilOver(client, created.id);
    expect(batch.status).toBe('failed');
    expect(batch.failed_at).toBeTypeOf('number');
    expect(batch.errors?.object).toBe('list');
    expect(batch.errors?.data?.[0]).toMatchObject({ code, line });
    expect(batch.errors?.data?.[0]?.message).toBeTruthy();
    expect(batch.output_file_id ?? null).toBeNull();
  });

  it.each([
    ['CRLF', `${chatLines(3).join('\r\n')}\r\n`],
    ['a byte order mark', `\uFEFF${chatLines(3).join('\n')}\n`],
    ['no end of the last line', chatLines(3).join('\n')],
    ['empty lines', `\n${chatLines(3).join('\n\n')}\n\n`],
  ])('read input with %s', async (_name, text) => {
    const input = await uploadInput(client, text);
    const created = await client.batches.create({
      input_file_id: input,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    });
    const batch = await untilOver(client, created.id);
    expect(batch.request_counts).toEqual({ total: 3, completed: 3, failed: 0 });
  });

  it.each([
    [{ input_file_id: 'file-nothing' }, 404, 'input_file_id'],
    [{ input_file_id: 7 }, 400, 'input_file_id'],
    [{ endpoint: '/v1/moderations' }, 400, 'endpoint'],
    [{ completion_window: '1h' }, 400, 'completion_window'],
    [{ metadata: { a: 1 } }, 400, 'metadata.a'],
    [{ output_expires_after: { anchor: 'created_at', seconds: 1 } }, 400, 'output_expires_after.seconds'],
  ])('refuse to be created with %j', async (change, status, param) => {
    const input = await uploadInput(client, `${good}\n`);
    const request = client.batches.create({
      input_file_id: input,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      ...(change as object),
    });
    expect(await errorOf(request)).toMatchObject({ status, param });
  });

  it('refuse an input of another purpose', async () => {
    const file = await client.files.create({ file: await toFile(Buffer.from(good), 'x'), purpose: 'evals' });
    const request = client.batches.create({
      input_file_id: file.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    });
    expect(await errorOf(request)).toMatchObject({ status: 400, param: 'input_file_id' });
  });

  it('are cancelled: what is done is kept, the rest says so, and the input is free again', async () => {
    const created = await startBatch(client, chatLines(400, { max_tokens: 400, ignore_eos: true }));
    await untilBatch(client, created.id, ({ request_counts }) => (request_counts?.completed ?? 0) > 0);
    expect(await errorOf(client.files.delete(created.input_file_id))).toMatchObject({ status: 409 });
    const asked = await client.batches.cancel(created.id);
    expect(asked.status).toBe('cancelling');
    expect(asked.cancelling_at).toBeTypeOf('number');
    const batch = await untilOver(client, created.id);
    expect(batch.status).toBe('cancelled');
    expect(batch.cancelled_at).toBeTypeOf('number');
    const output = await readOutput(client, batch.output_file_id);
    const errors = await readOutput(client, batch.error_file_id);
    expect(output.length).toBe(batch.request_counts?.completed);
    expect(new Set([...output, ...errors].map(({ custom_id }) => custom_id)).size).toBe(400);
    expect(output.length + errors.length).toBe(400);
    for (const line of errors)
      expect(line).toMatchObject({ response: null, error: { code: 'batch_cancelled' } });
    expect(await client.batches.cancel(created.id)).toMatchObject({ status: 'cancelled' });
    expect((await client.files.delete(created.input_file_id)).deleted).toBe(true);
  });

  it('cannot be cancelled when they are completed', async () => {
    const batch = await untilOver(client, (await startBatch(client, [good])).id);
    expect(await errorOf(client.batches.cancel(batch.id))).toBeInstanceOf(OpenAI.ConflictError);
  });

  it('belong to the key that made them', async () => {
    const batch = await startBatch(client, [good]);
    expect(await errorOf(other.batches.retrieve(batch.id))).toBeInstanceOf(OpenAI.NotFoundError);
    expect(await errorOf(other.batches.cancel(batch.id))).toBeInstanceOf(OpenAI.NotFoundError);
    expect((await other.batches.list()).data).toEqual([]);
    await untilOver(client, batch.id);
  });
});
