import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mustEqual } from '../../../tests/support/must.ts';
import { type Config, configSchema } from '../../contract/config-schema.ts';
import { PlatformError } from '../../contract/errors.ts';
import { mergeModels } from '../config/merge-models.ts';
import { modelProblems } from '../config/model-entry.ts';
import { NO_RUNTIME_MODELS, type RuntimeModels } from '../config/runtime-models.ts';
import {
  type Change,
  loadModel,
  type ModelsNow,
  removeAdapter,
  removeAlias,
  scaleModel,
  setAdapter,
  setAlias,
  unloadModel,
} from './change-models.ts';

const FILE = [
  {
    model_name: 'a',
    engine: 'simulator',
    replicas: 2,
    aliases: ['a1'],
    lora_adapters: [{ name: 'la', path: '/la' }],
  },
  { model_name: 'b', engine: 'simulator' },
];

/** The models as a registry holds them, without the disk. */
class Models {
  runtime: RuntimeModels = NO_RUNTIME_MODELS;
  #config: Config;

  constructor(file: unknown[] = FILE) {
    this.#config = configSchema.parse({ models: file });
  }

  set file(models: unknown[]) {
    this.#config = configSchema.parse({ models });
  }

  get now(): ModelsNow {
    const config = this.#config;
    return {
      file: 'the file',
      config,
      merged: mergeModels('the file', config, this.runtime),
      locate: ({ model = '', lora_adapters }) => ({ model: `/abs/${model}`, loraAdapters: lora_adapters }),
    };
  }

  do(decide: (now: ModelsNow) => Change): string {
    const { runtime, message } = decide(this.now);
    this.runtime = runtime;
    return message;
  }

  /** What is served, in short: `a*2 [a1] {la}`. */
  get shown(): string[] {
    return this.now.merged.models.map(
      ({ config }) =>
        `${config.model_name}*${config.replicas} [${config.aliases.join()}] {${config.lora_adapters.map(({ name }) => name).join()}}`,
    );
  }
}

const sim = (model_name: string, more: object = {}) => ({ model_name, engine: 'simulator', ...more });
const load =
  (entry: Record<string, unknown>, trusted = true) =>
  (now: ModelsNow) =>
    loadModel(now, entry, trusted);

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return `${PlatformError.from(error).code}: ${PlatformError.from(error).message}`;
  }
  return 'accepted';
}

describe('changes to the models', () => {
  it('add, scale and remove models, aliases and adapters beside those of the file', () => {
    const models = new Models();
    models.do(load(sim('c', { model: 'm', aliases: ['c1'], lora_adapters: [{ name: 'lc', path: '/lc' }] })));
    models.do((now) => scaleModel(now, 'a', 3));
    models.do((now) => setAlias(now, 'b', 'b1', false));
    models.do((now) => setAdapter(now, 'a', 'la2', '/la2'));
    expect(models.shown).toEqual(['a*3 [a1] {la,la2}', 'b*1 [b1] {}', 'c*1 [c1] {lc}']);
    expect(models.runtime.models).toEqual([{ model_name: 'c', engine: 'simulator', model: '/abs/m' }]);
    models.do((now) => setAlias(now, 'c', 'b1', true));
    models.do((now) => removeAlias(now, 'c', 'c1'));
    models.do((now) => removeAdapter(now, 'c', 'lc'));
    models.do((now) => unloadModel(now, 'a'));
    expect(models.shown).toEqual(['b*1 [] {}', 'c*1 [b1] {}']);
    models.do(load({ model_name: 'a' }));
    models.do((now) => unloadModel(now, 'c'));
    expect(models.shown).toEqual(['a*2 [a1] {la}', 'b*1 [] {}']);
    expect(models.runtime).toEqual(NO_RUNTIME_MODELS);
  });

  it('keep the names of an unloaded model of the file', () => {
    const models = new Models();
    models.do((now) => unloadModel(now, 'a'));
    expect(refusal(() => models.do((now) => setAlias(now, 'b', 'a1', true)))).toContain(
      'conflict: alias "a1"',
    );
    expect(refusal(() => models.do(load(sim('la'))))).toContain('taken by an adapter of model "a"');
    expect(refusal(() => models.do(load(sim('a', { replicas: 1 }))))).toContain(
      'load it without further settings',
    );
    expect(refusal(() => models.do((now) => scaleModel(now, 'a', 1)))).toContain(
      'is unloaded; load it first',
    );
  });

  it('need a key where they choose a program, whatever keys a later release knows', () => {
    const models = new Models();
    for (const more of [{ command: ['x', '{port}'] }, { env: { A: 'b' } }, { args: ['--x'] }])
      expect(refusal(() => models.do(load(sim('c', more), false)))).toContain('forbidden');
    expect(refusal(() => models.do(load(sim('c', { env: {} }), true)))).toBe('accepted');
  });

  it('end when the file says something else about the model, and what it names is its own', () => {
    const models = new Models();
    models.do((now) => scaleModel(now, 'a', 3));
    models.do((now) => unloadModel(now, 'b'));
    models.do(load(sim('c')));
    models.do((now) => setAlias(now, 'c', 'x', false));
    models.file = [sim('a', { replicas: 5 }), sim('b'), sim('c', { replicas: 4 }), sim('x')];
    expect(models.shown).toEqual(['a*5 [] {}', 'c*4 [] {}', 'x*1 [] {}']);
    expect(models.now.merged.notes).toEqual([
      'the file has changed model "a" since it was scaled to 3 replicas at run time: the file counts',
      'model "c" was loaded at run time, and the file now has the name (model "c"): the file counts, what was loaded is forgotten',
      'alias "x" of "c" was given at run time, and the name is taken by model "x" now: the alias is forgotten',
    ]);
    expect(models.now.merged.kept).toMatchObject({ models: [], aliases: [], changes: [{ model_name: 'b' }] });
  });

  it('may take a model away that is a fallback of others, but name only fallbacks that there are', () => {
    const models = new Models([sim('a', { fallbacks: ['b', 'c'] }), sim('b'), sim('c')]);
    expect(refusal(() => models.do(load(sim('d', { fallbacks: ['b', 'd'] }))))).toContain(
      'config_invalid: fallbacks[1]: found "d", which is no model here; known: a, b, c',
    );
    models.do(load(sim('d', { fallbacks: ['b'] })));
    models.do((now) => unloadModel(now, 'b'));
    models.do((now) => scaleModel(now, 'a', 3));
    models.do((now) => setAlias(now, 'd', 'd1', false));
    expect(models.shown).toEqual(['a*3 [] {}', 'c*1 [] {}', 'd*1 [d1] {}']);
    expect(models.now.merged.notes).toEqual([]);
  });

  it('leave out what does not fit any more, without forgetting it', () => {
    const models = new Models();
    models.do(load(sim('big', { replicas: 64 })));
    models.file = Array.from({ length: 8 }, (_, index) => sim(`m${index}`, { replicas: 60 }));
    expect(models.now.merged.models.some(({ config }) => config.model_name === 'big')).toBe(false);
    expect(models.now.merged.notes).toEqual([
      expect.stringContaining('model "big" was loaded at run time and does not fit'),
    ]);
    expect(models.now.merged.kept.models).toHaveLength(1);
    models.do((now) => unloadModel(now, 'big'));
    expect(models.runtime.models).toEqual([]);
  });

  it('never break a rule of the file, whatever is asked for in whatever order (2,000 stories)', () => {
    const name = fc.constantFrom('a', 'a1', 'b', 'c', 'd', 'la', 'x', 'y');
    const count = fc.oneof(fc.constantFrom(0, 1, 2, 64, 65), fc.string());
    const step = fc.oneof(
      fc.record({ do: fc.constant('load'), name, alias: name, adapter: name }),
      fc.record({ do: fc.constant('unload'), name }),
      fc.record({ do: fc.constant('scale'), name, count }),
      fc.record({ do: fc.constant('alias'), name, alias: name, move: fc.boolean() }),
      fc.record({ do: fc.constant('unalias'), name, alias: name }),
      fc.record({ do: fc.constant('adapt'), name, adapter: name }),
      fc.record({ do: fc.constant('unadapt'), name, adapter: name }),
    );
    fc.assert(fc.property(fc.array(step, { maxLength: 12 }), playStory), { numRuns: 2_000 });
  });
});

type Step = { do: string; name: string; alias?: string; adapter?: string; move?: boolean; count?: unknown };

function playStory(steps: Step[]): void {
  const models = new Models();
  for (const { do: what, name, alias = '', adapter = '', move = false, count } of steps) {
    const before = models.runtime;
    try {
      models.do((now) => {
        switch (what) {
          case 'load':
            return loadModel(
              now,
              sim(name, { aliases: [alias], lora_adapters: [{ name: adapter, path: '/p' }] }),
              true,
            );
          case 'unload':
            return unloadModel(now, name);
          case 'scale':
            return scaleModel(now, name, count);
          case 'alias':
            return setAlias(now, name, alias, move);
          case 'unalias':
            return removeAlias(now, name, alias);
          case 'adapt':
            return setAdapter(now, name, adapter, '/p');
          default:
            return removeAdapter(now, name, adapter);
        }
      });
    } catch (error) {
      // Only refusals that a person can read; a refused change changes nothing.
      if (!(error instanceof PlatformError)) throw error;
      mustEqual(models.runtime === before, true);
    }
    const { merged, config } = models.now;
    mustEqual(merged.notes, []);
    mustEqual(modelProblems({ ...config, models: merged.models.map((model) => model.config) }), []);
    mustEqual(inOrder(merged.kept), inOrder(models.runtime));
  }
}

function inOrder(runtime: RuntimeModels): RuntimeModels {
  const changes = runtime.changes.toSorted((a, b) => a.model_name.localeCompare(b.model_name));
  return { ...runtime, changes };
}
