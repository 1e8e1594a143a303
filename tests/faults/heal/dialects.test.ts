/**
 * Goal: a hang is found by what each engine says of itself, in its own words, and healed; without a metric that tells, by the state
 * of its process. Method: the whole system, stand-ins that read the options of the real programs and speak their dialects, and
 * the embedded engine.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import type { ConfigInput } from '../../../src/contract/config-schema.ts';
import { BUILTIN_MODEL } from '../../../src/drivers/engines/embedded/builtin-model.ts';
import { arm, errorsOf, factsOf, replicaIn, steadyStreams, untilHealed } from '../../support/heal.ts';
import { machinePace } from '../../support/machine-pace.ts';
import { writeStandIns } from '../../support/stand-in-programs.ts';
import { type SystemUnderTest, startSystem } from '../../support/system-under-test.ts';

type ModelInput = NonNullable<ConfigInput['models']>[number];

const directory = mkdtempSync(join(tmpdir(), 'autoglm-dialects-'));
const bin = writeStandIns(directory);
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let system: SystemUnderTest;
afterEach(async () => {
  await system?.stop();
});

const WORK = ['--step-ms', '8'];
const FOUND_MS_MAX = 5_000;
const MODELS: Partial<ModelInput>[] = [
  { engine: 'vllm', model: 'org/model' },
  { engine: 'sglang', model: 'org/model' },
  { engine: 'tgi', model: 'org/model' },
  { engine: 'llama-server', model: BUILTIN_MODEL.path },
];

it.each(MODELS)('finds a hang of $engine by its metrics and restarts it', async (model) => {
  system = await startSystem({
    models: [
      {
        model_name: 'demo',
        replicas: 2,
        max_batch_size: 8,
        max_seq_length: 4096,
        ...model,
        env: { PATH: `${bin}:${process.env.PATH}`, STAND_IN_ARGS: JSON.stringify(WORK) },
      } as ModelInput,
    ],
    supervisor: { backoff_initial_ms: 50 },
  });
  await expectHealed('demo', (id) => arm(system, id, { action: 'hang' }), ['hung', 'slot-wedge']);
});

it('finds an embedded engine that is stopped, and restarts it', async () => {
  system = await startSystem({ supervisor: { backoff_initial_ms: 50 } });
  const model = 'inference-ops-demo';
  const stop = async (id: string) => {
    process.kill(replicaIn(await system.status(), id).pid ?? 0, 'SIGSTOP');
  };
  await expectHealed(model, stop, ['hung']);
});

async function expectHealed(
  model: string,
  inject: (id: string) => Promise<void>,
  classes: readonly string[],
): Promise<void> {
  const id = `${model}/0`;
  const load = steadyStreams(system, model, { concurrency: 4, maxTokens: 80 });
  await system.until((status) => replicaIn(status, id).inFlight > 0, 30_000);
  const { generation } = replicaIn(await system.status(), id);
  const atMs = Date.now();
  await inject(id);
  await untilHealed(system, id, generation, 40_000);
  expect(errorsOf(await load.stop())).toEqual([]);
  const [opened] = await factsOf(system, 'incidentOpened', id);
  console.log(
    `${model}: ${opened?.diagnosis.class} after ${(opened?.atMs ?? 0) - atMs} ms: ${opened?.summary}`,
  );
  expect(classes).toContain(opened?.diagnosis.class);
  expect((opened?.atMs ?? Number.POSITIVE_INFINITY) - atMs).toBeLessThan(FOUND_MS_MAX * machinePace());
}
