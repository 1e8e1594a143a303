import { expect, it } from 'vitest';
import { parseEnvelope } from '../../../wire/openai/envelope.ts';
import { fingerprintOf } from './fingerprint.ts';

const KEY = 'ab'.repeat(32);
const CHAT = { model: 'm', messages: [{ role: 'user', content: 'hello' }], max_tokens: 5 };

function of(body: Record<string, unknown>, { key = KEY, model = 'm' } = {}): string {
  return fingerprintOf(key, parseEnvelope('chat', Buffer.from(JSON.stringify(body))), model);
}

it('is the same whoever sends it, by whatever name of the model, streamed or not, in any order of fields', () => {
  const plain = of(CHAT);
  expect(plain).toMatch(/^[0-9a-f]{32}$/);
  expect(of({ ...CHAT, model: 'alias', user: 'u', metadata: { a: 1 }, seed: 7, stop: null })).toBe(plain);
  expect(of({ ...CHAT, stream: true, stream_options: { include_usage: true } })).toBe(plain);
  expect(of(Object.fromEntries(Object.entries(CHAT).reverse()))).toBe(plain);
});

it('differs by content, by what the engine must do, by model and by key', () => {
  const all = [
    of(CHAT),
    of({ ...CHAT, messages: [{ role: 'user', content: 'hello ' }] }),
    of({ ...CHAT, max_tokens: 6 }),
    of({ ...CHAT, response_format: { type: 'json_object' } }),
    of(CHAT, { model: 'other' }),
    of(CHAT, { key: 'cd'.repeat(32) }),
  ];
  expect(new Set(all).size).toBe(all.length);
});

it('is there for bodies that JSON can not tell apart', () => {
  const big = '{"model":"m","messages":[],"max_tokens":90071992547409931}';
  const other = '{"model":"m","messages":[],"max_tokens":90071992547409932}';
  const [one, two] = [big, other].map((body) =>
    fingerprintOf(KEY, parseEnvelope('chat', Buffer.from(body)), 'm'),
  );
  expect(one).not.toBe(two);
});

it("of a call for several requests is nobody else's, the first of them included", () => {
  const first = parseEnvelope('embeddings', Buffer.from('{"model":"m","input":"good"}'));
  const merged = (input: string[]) => ({
    ...first,
    bytes: Buffer.from(JSON.stringify({ model: 'm', input })),
    ticket: 'kind',
  });
  const calls = [first, merged(['good', 'bad']), merged(['good', 'worse'])];
  expect(new Set(calls.map((call) => fingerprintOf(KEY, call, 'm'))).size).toBe(3);
});
