import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pretendSubject } from '../../../tests/support/pretend-proc.ts';
import { PluginSource } from '../../drivers/signals/plugin-source.ts';
import { loadConfig } from './load-config.ts';
import { PACKAGE_ROOT } from './release.ts';
import { resolveConfig } from './resolve-config.ts';
import { loadSignalPlugins } from './signal-plugins.ts';

const EXAMPLE = join(PACKAGE_ROOT, 'examples/signal-source/amd-gpus.mjs');
const options = { nowMs: () => 0, log: () => {} };

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'autoglm-plugins-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function module(name: string, text: string): string {
  writeFileSync(join(dir, name), text);
  return `./${name}`;
}

const source = (name: string, over = '') =>
  `({ name: '${name}', metrics: ['processes'], look: async () => ({}), close() {}, ${over} })`;

function load(...plugins: string[]) {
  const file = join(dir, 'autoglm.yaml');
  writeFileSync(
    file,
    `state_dir: ./state\nsignal_sources:\n${plugins.map((path) => `  - ${path}\n`).join('')}`,
  );
  const config = resolveConfig(loadConfig(file, { variables: {}, homeDir: dir, workDir: dir }));
  return loadSignalPlugins(config, options);
}

function faults(...plugins: string[]): string[] {
  try {
    load(...plugins);
    return [];
  } catch (error) {
    expect(error).toMatchObject({ code: 'config_invalid' });
    return (error as Error).message.replaceAll(`${dir}/`, '').split('\n');
  }
}

describe('plug-ins for signals', () => {
  it('are loaded by name or as default, from where the file lies', () => {
    const named = module('a.mjs', `export const createSignalSource = () => ${source('one')}`);
    const standard = module('b.mjs', `export default () => ${source('two')}`);
    expect(load(named, standard).map(({ name }) => name)).toEqual(['one', 'two']);
  });

  it('are refused with their line and what would be right', () => {
    const cases: [string, RegExp][] = [
      ['./nowhere.mjs', /nowhere\.mjs: there is no such file; would be right: a module/],
      [
        module('none.mjs', 'export const other = 1'),
        /it exports other; would be right: a function `createSignalSource`/,
      ],
      [module('syntax.mjs', 'export const = 1'), /it cannot be loaded: /],
      [module('throws.mjs', 'throw new Error("no key")'), /it cannot be loaded: no key/],
      [
        module('late.mjs', `await 0; export default () => ${source('late')}`),
        /waits \(await\) at its top level/,
      ],
      [module('fails.mjs', 'export default () => { throw new Error("x") }'), /createSignalSource failed: x/],
      [
        module('name.mjs', `export default () => ${source('My Source')}`),
        /`name` is "My Source"; would be right: a name in kebab/,
      ],
      [
        module('metrics.mjs', `export default () => ${source('m', "metrics: ['gpu']")}`),
        /`metrics` is \[gpu\]; would be right: a list of some of gpu_memory, /,
      ],
      [module('look.mjs', `export default () => ${source('l', 'look: 1')}`), /no function `look`/],
      [module('null.mjs', 'export default () => null'), /it made null; would be right: an object/],
      [
        module('taken.mjs', `export default () => ${source('gpus')}`),
        /"gpus" is taken by a source that is built in/,
      ],
    ];
    const found = faults(...cases.map(([path]) => path));
    expect(found).toHaveLength(cases.length);
    for (const [index, [, text]] of cases.entries()) {
      expect(found[index]).toMatch(text);
      expect(found[index]).toMatch(
        new RegExp(`^autoglm\\.yaml:${index + 3}:5: signal_sources\\[${index}\\]: `),
      );
    }
    const twice = module('twice.mjs', `export default () => ${source('twice')}`);
    module('again.mjs', `export default () => ${source('twice')}`);
    expect(faults(twice, './again.mjs')[0]).toMatch(/again\.mjs: its name "twice" is taken by twice\.mjs/);
  });

  it('may be an example that comes with the product', async () => {
    const [amd] = load(EXAMPLE);
    const signal = new AbortController().signal;
    expect(amd?.name).toBe('amd-gpus');
    expect(Object.keys(await amd!.look(pretendSubject(), signal))).toHaveLength(1);
    const root = join(dir, 'drm');
    for (const [card, files] of Object.entries({
      card0: { mem_info_vram_total: 1000, mem_info_vram_used: 400, gpu_busy_percent: 25 },
      card1: {},
      'card0-DP-1': {},
    })) {
      mkdirSync(join(root, card, 'device'), { recursive: true });
      for (const [name, value] of Object.entries(files))
        writeFileSync(join(root, card, 'device', name), `${value}\n`);
    }
    const { createSignalSource } = await import(EXAMPLE);
    const here = new PluginSource(createSignalSource({ ...options, root }));
    expect(await here.look(pretendSubject(), signal)).toEqual({
      gpus: [
        {
          id: '0',
          name: 'AMD GPU',
          reachable: true,
          totalBytes: 1000,
          usedBytes: 400,
          freeBytes: 600,
          utilizationRatio: 0.25,
        },
      ],
    });
    expect(await here.look(pretendSubject({ process: null }), signal)).toEqual({});
  });
});

describe('a plug-in that does not keep to the contract', () => {
  const plugin = (look: () => unknown, over = {}) =>
    new PluginSource({
      name: 'odd',
      metrics: ['processes'],
      look: look as never,
      close: () => {
        throw new Error('x');
      },
      ...over,
    });
  const signal = new AbortController().signal;

  it('does no harm when it throws, or answers nonsense', async () => {
    const thrower = plugin(() => {
      throw new Error('no power');
    });
    expect(await thrower.look(pretendSubject(), signal)).toEqual({
      unavailable: ['plug-in odd: it failed: no power'],
    });
    for (const reading of [1, { gpus: {} }, { gpus: [{ id: 0 }] }, { oomKills: -1 }, { kernelLines: [1] }]) {
      const { unavailable } = await plugin(async () => reading).look(pretendSubject(), signal);
      expect(unavailable?.[0]).toMatch(/^plug-in odd: it gave a reading of the wrong form: \S+: /);
    }
    const last = plugin(async () => ({}), { lookLast: () => ({ oomKills: 'x' }) });
    expect(last.lookLast(pretendSubject()).unavailable).toHaveLength(1);
    thrower.close();
  });

  it('keeps nobody waiting, and is not asked again while it is late', async () => {
    const { promise, resolve } = Promise.withResolvers<object>();
    let asked = 0;
    const slow = plugin(() => {
      asked++;
      return promise;
    });
    const late = await slow.look(pretendSubject(), AbortSignal.timeout(10));
    expect(late.unavailable).toEqual(['plug-in odd: it did not answer in time']);
    expect((await slow.look(pretendSubject(), signal)).unavailable?.[0]).toMatch(
      /has not ended its last look/,
    );
    resolve({ oomKills: 0 });
    await promise;
    await new Promise(setImmediate);
    expect(await slow.look(pretendSubject(), signal)).toEqual({ oomKills: 0 });
    expect(asked).toBe(2);
  });
});
