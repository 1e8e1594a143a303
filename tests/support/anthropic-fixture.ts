/**
 * What the tests over the stock Anthropic client share: a gateway, behind it a scripted engine (`m`, with alias `claude-alias`;
 * `narrow` takes one request at a time, `generic` can do little more than chat), `gone` without a replica, and on demand engines
 * that work: the simulator (`sim`) and the embedded one (`demo`).
 */
import Anthropic from '@anthropic-ai/sdk';
import type { PoolView } from '../../src/contract/fleet.ts';
import { EmbeddedUnderTest } from './embedded-under-test.ts';
import { poolOf, type RunningGateway, startGateway } from './gateway-under-test.ts';
import {
  type Script,
  type ScriptedChat,
  type ScriptedEngine,
  startScriptedEngine,
} from './scripted-engine.ts';
import { startSimulator } from './simulator-under-test.ts';

export interface AnthropicFixture {
  gateway: RunningGateway;
  engine: ScriptedEngine;
  /** Without retries of its own. */
  client: Anthropic;
  newClient(options?: ConstructorParameters<typeof Anthropic>[0]): Anthropic;
  /** What the scripted engine was asked last. */
  seenBody(): Record<string, unknown>;
  /** The scripted engine answers so from here. */
  play(chat: ScriptedChat, script?: Script): void;
  /** Back to an engine that answers, with nothing remembered. */
  reset(): void;
  stop(): Promise<void>;
}

export async function startAnthropicFixture({ working = false } = {}): Promise<AnthropicFixture> {
  const engine = await startScriptedEngine();
  const { url } = engine;
  const plain = { chatContinuation: false, tokenize: false, lenientFields: false };
  const engines = working ? await startWorkingEngines() : { pools: [], stop: async () => {} };
  const gateway = await startGateway(
    [
      poolOf('m', [{ url }], ['claude-alias']),
      poolOf('narrow', [{ url, window: 1 }]),
      poolOf('generic', [{ url, capabilities: plain }]),
      poolOf('gone', [{ url, state: 'quarantined' }]),
      ...engines.pools,
    ],
    { bodyBytesMax: 20_000, firstTokenTimeoutMs: 1_500, queueSizeMax: 1, queueTimeoutMs: 1_000 },
  );
  const newClient = (options: ConstructorParameters<typeof Anthropic>[0] = {}) =>
    new Anthropic({ baseURL: gateway.url, apiKey: 'none', maxRetries: 0, ...options });
  return {
    gateway,
    engine,
    client: newClient(),
    newClient,
    seenBody: () => engine.seen.at(-1)?.body ?? {},
    play: (chat, script = {}) => {
      engine.base = { ...script, chat };
    },
    reset: () => {
      engine.base = {};
      engine.next = [];
      engine.seen = [];
    },
    stop: async () => {
      await gateway.stop();
      await engine.close();
      await engines.stop();
    },
  };
}

async function startWorkingEngines(): Promise<{ pools: PoolView[]; stop(): Promise<void> }> {
  const simulator = await startSimulator(['--model-name', 'sim', '--speed', '20']);
  const embedded = await new EmbeddedUnderTest().ready();
  const { data } = (await (await fetch(`${embedded.url}/v1/models`)).json()) as { data: { id: string }[] };
  return {
    pools: [poolOf('sim', [{ url: simulator.url }]), poolOf(data[0]!.id, [{ url: embedded.url }], ['demo'])],
    stop: async () => {
      await embedded.stop();
      await simulator.kill();
    },
  };
}

export const MESSAGES = [{ role: 'user' as const, content: 'Hi' }];
export const ASK = { model: 'm', max_tokens: 100, messages: MESSAGES };

export const WEATHER: Anthropic.Tool = {
  name: 'weather',
  description: 'The weather at a place.',
  input_schema: { type: 'object', properties: { place: { type: 'string' } }, required: ['place'] },
};

/** A piece of a tool call, as engines stream them. */
export const piece = (index: number, json: string, name?: string) => ({
  tool_calls: [
    {
      index,
      ...(name !== undefined && { id: `toolu_${index}`, type: 'function' }),
      function: { ...(name !== undefined && { name }), arguments: json },
    },
  ],
});

/** A text and a call of WEATHER. */
export const PARIS: ScriptedChat = {
  deltas: [{ content: 'Let me look.' }, piece(0, '{"place"', 'weather'), piece(0, ':"Par'), piece(0, 'is"}')],
  usage: {
    prompt_tokens: 20,
    completion_tokens: 9,
    total_tokens: 29,
    prompt_tokens_details: { cached_tokens: 16 },
  },
};

export async function failure(promise: Promise<unknown>): Promise<InstanceType<typeof Anthropic.APIError>> {
  return await promise.then(
    () => {
      throw new Error('expected an error');
    },
    (thrown) => thrown as InstanceType<typeof Anthropic.APIError>,
  );
}

export const textIn = (message: Anthropic.Message) =>
  message.content.map((block) => (block.type === 'text' ? block.text : '')).join('');
