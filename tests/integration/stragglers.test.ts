/**
 * A replica whose steps take longer than those of its peers gets fewer requests before any client notices, says so in metrics,
 * report and explanations, and gets its share back when it keeps up again (engines.md, fault 31). Engines are simulators, one
 * of them slowed down by a fault.
 */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { GatewaySettings } from '../../src/contract/gateway-snapshot.ts';
import type { StrategyName } from '../../src/contract/scheduling.ts';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { type SimulatorUnderTest, startSimulator, stopSimulators } from '../support/simulator-under-test.ts';

const SLOW = 'demo/2';
const FACTOR = 4;
let simulators: SimulatorUnderTest[];
let gateway: RunningGateway | null = null;

beforeAll(async () => {
  simulators = await Promise.all([0, 1, 2].map(() => startSimulator(['--speed', '2'])));
});
afterEach(async () => {
  await gateway?.stop();
  gateway = null;
  await simulators[2]!.heal();
});
afterAll(() => stopSimulators());

async function setUp(
  strategy: StrategyName,
  settings: Partial<GatewaySettings> = {},
): Promise<RunningGateway> {
  const pool = poolOf(
    'demo',
    simulators.map(({ url }) => ({ url, servedModel: 'simulated-model', engine: 'simulator' })),
  );
  gateway = await startGateway([{ ...pool, strategy }], { stragglerWeights: true, ...settings });
  return gateway;
}

interface Answered {
  replica: string;
  explanation: { candidates: { replica: string; share?: number }[] };
}

async function ask({ v1 }: RunningGateway, stream: boolean): Promise<Answered> {
  const response = await fetch(`${v1}/chat/completions`, {
    method: 'POST',
    headers: { 'x-autoglm-explain': '1' },
    body: JSON.stringify({
      model: 'demo',
      stream,
      max_tokens: 16,
      ignore_eos: true,
      messages: [{ role: 'user', content: 'Hi' }],
    }),
  });
  await response.text();
  expect(response.status).toBe(200);
  return {
    replica: response.headers.get('x-autoglm-replica') ?? '',
    explanation: JSON.parse(response.headers.get('x-autoglm-explain') ?? '{}'),
  };
}

/** Twelve at a time, as many as `requests`; how many of them each replica had. */
async function serve(at: RunningGateway, requests: number, stream = true): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (let done = 0; done < requests; done += 12) {
    const answers = await Promise.all(Array.from({ length: 12 }, () => ask(at, stream)));
    for (const { replica } of answers) counts.set(replica, (counts.get(replica) ?? 0) + 1);
  }
  return counts;
}

const shareOf = async (at: RunningGateway) => (await at.report()).replicaSpeeds?.[SLOW]?.share ?? 1;

async function untilShare(
  at: RunningGateway,
  holds: (share: number) => boolean,
  stream = true,
): Promise<void> {
  await eventually(async () => {
    await serve(at, 12, stream);
    return holds(await shareOf(at));
  }, 60_000);
}

it.each([
  { stream: true, what: 'streams' },
  { stream: false, what: 'whole answers' },
])('gives a slowed replica less, and its share back, by $what', async ({ stream }) => {
  const at = await setUp('round-robin');
  const even = await serve(at, 60, stream);
  expect(even.get(SLOW)).toBeGreaterThanOrEqual(15);
  await simulators[2]!.arm({ action: 'slow', factor: FACTOR });
  await untilShare(at, (share) => share < 0.5, stream);
  const share = await shareOf(at);
  const counts = await serve(at, 60, stream);
  // Its part of all weights, give or take what the two workers' rotations and a share that goes on moving make of it.
  const expected = (60 * share) / (2 + share);
  expect(Math.abs((counts.get(SLOW) ?? 0) - expected)).toBeLessThanOrEqual(6);
  expect(counts.get(SLOW) ?? 0).toBeLessThanOrEqual((even.get(SLOW) ?? 0) / 2 + 3);
  const { metricsText } = await at.report();
  expect(metricsText).toMatch(/autoglm_replica_speed_share_ratio\{[^}]*deployment="demo\/2"[^}]*\} 0\.\d/);
  expect(metricsText).toMatch(/autoglm_replica_step_seconds\{[^}]*deployment="demo\/0"[^}]*\} 0\.\d/);
  const { explanation } = await ask(at, stream);
  const seen = explanation.candidates.find(({ replica }) => replica === SLOW)?.share ?? 1;
  expect(seen).toBeGreaterThan(0);
  expect(seen).toBeLessThan(0.6);
  expect(at.log().some(({ message }) => message === `stragglers: ${SLOW} is slower than its peers`)).toBe(
    true,
  );
  await simulators[2]!.heal();
  await untilShare(at, (now) => now === 1, stream);
  const after = await serve(at, 60, stream);
  expect(after.get(SLOW)).toBeGreaterThanOrEqual(15);
  expect(at.log().some(({ message }) => String(message).endsWith('keeps up with its peers again'))).toBe(
    true,
  );
});

it('leaves all as it is where the configuration says so', async () => {
  const at = await setUp('round-robin', { stragglerWeights: false });
  await simulators[2]!.arm({ action: 'slow', factor: FACTOR });
  const counts = await serve(at, 60);
  expect(counts.get(SLOW)).toBeGreaterThanOrEqual(15);
  expect((await at.report()).replicaSpeeds).toEqual({});
});
