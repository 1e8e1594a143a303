import { expect, it } from 'vitest';
import { PlatformError } from '../contract/errors.ts';
import { readAddress } from './address.ts';

it('takes an origin, with /v1 or without', () => {
  for (const text of ['http://h:1', 'http://h:1/', 'http://h:1/v1', 'http://h:1/v1/']) {
    expect(readAddress('--url', text)).toBe('http://h:1');
  }
});

it.each([
  'foo',
  'localhost:8080',
  '',
  'ftp://h',
  'http://',
  '/v1',
  'http://h:99999',
])('refuses %j', (text) => {
  expect(() => readAddress('--url', text)).toThrow(
    new PlatformError(
      'invalid_request',
      `--url: found "${text}", which is not an address such as http://127.0.0.1:8080`,
    ),
  );
});

it('refuses what stands beyond host and port, and repeats no password', () => {
  expect(() => readAddress('--url', 'http://u:canary@h:1/x')).toThrow(
    '--url: found more than host and port in the address; would be right: http://h:1',
  );
});
