/** What `autoglm diagnose` reads, and which start of a log it speaks about. The verdicts themselves: corpus.test.ts. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterAll, expect, it } from 'vitest';
import type { CommandContext } from '../../cli/command-context.ts';
import { diagnose } from '../../cli/diagnose.ts';
import { diagnoseLog } from './diagnose-log.ts';

const folder = mkdtempSync(join(tmpdir(), 'autoglm-diagnose-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function fileWith(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}
const inFile = (file: string, engine?: string) =>
  diagnoseLog({ file, name: 'a.log', stdin: Readable.from([]), ...(engine !== undefined && { engine }) });
const inStream = (stdin: Readable) => diagnoseLog({ file: '-', name: 'standard input', stdin });

const START = 'INFO 11-21 03:48:55 [api_server.py:1896] vLLM API server version 0.12.0';
const READY = 'INFO:     Application startup complete.';
const OOM = 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.45 GiB. GPU 0 has 1 GiB free.';

it('reads gzip by its beginning, whatever the file is called', async () => {
  const packed = fileWith('packed.log', gzipSync([START, READY, OOM].join('\n')));
  expect(await inFile(packed)).toMatchObject({
    class: 'gpu-out-of-memory',
    lines: 3,
    engine: { name: 'vllm', recognised: true },
  });
});

it.each([
  ['missing', () => join(folder, 'none.log'), /a\.log: there is no such file/],
  ['a directory', () => folder, /it is a directory/],
  ['empty', () => fileWith('empty.log', ''), /it is empty/],
  ['binary', () => fileWith('binary.log', Buffer.from([1, 2, 0, 3])), /this is no text/],
  [
    'cut gzip',
    () => fileWith('cut.gz', gzipSync('x'.repeat(9_000)).subarray(0, 20)),
    /gzip is broken or cut/,
  ],
])('says what is wrong with a file that is %s', async (_what, path, message) => {
  await expect(inFile(path())).rejects.toThrow(message);
});

it('names the engines that it knows', async () => {
  const file = fileWith('one.log', OOM);
  await expect(inFile(file, 'vlm')).rejects.toThrow(
    /unknown engine 'vlm'; known: vllm, .*; did you mean vllm\?/,
  );
  expect((await inFile(file, 'sglang')).engine).toEqual({
    name: 'sglang',
    title: 'SGLang',
    recognised: false,
  });
  expect((await inFile(file)).engine).toMatchObject({ name: null });
});

it('speaks about the latest start that went wrong, and says that the one after it is well', async () => {
  const file = fileWith('starts.log', [START, READY, OOM, START, READY].join('\n'));
  expect(await inFile(file)).toMatchObject({
    class: 'gpu-out-of-memory',
    attempts: { total: 2, firstLine: 1, lastLine: 3, latest: false },
    strategy: 'fail-over-and-rebuild',
    fault: { row: 4 },
  });
});

it('counts lines as an editor does, progress bars and Windows among them', async () => {
  const found = await inStream(Readable.from([Buffer.from(`a\r\n 1%\r 2%\r 3%\n${OOM}\r\n`)]));
  expect(found.evidence[0]).toMatchObject({ line: 3, text: OOM });
  expect(found.lines).toBe(3);
});

it('joins lines and letters over the borders of chunks', async () => {
  const bytes = Buffer.from(`ümläut 日本\n${OOM}\n`);
  const found = await inStream(Readable.from(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))));
  expect(found).toMatchObject({ class: 'gpu-out-of-memory', lines: 2 });
});

it('needs no more memory for 200 MB than for a few lines, in one line or in many', async () => {
  const chunk = Buffer.alloc(1 << 20, 'x');
  const lines = Buffer.from(
    `${'INFO:     10.0.0.1:4 - "GET /health HTTP/1.1" 200 OK'.padEnd(255)}\n`.repeat(4_096),
  );
  const bytes = 100;
  const before = process.memoryUsage().heapUsed;
  let most = 0;
  const flood = function* () {
    for (let sent = 0; sent < bytes; sent++) {
      yield chunk;
      most = Math.max(most, process.memoryUsage().heapUsed);
    }
    yield Buffer.from('\n');
    for (let sent = 0; sent < bytes; sent++) {
      yield lines;
      most = Math.max(most, process.memoryUsage().heapUsed);
    }
  };
  expect(await inStream(Readable.from(flood(), { objectMode: true }))).toMatchObject({
    class: 'none',
    lines: 409_601,
  });
  expect(most - before).toBeLessThan(150 * 2 ** 20);
});

it('prints what counted with line, role, rule and source, what was ruled out, and what to do', async () => {
  const printed: string[] = [];
  const same = (text: string) => text;
  const colors = new Proxy({}, { get: () => same });
  const context = {
    environment: { workDir: folder, variables: {} },
    terminal: { print: (text: string) => void printed.push(text), colors, columns: 100 },
  } as unknown as CommandContext;
  const dead = 'ERROR [core.py:710] EngineCore encountered a fatal error.';
  fileWith('shown.log', [START, READY, `${OOM}\u001b[2J`, dead].join('\n'));
  await diagnose('shown.log', {}, context);
  const text = printed.join('\n');
  expect(text).toContain('shown.log: 4 lines, looks like vLLM');
  expect(text).toMatch(/gpu-out-of-memory {2}row 4, 95 % sure/);
  expect(text).toMatch(/line 3 +root +torch\.OutOfMemoryError/);
  expect(text).toMatch(/rule torch-cuda-oom; vllm-project\/vllm#11251/);
  expect(text).toContain('engine-core-dead: line 4 follows from line 3 (gpu-out-of-memory)');
  expect(text).toMatch(/What to do\n {2}restart with one step less/);
  expect(text).not.toContain('\u001b');
  expect(text.split('\n').filter((line) => line.length > 100)).toEqual([]);
  printed.length = 0;
  await diagnose('shown.log', { json: true }, context);
  expect(JSON.parse(printed.join(''))).toMatchObject({ class: 'gpu-out-of-memory', source: 'shown.log' });
});
