import { expect, it } from 'vitest';
import { banner, curlLine, notReadyLine, progressLine, readyLine, tryLines } from './banner.ts';
import { parseConfig } from './config/load-config.ts';
import { resolveConfig } from './config/resolve-config.ts';

const environment = { variables: {}, homeDir: '/h', workDir: '/w' };
const config = (text: string) =>
  resolveConfig({
    file: null,
    config: parseConfig('x', text, environment),
    environment,
    notHonoured: [],
  });
const addresses = { gateway: 'http://127.0.0.1:8080', admin: 'http://127.0.0.1:8081' };

it('says where everything is', () => {
  const text = banner('1.0.0', config(''), addresses);
  expect(text).toContain('http://127.0.0.1:8080/v1');
  expect(text).toContain('http://127.0.0.1:8081/');
  expect(text).toContain('no key needed');
  expect(text).not.toContain('curl');
});

it('asks for a key where one is needed, and never prints one', () => {
  const keyed = config('gateway: { keys: [{ name: a, key: sk-canary-1 }] }\n');
  const text = banner('1.0.0', keyed, addresses) + tryLines(keyed, addresses.gateway, 'm');
  expect(text).toContain('-H "authorization: Bearer $AUTOGLM_KEY"');
  expect(text).not.toContain('canary');
});

it('gives a curl line that can be pasted, for a model that is ready, or says that none is', () => {
  expect(tryLines(config(''), addresses.gateway, 'm')).toContain(
    '\ncurl -s http://127.0.0.1:8080/v1/chat/completions -H',
  );
  expect(notReadyLine(0, 1)).toBe('none of 1 replica is ready; `npx autoglm status` says why');
  expect(notReadyLine(1, 2)).toContain('1 of 2 replicas are ready;');
});

it('quotes names of models for the shell and for JSON', () => {
  expect(curlLine('http://h:1', `it's "a"`, false)).toContain(`-d '{"model":"it'\\''s \\"a\\""`);
});

it('shows what a person waits for, and leaves the rest to the log', () => {
  const change = {
    type: 'replicaStateChanged' as const,
    atMs: 0,
    replica: 'm/0',
    generation: 1,
    reason: 'exited with code 1',
  };
  expect(progressLine({ ...change, from: 'starting', to: 'ready' }, 1_234)).toBe(
    '  replica m/0 ready after 1.2 s',
  );
  expect(progressLine({ ...change, from: 'ready', to: 'backing-off' }, 0)).toBe(
    '  replica m/0 backing-off: exited with code 1',
  );
  expect(progressLine({ ...change, from: 'stopped', to: 'starting' }, 0)).toBeNull();
  expect(readyLine(1, 900)).toBe('ready: 1 replica, 0.9 s from start; Ctrl-C drains and stops');
});
