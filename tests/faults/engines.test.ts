/**
 * Goal: each engine that we can start is started with its own options, becomes ready, serves, survives a kill by the tier that its
 * driver announces, and does what its driver's calls promise. Method: the whole system, with stand-ins on PATH that read the
 * real option names and speak the engine's dialect; texts are compared with those of the undisturbed run.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { engineDrivers } from '../../src/assembly/engines.ts';
import type { ConfigInput } from '../../src/contract/config-schema.ts';
import type { EngineKind } from '../../src/contract/fleet.ts';
import type { EngineTarget } from '../../src/contract/ports/engine-driver.ts';
import { planContinuation } from '../../src/decide/scheduling/continuation.ts';
import { BUILTIN_MODEL } from '../../src/drivers/engines/embedded/builtin-model.ts';
import { writeStandIns } from '../support/stand-in-programs.ts';
import { killQuietly, type SystemUnderTest, startSystem } from '../support/system-under-test.ts';

type ModelInput = NonNullable<ConfigInput['models']>[number];

interface Engine {
  kind: EngineKind;
  model: Partial<ModelInput>;
  env?: Record<string, string>;
  metrics: boolean;
  /** Directory of the real program. */
  real?: string;
}

const directory = mkdtempSync(join(tmpdir(), 'autoglm-engines-'));
const bin = writeStandIns(directory);
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What stand-ins do beside what their options say. */
const WORK = ['--step-ms', '8', '--mean-tokens', '400'];

const ENGINES: Engine[] = [
  {
    kind: 'vllm',
    model: { model: 'org/model', quantize: 'INT8', tensor_parallel_size: 2, args: ['--enforce-eager'] },
    env: { VLLM_SERVER_DEV_MODE: '1' },
    metrics: true,
  },
  {
    kind: 'sglang',
    model: { model: 'org/model', quantize: 'fp8', tensor_parallel_size: 2 },
    metrics: true,
  },
  {
    kind: 'tgi',
    model: { model: 'org/model', quantize: 'INT8', tensor_parallel_size: 2 },
    metrics: true,
  },
  {
    kind: 'llama-server',
    model: { model: BUILTIN_MODEL.path, quantize: 'INT8', args: ['--slot-save-path', directory] },
    metrics: true,
  },
  {
    kind: 'ollama',
    model: { model: 'pretend:8b-q8_0', quantize: 'INT8' },
    env: { STAND_IN_PULLED: 'pretend:8b-q8_0' },
    metrics: false,
  },
  {
    kind: 'triton',
    model: { model: './repository', protocol: 'kserve-http', chat_template: 'chatml' },
    env: { STAND_IN_ARGS: JSON.stringify([...WORK, '--triton-backend', 'tensorrtllm']) },
    metrics: true,
  },
];

const { LLAMA_SERVER } = process.env;
if (LLAMA_SERVER !== undefined)
  ENGINES.push({
    kind: 'llama-server',
    model: { model: BUILTIN_MODEL.path, max_seq_length: 2048, args: ['--slot-save-path', directory] },
    metrics: true,
    real: dirname(LLAMA_SERVER),
  });

let system: SystemUnderTest | undefined;
afterEach(async () => {
  await system?.stop();
  system = undefined;
});

function start({ kind, model, env, real }: Engine, replicas: number): Promise<SystemUnderTest> {
  return startSystem({
    models: [
      {
        model_name: 'demo',
        engine: kind,
        replicas,
        max_batch_size: 4,
        max_seq_length: 4096,
        ...model,
        env: {
          PATH: `${real ?? bin}:${process.env.PATH}`,
          STAND_IN_ARGS: JSON.stringify(WORK),
          ...env,
        },
      },
    ],
    supervisor: { backoff_initial_ms: 50, probe_interval_ms: 500, probe_timeout_ms: 500 },
  });
}

/** Long enough that a kill meets the answer on its way, also from a small model. */
const MAX_TOKENS = 200;
const QUESTION = 'Write a long text about operating an inference service.';

const replicasOf = async () => (await system?.status())?.pools[0]?.replicas ?? [];

/** One streamed answer, and what `atEvent` did while it came. */
async function stream(question: string, atEvent?: (count: number) => Promise<void>): Promise<string> {
  const response = await fetch(`${system?.v1()}/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({
      model: 'demo',
      messages: [{ role: 'user', content: question }],
      stream: true,
      temperature: 0,
      max_tokens: MAX_TOKENS,
    }),
  });
  expect(response.status).toBe(200);
  let text = '';
  let rest = '';
  let count = 0;
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    rest += Buffer.from(chunk).toString();
    const events = rest.split('\n\n');
    rest = events.pop() ?? '';
    for (const event of events) {
      const data = /^data: ?(.*)$/.exec(event)?.[1];
      if (data === undefined || data === '[DONE]') continue;
      const { choices = [], error } = JSON.parse(data) as {
        choices?: { delta?: { content?: string | null } }[];
        error?: { message: string };
      };
      if (error !== undefined) throw new Error(error.message);
      text += choices[0]?.delta?.content ?? '';
      count++;
      await atEvent?.(count);
    }
  }
  return text;
}

/** Kills the replica that serves, once, in the middle of the answer. */
function killServing(): (count: number) => Promise<void> {
  let killed = false;
  return async (count) => {
    if (killed || count < 8) return;
    const serving = (await replicasOf()).find(({ inFlight }) => inFlight > 0);
    if (serving?.pid == null) return;
    killed = true;
    killQuietly(serving.pid);
  };
}

/** The tiers that the driver's capabilities announce for plain chat at temperature 0, with and without white space at the cut. */
function tiersAnnounced({ kind, model: { protocol = 'openai' } }: Engine): string[] {
  const driver = engineDrivers.get(kind);
  const capabilities = driver?.capabilitiesOver?.(protocol) ?? driver?.capabilities;
  if (capabilities === undefined) throw new Error(`no driver for ${kind}`);
  const no = { seeded: false, tools: false, structured: false, logprobs: false, penalties: false };
  const request = { endpoint: 'chat', greedy: true, n: 1, stopStrings: false, echo: false } as const;
  return [false, true].map((trimmable) => {
    const delivered = { tokenIds: false, otherThanText: false, opaque: false, trimmable };
    const plan = planContinuation({ ...request, ...no, extendable: true }, delivered, capabilities);
    return plan.tiers[0] as string;
  });
}

async function tiersSeen(): Promise<unknown[]> {
  const answer = await fetch(`${system?.adminUrl()}/api/v1/facts?limit=1000`);
  const { facts } = (await answer.json()) as { facts: { type: string; tier?: string }[] };
  return facts.filter(({ type }) => type === 'streamContinued').map(({ tier }) => tier);
}

describe.each(
  ENGINES.map(
    (engine) => [engine.real === undefined ? engine.kind : `${engine.kind} (real)`, engine] as const,
  ),
)('%s', (_name, engine) => {
  const { kind } = engine;
  const driver = engineDrivers.get(kind);

  it('climbs the ladder, serves, and goes on elsewhere when it is killed in the middle of an answer', async () => {
    system = await start(engine, 2);
    const calm = await stream(QUESTION);
    expect(calm.length).toBeGreaterThan(60);
    const hit = await stream(QUESTION, killServing());
    // Where nobody can count delivered tokens, `max_tokens` may lie a few tokens further on (docs/continuation.md).
    if (kind === 'triton') expect(hit.slice(0, calm.length)).toBe(calm);
    else expect(hit).toBe(calm);
    const [tier, ...more] = await tiersSeen();
    expect(tiersAnnounced(engine)).toContain(tier);
    expect(more).toEqual([]);
    await system.until(({ pools }) => pools[0]?.ready === 2, 20_000);
  });

  it('reads metrics, drains, clears the cache and aborts as far as its driver says that it can', async () => {
    system = await start(engine, 1);
    const [replica] = await replicasOf();
    const servedModel = String(
      engine.kind === 'tgi' || engine.kind === 'ollama' ? engine.model.model : 'demo',
    );
    const { protocol } = engine.model;
    const target: EngineTarget = {
      url: replica?.url ?? '',
      servedModel,
      ...(protocol !== undefined && { protocol }),
    };
    const soon = () => AbortSignal.timeout(10_000);
    await stream(QUESTION);

    const metrics = await driver?.readMetrics(target, soon());
    if (!engine.metrics) expect(metrics).toBeUndefined();
    else expect(metrics).toMatchObject({ running: 0, waiting: 0, progressCount: expect.any(Number) });
    if (engine.metrics) expect(metrics?.progressCount).toBeGreaterThan(0);

    if (driver?.clearCache !== undefined)
      expect(await driver.clearCache(target, soon())).toMatchObject({ ok: true });
    if (driver?.drain !== undefined) {
      const running = stream(QUESTION);
      await system.until(({ pools }) => (pools[0]?.replicas[0]?.inFlight ?? 0) > 0);
      expect(await driver.drain(target, soon())).toMatchObject({ ok: true });
      expect((await running).length).toBeGreaterThan(0);
      expect(await driver.probe(target, 'generation', soon())).toMatchObject({ ok: false });
      expect(await driver.resume?.(target, soon())).toMatchObject({ ok: true });
      expect(await driver.probe(target, 'generation', soon())).toMatchObject({ ok: true });
    }
    if (driver?.abort !== undefined) {
      const direct = fetch(`${target.url}/v1/chat/completions`, {
        method: 'POST',
        body: JSON.stringify({ messages: [{ role: 'user', content: 'Go on.' }], max_tokens: 2_000 }),
      });
      await expect
        .poll(async () => (await driver.readMetrics(target, soon()))?.running, { timeout: 5_000 })
        .toBe(1);
      expect(await driver.abort(target, 'all', soon())).toMatchObject({ ok: true });
      expect((await direct).status).toBeGreaterThanOrEqual(500);
    }
  });
});

describe('calls that are closed', () => {
  it('say how the engine is started so that they are open', async () => {
    system = await start({ ...(ENGINES[0] as Engine), env: {} }, 1);
    const [replica] = await replicasOf();
    const target = { url: replica?.url ?? '', servedModel: 'demo' };
    const refused = await engineDrivers.get('vllm')?.clearCache?.(target, AbortSignal.timeout(5_000));
    expect(refused).toEqual({
      ok: false,
      detail: '/reset_prefix_cache: HTTP 404; start vLLM with VLLM_SERVER_DEV_MODE=1 in `env`',
    });
  });
});
