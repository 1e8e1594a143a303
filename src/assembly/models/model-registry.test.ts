import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { isNoRoom } from '../../drivers/storage/no-room.ts';
import { parseConfig } from '../config/load-config.ts';
import { setAlias } from './change-models.ts';
import { ModelRegistry } from './model-registry.ts';

const root = mkdtempSync(join(tmpdir(), 'autoglm-registry-'));
afterEach(() => rmSync(root, { recursive: true, force: true }));

it('says that the state directory cannot be written, and changes nothing', async () => {
  const directory = join(root, 'state');
  const environment = { variables: {}, homeDir: root, workDir: root };
  const text = 'models:\n  - { model_name: a, engine: simulator }\n';
  const registry = new ModelRegistry({
    loaded: {
      file: 'a.yaml',
      config: parseConfig('a.yaml', text, environment),
      environment,
      notHonoured: [],
    },
    file: join(directory, 'models.json'),
    log: () => {},
  });
  const change = () => registry.change((now) => setAlias(now, 'a', 'other', false));
  await expect(change()).rejects.toMatchObject({
    code: 'storage_unavailable',
    message: expect.stringMatching(/models\.json cannot be written \(ENOENT\), so nothing was changed; /),
  });
  expect(registry.merged.models[0]?.config.aliases).toEqual([]);
  mkdirSync(directory, { recursive: true });
  await change();
  expect(registry.merged.models[0]?.config.aliases).toEqual(['other']);
});

it('knows every name that clients may send, as it is at the moment: names, aliases and adapters', async () => {
  const environment = { variables: {}, homeDir: root, workDir: root };
  const text =
    'models:\n  - { model_name: a, engine: simulator, aliases: [b], lora_adapters: [{ name: c, path: /p }] }\n';
  const directory = join(root, 'names');
  mkdirSync(directory, { recursive: true });
  const registry = new ModelRegistry({
    loaded: {
      file: 'a.yaml',
      config: parseConfig('a.yaml', text, environment),
      environment,
      notHonoured: [],
    },
    file: join(directory, 'models.json'),
    log: () => {},
  });
  const known = () => ['a', 'b', 'c', 'later', 'nobody'].filter((name) => registry.serves(name));
  expect(known()).toEqual(['a', 'b', 'c']);
  await registry.change((now) => setAlias(now, 'a', 'later', false));
  expect(known()).toEqual(['a', 'b', 'c', 'later']);
});

it('knows a full disk and a used up quota from other faults', () => {
  const known = ['ENOSPC', 'EDQUOT', 'EACCES', 'EROFS'].filter((code) =>
    isNoRoom(Object.assign(new Error(code), { code })),
  );
  expect(known).toEqual(['ENOSPC', 'EDQUOT']);
});
