import { expect, it } from 'vitest';
import { parseConfig } from './load-config.ts';
import { resolveConfig } from './resolve-config.ts';
import { shownConfig } from './shown-config.ts';

const TEXT = `
gateway: { keys: [{ name: alice, key: gateway-key-1 }] }
admin: { keys: [{ name: bob, key: admin-key-22 }] }
limits: { store: redis }
redis: { url: "redis://user:pass-3333@host:6379" }
models:
  - model_name: m
    engine: vllm
    command: [vllm, serve, m, --api-key, command-key-4, --port, "{port}"]
    env: { HF_TOKEN: variable-5555 }
  - model_name: n
    model: n
    engine: vllm
    args: [--hf-token=argument-66]
  - { model_name: o, engine: vllm, urls: ["http://host:8000"], api_key: engine-key-777 }
`;
const SECRETS = [
  'gateway-key-1',
  'admin-key-22',
  'pass-3333',
  'command-key-4',
  'variable-5555',
  'argument-66',
  'engine-key-777',
];

it('shows of a configuration no key, no password and no value of a variable', () => {
  const environment = { variables: {}, homeDir: '/home/x', workDir: '/' };
  const config = resolveConfig({
    ...{ file: 'a.yaml', environment, notHonoured: [] },
    config: parseConfig('a.yaml', TEXT, environment),
  });
  const text = JSON.stringify(shownConfig(config, config.models));
  for (const secret of SECRETS) expect(text).not.toContain(secret);
  for (const kept of ['alice', 'bob', '[secret]@host:6379', 'HF_TOKEN', '--port', '"stateDir":'])
    expect(text).toContain(kept);
});
