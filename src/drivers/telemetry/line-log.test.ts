import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLineLog } from './line-log.ts';

let directory: string;
let file: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'autoglm-log-'));
  file = join(directory, 'logs', 'gateway.log');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const written = () => readFileSync(file, 'utf8');

describe('line log', () => {
  it('appends to what is there, in batches, and writes what is pending when it is closed', () => {
    mkdirSync(join(directory, 'logs'));
    writeFileSync(file, 'before\n');
    const log = openLineLog(file, { batched: true });
    log.write('line\n');
    expect(written()).toBe('before\n');
    log.write(`${'x'.repeat(70_000)}\n`);
    expect(written()).toHaveLength(70_000 + 'before\nline\n\n'.length);
    log.write('last\n');
    log.close();
    log.write('late\n');
    expect(written()).toMatch(/x\nlast\n$/);
  });

  it.each(['logs/gateway.log', 'logs'])('begins anew when %s was deleted', (deleted) => {
    const log = openLineLog(file, { batched: false });
    log.write('line\n');
    rmSync(join(directory, deleted), { recursive: true });
    log.write('line\n');
    log.close();
    expect(written()).toBe('line\n');
    expect(log.dropped).toBe(0);
  });

  it('counts what it can not write, and goes on when it can again', () => {
    const log = openLineLog(file, { batched: false });
    rmSync(join(directory, 'logs'), { recursive: true });
    writeFileSync(join(directory, 'logs'), 'in the way');
    log.write('line\n');
    expect(log.dropped).toBe(1);
    rmSync(join(directory, 'logs'));
    log.write('line\n');
    log.close();
    expect([log.dropped, written()]).toEqual([1, 'line\n']);
  });
});
