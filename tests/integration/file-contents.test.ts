/** Bytes of files on a real disk: whole or not there, also when the disk has no room and when the source breaks off. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openFileContents } from '../../src/drivers/storage/file-contents.ts';

const MODULE = resolve(import.meta.dirname, '../../src/drivers/storage/file-contents.ts');
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'autoglm-files-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

async function* pieces(...parts: (string | Error)[]): AsyncGenerator<Buffer> {
  for (const part of parts) {
    if (part instanceof Error) throw part;
    yield Buffer.from(part);
  }
}

async function textOf(id: string, from?: number, to?: number): Promise<string | null> {
  const file = await openFileContents(directory).open(id);
  if (file === null) return null;
  const chunks: Buffer[] = [];
  for await (const chunk of file.chunks(from, to)) chunks.push(chunk);
  await file.close();
  return Buffer.concat(chunks).toString();
}

describe('file contents', () => {
  it('are read back whole and in part, under the id they were kept by, and not before', async () => {
    const contents = openFileContents(directory);
    const staged = await contents.stage(pieces('Hello', ', ', 'world'));
    expect(staged.bytes).toBe(12);
    expect(await textOf('file-1')).toBeNull();
    await staged.keep('file-1');
    expect(await textOf('file-1')).toBe('Hello, world');
    expect(await textOf('file-1', 7)).toBe('world');
    expect(await textOf('file-1', 0, 5)).toBe('Hello');
    await contents.remove('file-1');
    await contents.remove('file-1');
    expect(readdirSync(directory)).toEqual([]);
  });

  it('replace what was kept under the same id', async () => {
    const contents = openFileContents(directory);
    await (await contents.stage(pieces('one'))).keep('file-1');
    await (await contents.stage(pieces('two'))).keep('file-1');
    expect(await textOf('file-1')).toBe('two');
  });

  it('leave nothing when the source breaks off, and pass on why', async () => {
    const contents = openFileContents(directory);
    await expect(contents.stage(pieces('x'.repeat(200_000), new Error('client gone')))).rejects.toThrow(
      'client gone',
    );
    const staged = await contents.stage(pieces('x'));
    await staged.discard();
    expect(readdirSync(directory)).toEqual([]);
  });

  it.each([
    '../state.db',
    '.staged-1',
    '',
    'a/b',
    'a\0b',
    `${'x'.repeat(200)}`,
  ])('know no id like %j', async (id) => {
    expect(await openFileContents(directory).open(id)).toBeNull();
  });

  it('are swept: what was staged and given up long ago goes, and what was kept is named', async () => {
    const contents = openFileContents(directory);
    await (await contents.stage(pieces('old'))).keep('file-old');
    await (await contents.stage(pieces('new'))).keep('file-new');
    await contents.stage(pieces('staged'));
    for (const name of readdirSync(directory))
      if (name !== 'file-new') utimesSync(join(directory, name), 1, 1);
    await contents.stage(pieces('being written'));
    expect(await contents.sweep(Date.now() - 60_000)).toEqual([{ id: 'file-old', keptAtMs: 1_000 }]);
    const left = readdirSync(directory).sort();
    expect(left).toHaveLength(3);
    expect(left).toContain('file-new');
    expect(await openFileContents(join(directory, 'nothing')).sweep(Date.now())).toEqual([]);
  });

  it('say that the disk is full, and leave nothing (limit of the process on file sizes)', () => {
    const script = `
      import { openFileContents } from ${JSON.stringify(MODULE)};
      async function* endless() { for (;;) yield Buffer.alloc(65536); }
      const contents = openFileContents(${JSON.stringify(directory)});
      await contents.stage(endless()).catch((error) => console.log(error.code, error.spec.status, error.message));
    `;
    // Blocks of 1024 bytes.
    const command = `ulimit -f 1000; trap '' XFSZ; exec "$0" --input-type=module -e "$1"`;
    const result = spawnSync('bash', ['-c', command, process.execPath, script], { encoding: 'utf8' });
    expect(result.stdout).toMatch(/^storage_full 507 the disk is full/);
    expect(readdirSync(directory)).toEqual([]);
  });
});
