import picocolors from 'picocolors';
import { expect, it } from 'vitest';
import type { ChatClient, ChatEvent, ChatMessage } from '../client/chat-client.ts';
import type { PoolStatus } from '../contract/admin-api.ts';
import { PlatformError } from '../contract/errors.ts';
import { ChatSession } from './chat-session.ts';
import { explainWait } from './chat-wait.ts';
import type { Terminal } from './terminal.ts';

function setUp(
  answer: (messages: readonly ChatMessage[], signal: AbortSignal) => AsyncGenerator<ChatEvent>,
  { stepMs = 100, waitNoticeMs = 60_000, onPrint = (_text: string): void => undefined } = {},
) {
  let shown = '';
  const seen: (readonly ChatMessage[])[] = [];
  const terminal: Terminal = {
    print: (text) => {
      shown += `${text}\n`;
      onPrint(text);
    },
    write: (text) => {
      shown += text;
    },
    tell: () => undefined,
    complain: () => undefined,
    colors: picocolors.createColors(false),
    interactive: true,
    columns: 80,
    rows: 24,
  };
  const client: ChatClient = {
    listModels: async () => ['a', 'b'],
    stream: (_model, messages, signal) => {
      seen.push(messages);
      return answer(messages, signal);
    },
  };
  let nowMs = 0;
  const now = () => {
    nowMs += stepMs;
    return nowMs;
  };
  const session = new ChatSession({
    client,
    model: 'a',
    system: undefined,
    terminal,
    now,
    whyWaiting: async (model) => `(waiting for ${model})`,
    waitNoticeMs,
  });
  return { session, seen, shown: () => shown };
}

const live = () => new AbortController().signal;

it('keeps the conversation, prints figures, and removes escape sequences from answers', async () => {
  const { session, seen, shown } = setUp(async function* () {
    yield { type: 'text', text: 'he\u001b[2Jllo' };
    yield { type: 'usage', promptTokens: 3, completionTokens: 21 };
  });
  await session.converse('hi', live());
  await session.converse('and', live());
  expect(shown()).toContain('he[2Jllo\n');
  expect(shown()).toContain('21 tokens, 200 tokens/s, first token after 100 ms');
  expect(seen[1]?.map(({ role }) => role)).toEqual(['user', 'assistant', 'user']);
});

it('gives no speed for an answer that was there at once', async () => {
  const { session, shown } = setUp(
    async function* () {
      yield { type: 'text', text: 'x' };
      yield { type: 'usage', promptTokens: 3, completionTokens: 20 };
    },
    { stepMs: 10 },
  );
  await session.converse('hi', live());
  expect(shown()).toContain('20 tokens, first token after 10 ms');
});

it('says below the answer that another replica went on, and that it was cut', async () => {
  const { session, shown } = setUp(async function* () {
    yield { type: 'text', text: 'one ' };
    yield { type: 'continued', tier: 'B', gapMs: 12 };
    yield { type: 'text', text: 'two' };
    yield { type: 'finish', reason: 'length' };
  });
  await session.ask('hi', live());
  expect(shown()).toBe(
    'one two\n(continued on another replica: tier B, gap 12 ms)\n(cut at the limit of tokens)\n',
  );
});

it('forgets a question whose answer failed, and says how to go on', async () => {
  const { session, seen, shown } = setUp(async function* () {
    yield* [];
    throw new PlatformError('context_length_exceeded', 'too long');
  });
  await session.converse('one', live());
  await session.converse('two', live());
  expect(shown()).toContain('too long (/clear begins a new conversation)');
  expect(seen[1]).toEqual([{ role: 'user', content: 'two' }]);
});

it('keeps what came of an answer that was stopped', async () => {
  const stop = new AbortController();
  const { session, seen, shown } = setUp(async function* () {
    yield { type: 'text', text: 'half' };
    stop.abort();
    throw new PlatformError('client_closed', 'stopped');
  });
  await session.converse('one', stop.signal);
  expect(shown()).toContain('half\n(stopped)');
  await session.converse('two', live());
  expect(seen[1]?.[1]).toEqual({ role: 'assistant', content: 'half' });
});

it('says why the first token takes its time, once, and nothing where it comes soon', async () => {
  const { promise: said, resolve } = Promise.withResolvers<void>();
  const slow = setUp(
    async function* () {
      await said;
      yield { type: 'text', text: 'at last' };
    },
    { waitNoticeMs: 1, onPrint: () => resolve() },
  );
  await slow.session.ask('hi', live());
  expect(slow.shown()).toBe('(waiting for a)\nat last\n');
});

it('explains a wait by the states of the replicas', () => {
  const replica = { id: 'ext/0', state: 'starting', reason: 'port:\n refused' };
  const pool = { model: 'ext', aliases: [], ready: 0, total: 1, queued: 1, replicas: [replica] };
  expect(explainWait(pool as unknown as PoolStatus)).toBe(
    '(waiting for a replica of "ext": ext/0 is starting: port: refused)',
  );
  expect(explainWait({ ...pool, ready: 1 } as unknown as PoolStatus)).toBe(
    '(waiting for the first token: 1 of 1 replicas of "ext" are ready, 1 request waits for a place)',
  );
});

it('changes model and system prompt, and refuses what it does not know', async () => {
  const { session, seen, shown } = setUp(async function* () {
    yield { type: 'text', text: 'x' };
  });
  await session.command('/model b', live());
  expect(session.model).toBe('b');
  await session.command('/model z', live());
  await session.command('/system be brief', live());
  await session.command('/nonsense', live());
  expect(shown()).toContain('unknown model "z"; known: a, b');
  expect(shown()).toContain('unknown command /nonsense');
  await session.converse('hi', live());
  expect(seen[0]?.[0]).toEqual({ role: 'system', content: 'be brief' });
});
