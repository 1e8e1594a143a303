/**
 * Goal: what the simulator writes about its steps is what `autoglm plan --calibrate` reads: the fit finds the costs that it was
 * started with. Method: a real process under load of several kinds, and the real command.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { calibrate } from '../../../src/assembly/planning/planning.ts';
import { loadSimulator } from '../../support/simulator-requests.ts';
import { spawnSimulator, startSimulator, stopSimulators } from '../../support/simulator-under-test.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'steps-test-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(stopSimulators);

it('writes steps from which the costs are found again', async () => {
  const file = join(folder, 'steps.csv');
  const costs = ['--step-ms', '8', '--prefill-token-ms', '0.05', '--context-token-ms', '0.0004'];
  const simulator = await startSimulator([
    ...['--model-name', 'm', '--steps-file', file, '--seed', '5', '--noise-sigma', '0.02'],
    ...[...costs, '--sequence-ms', '0.1', '--prefill-square-ms', '0'],
  ]);
  for (const concurrency of [1, 4, 12])
    await loadSimulator(simulator, {
      requests: 3 * concurrency,
      concurrency,
      // No two prompts begin alike, or the prefix cache has part of them.
      body: (index) => ({
        model: 'm',
        messages: [
          { role: 'user', content: `${concurrency} ${index} ${'word '.repeat(20 + ((index * 97) % 700))}` },
        ],
        max_tokens: 30 + index,
        ignore_eos: true,
      }),
    });
  const { costs: found, meanError, rSquared } = calibrate(file, 'steps.csv');
  expect(found.c0).toBeCloseTo(8, 0);
  expect(found.c1 / 0.05).toBeGreaterThan(0.9);
  expect(found.c1 / 0.05).toBeLessThan(1.1);
  expect(found.c3 * 10 + found.c4 * 5000).toBeGreaterThan(2.4);
  expect(found.c3 * 10 + found.c4 * 5000).toBeLessThan(3.6);
  expect(meanError).toBeLessThan(0.03);
  expect(rSquared).toBeGreaterThan(0.95);
  // Whole lines, whenever it is looked at.
  expect(readFileSync(file, 'utf8')).toMatch(/\n$/);
});

it('is refused where the file can not be written', async () => {
  const { exited, output } = spawnSimulator(['--steps-file', join(folder, 'nowhere', 'steps.csv')]);
  expect((await exited).code).toBe(2);
  expect(output.stderr).toContain('--steps-file: ENOENT');
});
