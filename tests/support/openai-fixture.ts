/**
 * What the tests over the stock `openai` client share: a gateway, behind it a simulator (`sim`, with alias `gpt-sim`) for
 * what needs a model, and a scripted engine (`script`; `narrow` takes one request at a time) for what must fail on command.
 */
import OpenAI from 'openai';
import type { GatewaySettings } from '../../src/contract/gateway-snapshot.ts';
import { poolOf, type RunningGateway, startGateway } from './gateway-under-test.ts';
import { type ScriptedEngine, startScriptedEngine } from './scripted-engine.ts';
import { type SimulatorUnderTest, startSimulator } from './simulator-under-test.ts';

export interface OpenAiFixture {
  gateway: RunningGateway;
  simulator: SimulatorUnderTest;
  engine: ScriptedEngine;
  /** Without retries of its own. */
  client: OpenAI;
  newClient(options?: ConstructorParameters<typeof OpenAI>[0]): OpenAI;
  /** Back to engines that answer, with nothing remembered. */
  reset(): void;
  stop(): Promise<void>;
}

export async function startOpenAiFixture(settings: Partial<GatewaySettings> = {}): Promise<OpenAiFixture> {
  const simulator = await startSimulator(['--model-name', 'sim', '--speed', '50', '--mean-tokens', '30']);
  const engine = await startScriptedEngine();
  const gateway = await startGateway(
    [
      poolOf('sim', [{ url: simulator.url, engine: 'simulator' }], ['gpt-sim']),
      poolOf('script', [{ url: engine.url }]),
      poolOf('narrow', [{ url: engine.url, window: 1 }]),
    ],
    { workers: 1, ...settings },
  );
  const newClient = (options: ConstructorParameters<typeof OpenAI>[0] = {}) =>
    new OpenAI({ baseURL: gateway.v1, apiKey: 'none', maxRetries: 0, ...options });
  return {
    gateway,
    simulator,
    engine,
    client: newClient(),
    newClient,
    reset: () => {
      engine.base = {};
      engine.next = [];
      engine.seen = [];
    },
    stop: async () => {
      await gateway.stop();
      await engine.close();
      await simulator.kill();
    },
  };
}

export const USER = [{ role: 'user' as const, content: 'Hi' }];

export const WEATHER_TOOL = {
  type: 'function' as const,
  function: {
    name: 'get_weather',
    description: 'The weather of a city.',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' }, days: { type: 'integer', minimum: 1, maximum: 7 } },
      required: ['city', 'days'],
      additionalProperties: false,
    },
  },
};
export const ALARM_TOOL = {
  type: 'function' as const,
  function: {
    name: 'set_alarm',
    parameters: {
      type: 'object',
      properties: { at: { enum: ['dawn', 'noon'] } },
      required: ['at'],
      additionalProperties: false,
    },
  },
};

/** The error that a call must end with. */
export async function failureOf(
  promise: PromiseLike<unknown>,
): Promise<InstanceType<typeof OpenAI.APIError>> {
  return await promise.then(
    () => {
      throw new Error('expected an error');
    },
    (thrown) => thrown as InstanceType<typeof OpenAI.APIError>,
  );
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
