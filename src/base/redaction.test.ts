import { describe, expect, it } from 'vitest';
import { createRedactor } from './redaction.ts';
import { Secret } from './secret.ts';

const { text, words, data } = createRedactor([new Secret('k"now/n one'), new Secret('abc')]);

describe('what is kept or shown', () => {
  it.each([
    ["non-default args: {'api_key': 'plain-and-short', 'port': 1}", 'plain-and-short'],
    ['python -m vllm --api-key hunter22 --port 1', 'hunter22'],
    ['--api-key=hunter22', 'hunter22'],
    ['HF_TOKEN=zzz started', 'zzz'],
    ['ENV MY_DB_PASSWORD: "with blanks in it"', 'blanks'],
    ['authorization: Bearer abcdef0123', 'abcdef0123'],
    ['connecting to redis://me:pa55@host:6379/0', 'pa55'],
    ['GET /v1?api_key=qwerty&x=1', 'qwerty'],
    ['found sk-abcdefghij0123456789 in a line', 'sk-abc'],
    ['token hf_ABCDEFGHIJKLMNOP was refused', 'hf_ABC'],
    ['-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----', 'MIIabc'],
    ['told: k"now/n one, here', 'now/n'],
    [JSON.stringify({ a: 'k"now/n one' }), 'now/n'],
    ['?a=k%22now%2Fn%20one', 'now%2F'],
  ])('has no secret any more: %s', (given, secret) => {
    expect(given).toContain(secret);
    expect(text(given)).not.toContain(secret);
    expect(text(given)).toContain('[secret]');
  });

  it.each([
    'max_tokens=100, prompt tokens: 5, tokenizer=abc, eos_token=</s>',
    'vllm:time_per_output_token_seconds_sum{model_name="m"} 3.5',
    'Avg generation throughput: 3 tokens/s, first_token: 0.3',
    'api_key=None, hf_token: null',
    'http://127.0.0.1:8000/v1 answered',
    'a line with abc in it',
    'KeyError: secretary',
  ])('stays as it is where there is none: %s', (given) => {
    expect(text(given)).toBe(given);
  });

  it('of a command has no value of an option that names a secret, nor one of a variable', () => {
    expect(
      words(['env', 'API_KEY=x1', 'vllm', 'serve', '--api-key', 'one two', '--port', '8000', '--token=t9']),
    ).toEqual([
      'env',
      'API_KEY=[secret]',
      'vllm',
      'serve',
      '--api-key',
      '[secret]',
      '--port',
      '8000',
      '--token=[secret]',
    ]);
  });

  it('of data has none under any name or in any text, and keeps the rest', () => {
    expect(
      data({
        apiKey: 'short',
        nested: [{ text: '--password x1', count: 3 }],
        args: ['--api-key', 'v'],
        key: new Secret('q'),
        none: null,
      }),
    ).toEqual({
      apiKey: '[secret]',
      nested: [{ text: '--password [secret]', count: 3 }],
      args: ['--api-key', '[secret]'],
      key: '[secret]',
      none: null,
    });
  });

  it('is found in time linear in a hostile text', () => {
    const hostile = `${'a-'.repeat(50_000)} ${'"'.repeat(50_000)} ${'token='.repeat(20_000)}`;
    const startedMs = performance.now();
    text(hostile);
    expect(performance.now() - startedMs).toBeLessThan(2_000);
  });
});

it('takes out what stands behind the scheme of an authorization, however short', () => {
  const { text } = createRedactor([]);
  expect(text('sh -c curl -H "Authorization: Bearer abc" http://h')).toBe(
    'sh -c curl -H "Authorization: Bearer [secret]" http://h',
  );
  expect(text('authorization=Basic eA==')).toBe('authorization=Basic [secret]');
  expect(text('{"authorization": "Bearer abc"}')).not.toContain('abc');
});
