import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadConfig } from './load-config.ts';
import { requireModelFiles } from './model-files.ts';
import { DEMO_MODEL_FILE, resolveConfig } from './resolve-config.ts';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'autoglm-model-files-'));
  writeFileSync(join(dir, 'short.gguf'), readFileSync(DEMO_MODEL_FILE).subarray(0, 200_000));
  writeFileSync(join(dir, 'text.gguf'), 'hello, this is no model');
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function faults(text: string): string[] {
  const file = join(dir, 'autoglm.yaml');
  writeFileSync(file, text);
  const environment = { variables: {}, homeDir: dir, workDir: dir };
  const config = resolveConfig(loadConfig(file, environment));
  try {
    requireModelFiles(config);
    return [];
  } catch (error) {
    expect(error).toMatchObject({ code: 'config_invalid' });
    return (error as Error).message.replaceAll(`${dir}/`, '').split('\n');
  }
}

it('names the line of every model whose file cannot be loaded', () => {
  const text =
    'models:\n  - { model_name: a, model: short.gguf }\n  - { model_name: b, model: text.gguf }\n' +
    '  - { model_name: c, model: nowhere.gguf }\n  - { model_name: d, model: . }\n' +
    '  - { model_name: e, engine: llama-server, model: nowhere.gguf }\n';
  const found = faults(text);
  expect(found).toHaveLength(5);
  expect(found[0]).toMatch(
    /^autoglm\.yaml:2:29: models\[0\]\.model: model file short\.gguf: found 200000 bytes; .*truncated$/,
  );
  expect(found[1]).toMatch(/^autoglm\.yaml:3:29: .*begins with "hell"/);
  expect(found[2]).toMatch(/^autoglm\.yaml:4:29: .*found no such file; expected a GGUF file$/);
  expect(found[3]).toMatch(/^autoglm\.yaml:5:29: .*found a directory/);
  expect(found[4]).toMatch(/^autoglm\.yaml:6:51: .*found no such file/);
});

it('leaves alone what is no file of ours: addresses, names, and engines that run elsewhere', () => {
  expect(
    faults(
      'models:\n  - { model_name: a, model: "hf:x/y:Q8_0" }\n  - { model_name: b, engine: vllm, model: org/name }\n' +
        '  - { model_name: c, engine: llama-server, urls: ["http://h:1"] }\n' +
        '  - { model_name: d, engine: llama-server, model: x.gguf, command: [run, "{port}", "{model}"] }\n',
    ),
  ).toEqual([]);
  expect(faults('')).toEqual([]);
});
