import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonValue } from '../../../../tests/support/hostile-json.ts';
import { ByteStore, ENTRY_OVERHEAD_BYTES } from './byte-store.ts';
import { type CacheScope, cacheKey } from './cache-key.ts';
import { canonicalJson, DEPTH_MAX } from './canonical-json.ts';
import { SingleFlight } from './single-flight.ts';

const scope: CacheScope = { tenant: 'a', modelRevision: 'm@1', endpoint: 'chat', determinism: 'greedy' };
const body = { model: 'm', temperature: 0, messages: [{ role: 'user', content: 'hi' }] };
const part = (content: object) => ({ role: 'user', content: [content] });
const keyOf = (change: Record<string, unknown> = {}, where: Partial<CacheScope> = {}) => {
  const key = cacheKey({ ...scope, ...where }, { ...body, ...change });
  return key.kind === 'key' ? key.text : key.kind;
};

/** The same value with its keys in another order, as chance has it. */
function shuffled(value: unknown, order: number): unknown {
  if (Array.isArray(value)) return value.map((item) => shuffled(item, order));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, shuffled(item, order)] as const);
  return Object.fromEntries(
    order % 2 === 0 ? entries.reverse() : entries.sort(([a], [b]) => (a < b ? 1 : -1)),
  );
}

/** What JSON can say: -0 is 0 to everybody who reads it. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
const json = jsonValue(3);

describe('canonicalJson', () => {
  it('is the same text exactly for equal values (property)', () => {
    const pair = fc.oneof(
      fc.tuple(json, json),
      json.chain((value) => fc.nat().map((order) => [value, shuffled(value, order)] as const)),
    );
    fc.assert(
      fc.property(pair, ([one, other]) => {
        const [a, b] = [canonicalJson(plain(one)), canonicalJson(plain(other))];
        if (a === null || b === null) return;
        expect(a === b).toBe(isDeepStrictEqual(plain(one), plain(other)));
      }),
      { numRuns: 10_000 },
    );
  });

  it('is JSON of the same value (property)', () => {
    fc.assert(
      fc.property(json, (value) => {
        const text = canonicalJson(plain(value));
        if (text !== null) expect(JSON.parse(text)).toEqual(plain(value));
      }),
      { numRuns: 10_000 },
    );
  });

  it.each([
    ['float forms', '{"t":1.0,"p":1e-1}', '{"p":0.1,"t":1}', true],
    ['escapes', '{"s":"\\u0041\\/"}', '{"s":"A/"}', true],
    ['white space', ' { "a" : [ 1 , 2 ] } ', '{"a":[1,2]}', true],
    ['negative zero', '{"t":-0.0}', '{"t":0}', true],
    ['composed and decomposed letters', '{"s":"\\u00e9"}', '{"s":"e\\u0301"}', false],
    ['order in arrays', '[1,2]', '[2,1]', false],
    ['numbers and their text', '{"a":1}', '{"a":"1"}', false],
    ['__proto__ as a key', '{"__proto__":{"x":1}}', '{}', false],
  ])('%s', (_name, one, other, same) => {
    expect(canonicalJson(JSON.parse(one)) === canonicalJson(JSON.parse(other))).toBe(same);
  });

  it('gives no text where two values would be one, or where it would go too deep', () => {
    expect(canonicalJson(JSON.parse('{"seed":9007199254740993}'))).toBeNull();
    expect(canonicalJson(JSON.parse(`${'['.repeat(DEPTH_MAX + 2)}${']'.repeat(DEPTH_MAX + 2)}`))).toBeNull();
    expect(canonicalJson(JSON.parse('1e999'))).toBeNull();
  });
});

describe('cacheKey', () => {
  it('never finds the answer of another tenant, model or endpoint (property)', () => {
    const part = fc.oneof(fc.string(), fc.constantFrom('a', 'a"', 'a","b', '","', '\\', '\ud800'));
    fc.assert(
      fc.property(
        part,
        part,
        part,
        part,
        json,
        json,
        (tenant, revision, tenant2, revision2, content, content2) => {
          const one = keyOf({ messages: plain(content) }, { tenant, modelRevision: revision });
          const other = keyOf({ messages: plain(content2) }, { tenant: tenant2, modelRevision: revision2 });
          if (one === 'uncacheable' || other === 'uncacheable') return;
          if (tenant !== tenant2 || revision !== revision2) expect(one).not.toBe(other);
        },
      ),
      { numRuns: 10_000 },
    );
    expect(keyOf({}, { endpoint: 'completions' })).not.toBe(keyOf());
  });

  it.each([
    ['the name that the client uses for the model', { model: 'alias' }],
    ['who the end user is', { user: 'u', metadata: { a: 1 }, safety_identifier: 's' }],
    ['null for absent', { max_tokens: null, tools: null }],
    ['not streaming, said or unsaid', { stream: false }],
  ])('does not see a difference in %s', (_name, change) => expect(keyOf(change)).toBe(keyOf()));

  it.each([
    ['messages', { messages: [{ role: 'user', content: 'hi ' }] }],
    ['max_tokens', { max_tokens: 5 }],
    ['streaming', { stream: true }],
    ['tools', { tools: [] }],
    ['a field that it does not know', { chat_template_kwargs: { thinking: true } }],
  ])('sees a difference in %s', (_name, change) => expect(keyOf(change)).not.toBe(keyOf()));

  it.each([
    ['temperature is missing', { temperature: undefined }, {}, false],
    ['temperature is above 0', { temperature: 0.1 }, {}, false],
    ['a seed, and the engine honours it', { temperature: 1, seed: 7 }, { determinism: 'seeded' }, true],
    ['a seed, and the engine does not', { temperature: 1, seed: 7 }, {}, false],
    ['the engine never repeats itself', {}, { determinism: 'none' }, false],
    ['embeddings', { temperature: undefined }, { endpoint: 'embeddings', determinism: 'none' }, true],
    ['best_of', { best_of: 3 }, {}, false],
    ['a sampled answer that the caller is content with', { temperature: 1 }, { sampled: true }, true],
    ['a picture at an address', { messages: [part({ image_url: { url: 'https://a/b.png' } })] }, {}, false],
    [
      'a picture that it carries',
      { messages: [part({ image_url: { url: 'data:image/png;base64,AA' } })] },
      {},
      true,
    ],
    [
      'a sound at an address',
      { messages: [part({ audio_url: 'https://a/b.wav' })] },
      { sampled: true },
      false,
    ],
    ['a seed with too many digits', { temperature: 1, seed: 2 ** 60 }, { determinism: 'seeded' }, false],
  ] as const)('caches or not: %s', (_name, change, where, cached) => {
    expect(keyOf(change, where) !== 'uncacheable').toBe(cached);
  });
});

describe('SingleFlight', () => {
  it('asks once, and gives the answer to all in the order in which they came', () => {
    const flights = new SingleFlight<string>({ flightsMax: 2, followersMax: 2 });
    expect(['a', 'b', 'c', 'd'].map((request) => flights.join('k', request))).toEqual([
      'lead',
      'follow',
      'follow',
      'alone',
    ]);
    expect(flights.succeeded('k')).toEqual(['b', 'c']);
    expect([flights.join('k', 'e'), flights.join('l', 'f'), flights.join('m', 'g')]).toEqual([
      'lead',
      'lead',
      'alone',
    ]);
  });

  it('lets a follower lead after a failure, and the attempt go on when only its client left', () => {
    const flights = new SingleFlight<string>({ flightsMax: 2, followersMax: 8 });
    for (const request of ['a', 'b', 'c']) flights.join('k', request);
    expect(flights.failed('k')).toBe('b');
    expect(flights.leave('k', 'b')).toBe('keep-attempt');
    expect(flights.leave('k', 'b')).toBe('nothing');
    expect(flights.leave('k', 'c')).toBe('cancel-attempt');
    expect([flights.size, flights.failed('k')]).toEqual([0, null]);
  });

  it('tells everybody once, has one leader, and leaves nothing behind (property)', () => {
    const step = fc.record({
      kind: fc.constantFrom('join', 'leave', 'ok', 'failed'),
      key: fc.nat(2),
      who: fc.nat(20),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const flights = new SingleFlight<number>({ flightsMax: 2, followersMax: 4 });
        const inside = new Map<string, Set<number>>();
        const of = (key: string) => inside.get(key) ?? inside.set(key, new Set()).get(key)!;
        const running = new Set<string>();
        const leaders = new Map<string, number | null>();
        let ids = 0;
        for (const { kind, key: which, who } of steps) {
          const key = `k${which}`;
          const members = of(key);
          if (kind === 'join') {
            const joined = flights.join(key, ids);
            expect(joined === 'lead').toBe(!running.has(key) && running.size < 2);
            if (joined !== 'alone') members.add(ids);
            if (joined === 'lead') leaders.set(key, ids);
            if (joined === 'lead') running.add(key);
            ids++;
          } else if (kind === 'leave') {
            const one = [...members][who % Math.max(1, members.size)];
            if (one === undefined) continue;
            members.delete(one);
            const left = flights.leave(key, one);
            expect(left === 'cancel-attempt').toBe(members.size === 0);
            if (leaders.get(key) === one) leaders.set(key, null);
            if (members.size === 0) running.delete(key);
          } else if (kind === 'ok') {
            const leader = leaders.get(key);
            const told = flights.succeeded(key);
            if (running.has(key)) expect(told).toEqual([...members].filter((one) => one !== leader));
            members.clear();
            running.delete(key);
          } else if (running.has(key)) {
            const leader = leaders.get(key);
            if (leader !== null && leader !== undefined) members.delete(leader);
            const next = flights.failed(key);
            expect(next).toBe([...members][0] ?? null);
            leaders.set(key, next);
            if (next === null) running.delete(key);
          }
          expect(flights.size).toBe(running.size);
        }
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('ByteStore', () => {
  it('never holds more bytes than it may, forgets the least used, and nothing outlives its time (property against a model)', () => {
    const step = fc.record({
      kind: fc.constantFrom('set', 'get', 'delete', 'sweep', 'pass'),
      key: fc.nat(12),
      bytes: fc.nat(1_500),
      ms: fc.nat(50),
    });
    const bytesMax = 8_000;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const store = new ByteStore<number>(bytesMax);
        let model: { key: string; value: number; bytes: number; untilMs: number }[] = [];
        let nowMs = 0;
        let values = 0;
        for (const { kind, key: which, bytes, ms } of steps) {
          const key = `k${which}`;
          if (kind === 'pass') nowMs += ms;
          else if (kind === 'get') {
            const held = model.find((one) => one.key === key);
            expect(store.get(key, nowMs)).toBe(
              held !== undefined && held.untilMs > nowMs ? held.value : undefined,
            );
            model = model.filter((one) => one !== held);
            if (held !== undefined && held.untilMs > nowMs) model.push(held);
          } else if (kind === 'delete') {
            expect(store.delete(key)).toBe(model.some((one) => one.key === key));
            model = model.filter((one) => one.key !== key);
          } else if (kind === 'set') {
            const whole = bytes + key.length * 2 + ENTRY_OVERHEAD_BYTES;
            model = model.filter((one) => one.key !== key);
            const fits = whole <= bytesMax / 8;
            expect(store.set(key, values, bytes, nowMs + ms)).toBe(fits);
            if (fits) {
              model.push({ key, value: values, bytes: whole, untilMs: nowMs + ms });
              while (model.reduce((sum, one) => sum + one.bytes, 0) > bytesMax) model.shift();
            }
            values++;
          } else {
            store.sweep(nowMs, 100);
            model = model.filter(({ untilMs }) => untilMs > nowMs);
          }
          expect(store.bytes).toBe(model.reduce((sum, one) => sum + one.bytes, 0));
          expect(store.bytes).toBeLessThanOrEqual(bytesMax);
          expect(store.size).toBe(model.length);
        }
      }),
      { numRuns: 3_000 },
    );
  });
});
