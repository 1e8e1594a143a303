/**
 * Goal: evidence on a disk without a free byte makes nothing wait or fail, says what was not kept, and takes the room of older
 * evidence where there is some. Method: a small file system of its own, filled to the last byte.
 */
import { mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { LocalEvidence } from '../../src/drivers/evidence/evidence-collector.ts';
import { fill, mayMount, mountSmall } from '../support/full-disk.ts';

let directory: string;
let disk: Disposable;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'autoglm-evidence-disk-'));
  disk = mountSmall(directory, 'size=1m');
});
afterEach(() => {
  disk[Symbol.dispose]();
  rmdirSync(directory);
});

describe.skipIf(!mayMount())('evidence on a disk without a free byte (needs the right to mount)', () => {
  it('takes the room of older evidence, or says that there is none, and never waits', async () => {
    const told: Record<string, unknown>[] = [];
    const open = new Set<string>();
    const evidence = new LocalEvidence({
      settings: { bytesMax: 1e9, bundlesMax: 50, deadlineMs: 2_000, prompts: false },
      clock: systemClock,
      stateDir: directory,
      directory: join(directory, 'incidents'),
      processes: { pids: () => [], stat: () => undefined, variable: () => undefined },
      path: '/nowhere',
      gpuProgram: 'nvidia-smi',
      isOpen: (incident) => open.has(incident),
      log: (_level, _message, detail) => told.push(detail),
    });
    const capture = async (incident: string) => {
      open.add(incident);
      const beganMs = performance.now();
      const { folder } = await evidence.capture(
        {
          ...{ incident, replica: 'm/0', engine: 'vllm', generation: 1, process: null },
          ...{ ownerPrefix: 'none', metricsUrl: null, logFile: null },
        },
        {
          ...{ signals: { text: 'x'.repeat(100_000) }, requests: async () => ({}), configuration: {} },
          ...{ node: {}, secrets: [] },
        },
        AbortSignal.timeout(10_000),
      );
      expect(performance.now() - beganMs).toBeLessThan(3_000);
      return folder;
    };
    expect(await capture('inc_a')).toBe('incidents/inc_a/evidence');
    fill(join(directory, 'filler'));

    // The only bundle belongs to an incident that is open: it stays.
    expect(await capture('inc_b')).toBeNull();
    const [lost] = await evidence.bundles('inc_b');
    expect(lost?.path).toBeNull();
    expect(lost?.manifest.parts.find(({ name }) => name === 'signals')?.why).toContain('the disk is full');
    expect(told).toHaveLength(1);
    expect(readdirSync(join(directory, 'incidents/inc_a/evidence/1'))).toContain('signals.json');

    open.delete('inc_a');
    expect(await capture('inc_c')).toBe('incidents/inc_c/evidence');
    expect(await evidence.bundles('inc_a')).toEqual([]);

    rmSync(join(directory, 'filler'));
    expect(await capture('inc_d')).not.toBeNull();
    expect(
      (await evidence.bundles('inc_d'))[0]?.manifest.parts.find(({ name }) => name === 'signals'),
    ).toMatchObject({ state: 'taken' });
  });
});
