import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import picocolors from 'picocolors';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CommandContext } from './command-context.ts';
import { type PlanCommandOptions, plan } from './plan.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const QUESTION: PlanCommandOptions = { rate: '20', prompt: '1000', output: '40', gpu: 'h100' };

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'plan-test-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function run(options: PlanCommandOptions): Promise<{ out: string; code: number }> {
  const printed: string[] = [];
  const print = (text: string) => void printed.push(text);
  let code = 0;
  const context = {
    environment: { variables: {}, homeDir: dir, workDir: dir },
    terminal: {
      print,
      write: print,
      tell: print,
      complain: print,
      colors: picocolors.createColors(false),
      interactive: false,
      columns: 90,
      rows: null,
    },
    exit: (wanted: number) => {
      code = wanted;
    },
  } satisfies CommandContext;
  await plan(options, context);
  return { out: printed.join('\n'), code };
}

describe('autoglm plan', () => {
  it('says how many replicas, with ranges, what decides, what remains when one is lost, and how sure it is', async () => {
    const { out, code } = await run(QUESTION);
    expect(code).toBe(0);
    expect(out).toMatch(/^\d+ replicas? of Llama-3.1-8B in bf16, each on h100/);
    expect(out).toMatch(/replicas needed +\d+ +\d+ to \d+/);
    expect(out).toMatch(/time to first token, p99 +\d+ ms/);
    for (const title of ['What decides', 'One replica lost', 'Other sizes', 'How sure'])
      expect(out).toContain(`\n${title}\n`);
    expect(out).toContain('First principles, not measured: expect -');
    expect(out).toContain('-- objective');
    for (const line of out.split('\n')) expect(line.length, line).toBeLessThanOrEqual(100);
    expect(out).not.toMatch(/NaN|undefined|Infinity/);
  });

  it('prints the same as JSON, and writes the picture', async () => {
    const { out } = await run({ ...QUESTION, json: true, svg: 'plan.svg' });
    const { plan: found } = JSON.parse(out);
    expect(found).toMatchObject({ kind: 'plan', tensorParallel: 1 });
    const svg = readFileSync(join(dir, 'plan.svg'), 'utf8');
    expect(svg).toMatch(/^<svg xmlns/);
    expect(svg).toContain('first principles, not measured');
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
    // Each element is closed.
    expect(svg.match(/<text/g)!.length).toBe(svg.match(/<\/text>/g)!.length);
  });

  it('ends with 1 where there is no plan, and says what would do', async () => {
    const { out, code } = await run({ ...QUESTION, model: '70b', tp: '1' });
    expect(code).toBe(1);
    expect(out).toContain('no plan: Llama-3.1-70B in bf16 needs 131.4 GiB');
    expect(out).toContain('--tp 2');
  });

  it('prints the fit of measured steps, and plans with it', async () => {
    const calibrate = resolve(ROOT, 'docs/planning/h100-llama-8b-bf16.csv');
    const { out } = await run({ calibrate });
    expect(out).toMatch(/R² 0\.99\d+, mean absolute error 5\.\d %/);
    expect(out).toContain('worst step');
    const planned = await run({ ...QUESTION, calibrate });
    expect(planned.out).toMatch(/Measured: a step takes what the model says ±6 %/);
    expect(planned.out).not.toContain('First principles');
  });

  it('names a calibration that is no use', async () => {
    writeFileSync(join(dir, 'few.csv'), 'T_prefill,batch,sum_ctx,step_ms\n1,1,1,1\n');
    await expect(run({ calibrate: 'few.csv' })).rejects.toThrow(
      'few.csv: found 1 steps; would be right: 20 to 2000000',
    );
  });

  it('lists GPUs and models with their sources', async () => {
    const { out } = await run({ list: true });
    expect(out).toMatch(/h100 .*3350.*NVIDIA H100/);
    expect(out).toMatch(/70b .*Llama-3.1-70B/);
  });
});
