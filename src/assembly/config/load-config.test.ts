import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { PlatformError } from '../../contract/errors.ts';
import type { Environment } from './environment.ts';
import { parseConfig } from './load-config.ts';
import { resolveConfig } from './resolve-config.ts';

const environment = (variables: Record<string, string> = {}): Environment => ({
  variables,
  homeDir: '/home/ada',
  workDir: '/srv',
});

/** The lines of the error that `text` causes. */
function complaints(text: string, variables: Record<string, string> = {}): string[] {
  try {
    parseConfig('a.yaml', text, environment(variables));
  } catch (error) {
    expect(error).toBeInstanceOf(PlatformError);
    expect((error as PlatformError).code).toBe('config_invalid');
    return (error as PlatformError).message.split('\n');
  }
  return [];
}

const resolved = (text: string, variables: Record<string, string> = {}) => {
  const env = environment(variables);
  return resolveConfig({
    file: '/etc/autoglm/a.yaml',
    config: parseConfig('a.yaml', text, env),
    environment: env,
    notHonoured: [],
  });
};

describe('messages of the configuration', () => {
  it.each([
    [
      'a value out of range',
      'models:\n  - model_name: a\n    model: ./a.gguf\n    replicas: 0\n',
      ['a.yaml:4:15: models[0].replicas: found 0; would be right: an integer from 1 to 64'],
    ],
    [
      'a wrong type',
      'gateway:\n  port: eighty\n',
      ['a.yaml:2:9: gateway.port: found "eighty"; would be right: an integer from 0 to 65535'],
    ],
    [
      'a quantization that the engine cannot make',
      'models:\n  - model_name: a\n    engine: tgi\n    model: org/a\n    quantize: INT3\n',
      [
        'a.yaml:5:15: models[0].quantize: found "INT3"; text-generation-inference can do INT8 (--quantize eetq), INT4 (--quantize bitsandbytes-nf4), FP8 (--quantize fp8), or one of its own: awq, gptq, marlin, exl2, eetq, fp8, compressed-tensors, bitsandbytes, bitsandbytes-nf4, bitsandbytes-fp4',
      ],
    ],
    [
      'a size of tensor parallelism where there is none',
      'models:\n  - model_name: inference-ops-demo\n    tensor_parallel_size: 2\n',
      [
        'a.yaml:3:27: models[0].tensor_parallel_size: found 2; engine "embedded" has no such option: it runs on the processor; `threads` sets how many it uses',
      ],
    ],
    [
      'options that nobody would read',
      'models:\n  - model_name: a\n    engine: vllm\n    urls: [http://a:1]\n    quantize: INT8\n  - model_name: b\n    engine: vllm\n    model: b\n    command: [x, "{port}"]\n    args: [--y]\n    tensor_parallel_size: 2\n',
      [
        'a.yaml:5:15: models[0].quantize: found together with `urls`; an engine that runs already was started with its own options: leave it out',
        'a.yaml:10:11: models[1].args: found together with `command`; write the arguments into `command`',
        'a.yaml:11:27: models[1].tensor_parallel_size: found together with `command`; write {tensor_parallel_size} into `command` where the engine is told it, or leave it out',
      ],
    ],
    [
      'a misspelt key',
      'gatway:\n  port: 1\n',
      ['a.yaml:1:1: gatway: this key is not known; did you mean "gateway"?'],
    ],
    [
      'a key with dashes',
      'gateway:\n  queue-size: 1\n',
      ['a.yaml:2:3: gateway.queue-size: this key is not known; did you mean "queue_size"?'],
    ],
    [
      'a key that resembles nothing',
      'admin:\n  colour: red\n',
      ['a.yaml:2:3: admin.colour: this key is not known; known keys: host, port, keys'],
    ],
    [
      'a missing key',
      'models:\n  - engine: embedded\n',
      ['a.yaml:2:5: models[0].model_name: missing; would be right: a text that is not empty'],
    ],
    [
      'a key without a value',
      'models:\n  - model_name:\n',
      [
        'a.yaml:2:16: models[0].model_name: found nothing (an empty value); would be right: a text that is not empty',
      ],
    ],
    [
      'an unknown engine',
      'models:\n  - model_name: a\n    engine: vlm\n',
      [
        'a.yaml:3:13: models[0].engine: found "vlm"; did you mean "vllm"? would be right: one of embedded, vllm, sglang, tgi, llama-server, ollama, triton, openai, simulator',
      ],
    ],
    [
      'an address that is none',
      'models:\n  - model_name: a\n    engine: vllm\n    urls: [localhost]\n',
      [
        'a.yaml:4:12: models[0].urls[0]: found "localhost"; would be right: an address such as http://127.0.0.1:8000, or a map with the keys url, served_model_name, api_key, max_batch_size, weight',
      ],
    ],
    [
      'a list where a map should be',
      '- a\n',
      [
        'a.yaml:1:1: (document): found a list of 1; would be right: a map with the keys state_dir, gateway, timeouts, files, batches, cache, limits, redis, admin, quarantine, signals, signal_sources, evidence, supervisor, auto_recovery, models',
      ],
    ],
    [
      'two models of one name',
      'models:\n  - { model_name: a, engine: simulator }\n  - { model_name: a, engine: simulator }\n',
      [
        'a.yaml:3:19: models[1].model_name: found "a", which is taken by models[0].model_name; give each model its own name; use `replicas` or several `urls` for more engines of one model',
      ],
    ],
    [
      'an alias that is a model',
      'models:\n  - { model_name: a, engine: simulator, aliases: [b] }\n  - { model_name: b, engine: simulator }\n',
      [
        'a.yaml:2:51: models[0].aliases[0]: found "b", which is taken by models[1].model_name; leave this alias out or choose another',
      ],
    ],
    [
      'a model that nothing names',
      'models:\n  - model_name: a\n    engine: vllm\n',
      [
        'a.yaml:2:5: models[0].model: missing; engine "vllm" needs to be told what to load: the name or path of the model (or `urls` of an engine that runs already)',
      ],
    ],
    [
      'a name that the built-in model does not have',
      'models:\n  - model_name: inference-ops-dem\n',
      [
        'a.yaml:2:5: models[0].model: missing; "inference-ops-dem" is not "inference-ops-demo", the model that is built in, so engine "embedded" needs to be told what to load: path of a GGUF file or `hf:` address (or `urls` of an engine that runs already, or `command`)',
      ],
    ],
    [
      'a command without a port',
      'models:\n  - model_name: a\n    engine: openai\n    command: [serve]\n',
      [
        'a.yaml:4:14: models[0].command: found no {port} in it; write {port} where the engine is told its port, such as "--port", "{port}"',
      ],
    ],
    [
      'an address with a path',
      'models:\n  - model_name: a\n    engine: vllm\n    urls: ["http://x:8000/v2"]\n',
      [
        'a.yaml:4:12: models[0].urls[0]: found "/v2" after the host; would be right: http://x:8000 or http://x:8000/v1',
      ],
    ],
    [
      'an address of a model that names no file',
      'models:\n  - model_name: a\n    model: "hf:user"\n',
      [
        'a.yaml:3:12: models[0].model: found "hf:user"; would be right: hf:USER/REPOSITORY/FILE.gguf, hf:USER/REPOSITORY:QUANTIZATION such as hf:USER/REPOSITORY:Q4_K_M, or hf:USER/REPOSITORY',
      ],
    ],
    [
      'more replicas than the tables hold',
      `models:\n${Array.from({ length: 9 }, (_, n) => `  - { model_name: m${n}, engine: simulator, replicas: 57 }\n`).join('')}`,
      [
        'a.yaml:2:3: models: found 513 replicas in all (`replicas`, `standby` and `urls` of all models together); would be right: at most 512',
      ],
    ],
    [
      'more models than the tables hold',
      `models:\n${Array.from({ length: 129 }, (_, n) => `  - { model_name: m${n}, engine: simulator }\n`).join('')}`,
      [
        'a.yaml:130:5: models[128]: found 129 models; would be right: at most 128; run a second `autoglm serve` with its own `state_dir` and ports for the others',
      ],
    ],
    [
      'times that contradict each other',
      'timeouts:\n  stall_ms: 5000\n  inference_timeout_ms: 1000\n',
      [
        'a.yaml:2:13: timeouts.stall_ms: found 5000; would be right: at most 1000, the value of timeouts.inference_timeout_ms, because it is a part of the whole',
      ],
    ],
    [
      'one port for two servers',
      'gateway: { port: 9000 }\nadmin: { port: 9000 }\n',
      [
        'a.yaml:2:16: admin.port: found 9000, which is also gateway.port; give each its own port, or 0 for a free one',
      ],
    ],
    [
      'a variable that is not set',
      'state_dir: ${NOWHERE}/x\n',
      [
        'a.yaml:1:12: state_dir: the environment variable NOWHERE is not set; set it, or write ${NOWHERE:-default}',
      ],
    ],
    [
      'a reference that is none',
      'state_dir: ${1 2}\n',
      [
        'a.yaml:1:12: state_dir: found ${1 2}; would be right: ${NAME} or ${NAME:-default}, and $${ for a plain ${',
      ],
    ],
  ])('name place, value and remedy for %s', (_name, text, expected) => {
    expect(complaints(text)).toEqual(expected);
  });

  it.each([
    ['model_name: "a\\nb"', 'models[0].model_name: found "a\\nb"; would be right: a name on one line'],
    ['model_name: " a"', 'models[0].model_name: found " a"; would be right: a name on one line'],
    ['model_name: a, aliases: [b, "\\u001b[2J"]', 'models[0].aliases[1]: found "\\u001b[2J"; would be'],
    ['model_name: a, served_model_name: "b\\t"', 'models[0].served_model_name: found "b\\t"; would be'],
    ['model_name: a, env: { "A=B": x }', 'models[0].env.A=B: found "A=B" as a name; would be right: a name'],
    ['model_name: a, env: { "": x }', 'models[0].env.: found "" as a name; would be right: a name'],
    ['model_name: a, env: { A: "x\\0" }', 'models[0].env.A: found a NUL character; leave it out'],
    ['model_name: a, model: "x\\0"', 'models[0].model: found a NUL character; leave it out'],
    ['model_name: a, command: ["x\\0", "{port}"]', 'models[0].command[0]: found a NUL character; leave it'],
  ])('refuses a text that can not be used: { %s }', (model, expected) => {
    const text = `models:\n  - { engine: simulator, ${model} }\n`;
    expect(complaints(text)).toEqual([expect.stringContaining(expected)]);
    expect(complaints(text)[0]).toMatch(/^a\.yaml:2:\d+: /);
  });

  it('says in its own words what a document of YAML can not be', () => {
    expect(complaints('gateway: {}\n---\nadmin: {}\n')).toEqual([
      'a.yaml:2:1: found a second document (---); would be right: one document',
    ]);
    expect(complaints('gateway: { queue_timeout_ms: .inf, retry_budget: .nan }\n')).toEqual([
      'a.yaml:1:30: gateway.queue_timeout_ms: found Infinity; would be right: an integer from 1 to 86400000',
      'a.yaml:1:50: gateway.retry_budget: found NaN; would be right: a number from 0 to 1',
    ]);
  });

  it('keeps messages readable when the file is no text at all', () => {
    const lines = complaints(`a: 1\n${`"${'x'.repeat(5_000)}" "y"\n`.repeat(50)}`);
    expect(lines.length).toBeLessThanOrEqual(21);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(400);
  });

  it('names the position of a syntax error and of a key given twice', () => {
    expect(complaints('gateway:\n  port: [1\n')[0]).toMatch(/^a\.yaml:\d+:\d+: /);
    expect(complaints('admin:\n  port: 1\n  port: 2\n')[0]).toBe(
      'a.yaml:3:3: port: this key is given twice; keep one of them',
    );
    expect(complaints('admin: { port: 1, "port": 2 }\n')[0]).toContain('"port": this key is given twice');
  });

  it('lists all problems at once', () => {
    expect(complaints('gateway:\n  port: -1\n  prot: 1\nmodels: []\n')).toHaveLength(3);
  });

  it('survives keys that name prototypes', () => {
    expect(complaints('__proto__:\n  a: 1\n')[0]).toContain('__proto__: this key is not known');
    expect(complaints('constructor: 1\n')[0]).toContain('constructor: this key is not known');
  });

  it('refuses a file that is too large and aliases that multiply', () => {
    expect(complaints('a'.repeat(2_000_000))[0]).toContain('at most 1048576');
    const laughs = Array.from({ length: 12 }, (_, n) => `a${n}: &a${n} [${`*a${n - 1},`.repeat(9)}]`).join(
      '\n',
    );
    expect(complaints(laughs.replace('*a-1', '1').replaceAll('*a-1', '1'))[0]).toMatch(/alias/i);
  });
});

describe('exposure to other machines', () => {
  it('wants keys on any gateway address but loopback', () => {
    const text = 'gateway:\n  host: 0.0.0.0\n';
    expect(complaints(text)[0]).toMatch(/^a\.yaml:2:9: gateway\.host: found "0\.0\.0\.0" without keys/);
    expect(complaints(text, { AUTOGLM_API_KEYS: 'sk-12345678' })).toEqual([]);
    expect(complaints(`${text}  allow_unauthenticated: true\n`)).toEqual([]);
    expect(complaints('gateway:\n  host: localhost\n')).toEqual([]);
    expect(complaints('gateway:\n  host: 127.0.0.2\n')).toEqual([]);
  });

  it('wants admin keys on any admin address but loopback', () => {
    expect(complaints('admin:\n  host: "::"\n')[0]).toContain('admin.host: found "::" without `admin.keys`');
    expect(complaints('admin:\n  host: "::"\n  keys: [{ name: ops, key: 12345678abc }]\n')).toEqual([]);
  });
});

describe('secrets', () => {
  it('never appear in a message, wherever they come from', () => {
    const canary = 'canary';
    const texts = [
      `gateway:\n  keys: [{ name: a, key: ${canary} }]\n`,
      'gateway:\n  keys: [{ name: a, key: "${KEY}" }]\n',
      'models:\n  - model_name: a\n    engine: ${KEY}\n',
      'models:\n  - model_name: a\n    env: { A: [canary] }\n',
    ];
    for (const text of texts) {
      const lines = complaints(text, { KEY: canary });
      expect(lines).not.toEqual([]);
      expect(lines.join('\n')).not.toContain(canary);
    }
    expect(complaints('', { AUTOGLM_API_KEYS: 'canary1,sk-12345678' }).join('\n')).not.toContain('canary1');
  });

  it('become hashes in the form that runs', () => {
    const text =
      'gateway:\n  keys: [{ name: a, key: sk-canary-1 }]\nmodels:\n  - { model_name: m, engine: vllm, urls: ["http://127.0.0.1:1/v1"], api_key: sk-canary-2 }\n';
    const config = resolved(text, { AUTOGLM_API_KEYS: 'sk-canary-3' });
    expect(config.gateway.keys.map(({ name }) => name)).toEqual(['a', 'AUTOGLM_API_KEYS[0]']);
    expect(config.gateway.keys[0]?.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(inspect(config, { depth: 9 }) + JSON.stringify(config)).not.toContain('sk-canary');
    expect(config.models[0]?.engineKey?.reveal()).toBe('sk-canary-2');
  });
});

describe('the environment', () => {
  it('fills values, with defaults, and gives them the type the schema wants', () => {
    const text =
      'gateway:\n  port: ${P}\n  allow_unauthenticated: ${A:-true}\n  host: ${H:-127.0.0.1}\nstate_dir: "$${x}"\n';
    const config = parseConfig('a.yaml', text, environment({ P: '8123' }));
    expect(config.gateway).toMatchObject({ port: 8123, allow_unauthenticated: true, host: '127.0.0.1' });
    expect(config.state_dir).toBe('${x}');
  });

  it('keeps a key of digits a text', () => {
    const text = 'gateway:\n  keys: [{ name: a, key: "${K}" }]\n';
    expect(parseConfig('a.yaml', text, environment({ K: '1234567890' })).gateway.keys[0]?.key.reveal()).toBe(
      '1234567890',
    );
  });

  it('goes before the file with PORT, and says what is wrong with it', () => {
    expect(resolved('gateway: { port: 1 }\n', { PORT: '7777' }).gateway.port).toBe(7777);
    expect(complaints('', { PORT: '8081' })).toEqual([
      'environment variable PORT: found 8081, which is also admin.port; give each its own port, or 0 for a free one',
    ]);
    const same = 'gateway: { port: 9 }\nadmin: { port: 9 }\n';
    expect(resolved(same, { PORT: '10' }).gateway.port).toBe(10);
    expect(complaints('', { PORT: '99999' })).toEqual([
      'environment variable PORT: found "99999"; would be right: an integer from 0 to 65535',
    ]);
  });
});

describe('all that is wrong', () => {
  it('is said at once and in the order of lines: variables, values and rules that span several keys', () => {
    const text =
      'gateway: { port: 99999, host: "${NOPE}" }\nmodels:\n  - { model_name: a, model: ./a.gguf }\n  - { model_name: a, model: ./a.gguf, replicas: 0 }\n';
    expect(complaints(text).map((line) => line.split(': ').slice(0, 2).join(' '))).toEqual([
      'a.yaml:1:18 gateway.port',
      'a.yaml:1:31 gateway.host',
      'a.yaml:4:19 models[1].model_name',
      'a.yaml:4:49 models[1].replicas',
    ]);
  });

  it('has a bound', () => {
    const text = `models:\n${'  - { model_name: 1 }\n'.repeat(200)}`;
    const lines = complaints(text);
    expect(lines).toHaveLength(41);
    expect(lines.at(-1)).toBe('and 160 more');
  });

  it.each([
    ['gateway:\n\tport: 1\n', 'a.yaml:2:1: found a tab before the text; would be right: spaces'],
    ['gateway: {port: 1\nmodels: []\n', /^a\.yaml:2:1: .* each bracket that is opened is closed$/],
    ['models:\n  - model_name: a\n   engine: x\n', /^a\.yaml:3:\d+: .* stands too far left or right$/],
    ['gateway: { host: "a }\n', /^a\.yaml:\d:\d+: a quote, a colon, a comma or a closing bracket is missing/],
  ])('is told in our words where %j is no YAML', (text, first) => {
    expect(complaints(text)[0]).toEqual(typeof first === 'string' ? first : expect.stringMatching(first));
  });

  it.each([
    ['\u0000\u0001\ufffd', 'a binary file'],
    ['<!doctype html>\n<html><p>a: b: c</html>', 'HTML or XML'],
    ['#!/bin/sh\nset -e\nexec x: y: z\n', 'a script'],
    ['# Title\n\nSome *text*: here: there\n- a\n b', 'Markdown'],
    ['[tool]\nname = "x"\n', 'TOML or an INI file'],
    ['{"name": "x", "version": 1, "packages": {}}', 'a file of another program'],
  ])('is one line for %j, which is another kind of file', (text, kind) => {
    expect(complaints(text)).toEqual([expect.stringContaining(`this seems to be ${kind}`)]);
  });
});

describe('AUTOGLM_HOST and AUTOGLM_MODEL', () => {
  it('go before the file', () => {
    const text = 'gateway: { port: 1, host: 127.0.0.2 }\nmodels: [{ model_name: a, engine: simulator }]\n';
    const config = resolved(text, { AUTOGLM_HOST: '::1', AUTOGLM_MODEL: 'some/tiny-q4.gguf' });
    expect(config.gateway).toMatchObject({ host: '::1', port: 1 });
    expect(config.models).toMatchObject([{ modelName: 'tiny-q4', engine: 'embedded', replicas: 2 }]);
    expect(config.models[0]?.model).toMatch(/^\/.*\/some\/tiny-q4\.gguf$/);
    const named = (AUTOGLM_MODEL: string) => resolved(text, { AUTOGLM_MODEL }).models[0];
    expect(named('hf:user/repo:Q4_K_M')).toMatchObject({ modelName: 'repo', model: 'hf:user/repo:Q4_K_M' });
    expect(named('hf:user/repo/x.gguf')?.modelName).toBe('x');
    expect(named('inference-ops-demo')).toMatchObject({ modelName: 'inference-ops-demo', replicas: 2 });
  });

  it('are named by the problems that they bring', () => {
    expect(complaints('', { AUTOGLM_HOST: '0.0.0.0' })).toEqual([
      expect.stringMatching(
        /^environment variable AUTOGLM_HOST \(or --host\): found "0\.0\.0\.0" without keys/,
      ),
    ]);
    expect(complaints('', { AUTOGLM_MODEL: 'hf:x' })).toEqual([
      expect.stringMatching(
        /^environment variable AUTOGLM_MODEL \(or --model\): found "hf:x"; would be right/,
      ),
    ]);
  });
});

describe('the form that runs', () => {
  it('needs no file: two replicas of the embedded demo model', () => {
    const config = resolved('');
    expect(config.models).toMatchObject([
      { modelName: 'inference-ops-demo', engine: 'embedded', replicas: 2 },
    ]);
    expect(config.models[0]?.model).toMatch(/models\/inference-ops-demo\.Q8_0\.gguf$/);
    expect(config.gateway.workers).toBeGreaterThanOrEqual(2);
    expect(config.paths.root).toBe('/home/ada/.local/state/autoglm');
  });

  it('makes paths absolute from the file, and leaves names of models alone', () => {
    const text =
      'state_dir: state\nmodels:\n' +
      '  - { model_name: a, model: a.gguf }\n' +
      '  - { model_name: b, model: "hf:x/y" }\n' +
      '  - { model_name: c, engine: vllm, model: org/name }\n' +
      '  - { model_name: d, engine: vllm, model: ./local }\n' +
      '  - { model_name: e, engine: openai, urls: ["http://h:1/v1/", "http://h:2"] }\n';
    const { models, paths } = resolved(text);
    expect(paths.root).toBe('/etc/autoglm/state');
    expect(models.map(({ model }) => model)).toEqual([
      '/etc/autoglm/a.gguf',
      'hf:x/y',
      'org/name',
      '/etc/autoglm/local',
      'e',
    ]);
    expect(models[4]).toMatchObject({ urls: ['http://h:1', 'http://h:2'], replicas: 2 });
  });

  it('lets defaults give way to a short total time', () => {
    const { gateway } = resolved('timeouts:\n  inference_timeout_ms: 2000\n');
    expect(gateway).toMatchObject({
      totalTimeoutMs: 2000,
      firstTokenTimeoutMs: 2000,
      stallTimeoutMs: 2000,
      queueTimeoutMs: 2000,
      connectTimeoutMs: 2000,
    });
  });

  it('gives a line of a batch a minute more than the gateway has for a request, unless told otherwise', () => {
    const lineMs = (text: string) => resolved(text).gateway.batches.lineTimeoutMs;
    expect(lineMs('timeouts: { inference_timeout_ms: 120000 }\n')).toBe(180_000);
    expect(lineMs('batches: { line_timeout_ms: 5000 }\n')).toBe(5_000);
  });

  it('is frozen all the way down', () => {
    const config = resolved('');
    expect(
      Object.isFrozen(config) && Object.isFrozen(config.models[0]) && Object.isFrozen(config.gateway.keys),
    ).toBe(true);
  });

  it('keeps Unix sockets short under a deep state directory', () => {
    const deep = resolved(`state_dir: /${'x'.repeat(90)}\n`);
    expect(deep.paths.socketDir).toMatch(/autoglm-[0-9a-f]{12}$/);
    expect(resolved('state_dir: /var/a\n').paths.socketDir).toBe('/var/a/sockets');
  });
});

it('knows the model by its own name where an engine can be told no other', () => {
  const text = (engine: string) => `models:\n  - model_name: a\n    engine: ${engine}\n    model: org/a\n`;
  const served = (engine: string) => resolved(text(engine)).models[0]?.servedModel;
  expect([served('tgi'), served('ollama'), served('vllm')]).toEqual(['org/a', 'org/a', 'a']);
});

it('accepts the words of the product for options of an engine', () => {
  const text =
    'models:\n  - model_name: a\n    engine: vllm\n    model: org/a\n    max_seq_length: 8192\n    quantize: INT8\n    tensor_parallel_size: 2\n    args: [--enforce-eager]\n';
  expect(resolved(text).models[0]).toMatchObject({
    maxSeqLength: 8192,
    quantize: 'INT8',
    tensorParallelSize: 2,
    args: ['--enforce-eager'],
  });
});
