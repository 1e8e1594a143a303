import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { configSchema } from '../../contract/config-schema.ts';
import type { Environment } from './environment.ts';
import { mergeModels } from './merge-models.ts';
import { resolveMerged } from './resolve-merged.ts';
import { NO_RUNTIME_MODELS } from './runtime-models.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'autoglm-merged-'));
  writeFileSync(join(directory, 'chat.jinja'), '{{ messages[0].content }}');
});
afterEach(() => rmSync(directory, { recursive: true }));

const config = configSchema.parse({ models: [{ model_name: 'a', engine: 'simulator' }] });
const LOADED = {
  model_name: 'b',
  engine: 'triton',
  protocol: 'kserve-http',
  urls: ['http://gpu:8000'],
  chat_template: 'chat.jinja',
};

function resolveNow(aliases: string[] = [], running: ReturnType<typeof resolveMerged>['resolved'] = []) {
  const environment = { workDir: directory, homeDir: directory, variables: {} } as Environment;
  const runtime = {
    ...NO_RUNTIME_MODELS,
    models: [LOADED],
    aliases: aliases.map((name) => ({ name, model: 'b' })),
  };
  return resolveMerged({ file: null, environment }, mergeModels('the file', config, runtime), running);
}

it('leaves out a model whose chat template is gone, says so, and serves the others', () => {
  expect(resolveNow().resolved.map(({ modelName }) => modelName)).toEqual(['a', 'b']);
  rmSync(join(directory, 'chat.jinja'));
  const { merged, resolved } = resolveNow();
  expect(resolved.map(({ modelName }) => modelName)).toEqual(['a']);
  expect(merged.models.map((model) => model.config.model_name)).toEqual(['a']);
  expect(merged.notes.join()).toMatch(
    /model "b" was loaded at run time and is left out: chat_template: found/,
  );
  expect(merged.kept.models).toEqual([LOADED]);
});

it('changes a model that runs also when its chat template is gone', () => {
  const { resolved: running } = resolveNow();
  rmSync(join(directory, 'chat.jinja'));
  const { merged, resolved } = resolveNow(['b1'], running);
  expect(merged.notes).toEqual([]);
  expect(resolved[1]).toMatchObject({ aliases: ['b1'], chatTemplate: running[1]?.chatTemplate });
});
