import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Environment } from './environment.ts';
import { parseConfig } from './load-config.ts';
import { type ResolvedModel, resolveConfig } from './resolve-config.ts';

const directory = mkdtempSync(join(tmpdir(), 'autoglm-triton-config-'));
afterAll(() => rmSync(directory, { recursive: true }));
const environment: Environment = { workDir: directory, homeDir: directory, variables: {} } as Environment;

function resolved(lines: string): ResolvedModel {
  const text = `models:\n  - model_name: a\n    engine: triton\n${lines.replaceAll(/^/gm, '    ')}\n`;
  const config = parseConfig(join(directory, 'a.yaml'), text, environment);
  const [model] = resolveConfig({
    file: join(directory, 'a.yaml'),
    config,
    environment,
    notHonoured: [],
  }).models;
  return model as ResolvedModel;
}

const complaint = (lines: string): string => {
  try {
    resolved(lines);
    return 'none';
  } catch (error) {
    return (error as Error).message.replace(/^.*?: models/, 'models');
  }
};

describe('a Triton in the configuration', () => {
  it('is reached by its OpenAI front end when nothing else is said', () => {
    expect(resolved('urls: [http://gpu:9000/v1]')).toMatchObject({
      urls: ['http://gpu:9000'],
      protocol: undefined,
    });
  });

  it('is reached by gRPC with either scheme', () => {
    const model = resolved(
      'protocol: kserve-grpc\nurls: [grpc://gpu:8001, "http://gpu:8001/", grpcs://gpu:443]',
    );
    expect(model.urls).toEqual(['http://gpu:8001', 'http://gpu:8001', 'https://gpu:443']);
  });

  it('has addresses that say more of one server', () => {
    const model = resolved(
      'protocol: kserve-grpc\nurls: [grpc://gpu:8001, { url: "grpcs://gpu:443", served_model_name: other }]',
    );
    expect(model.urls).toEqual(['http://gpu:8001', 'https://gpu:443']);
    expect(model.perUrl.map(({ servedModel }) => servedModel)).toEqual(['a', 'other']);
    expect(complaint('urls: [{ url: "grpc://gpu:8001" }]')).toMatch(
      /urls.*: found grpc:\/\/gpu:8001; would be right with `protocol: kserve-grpc` only/,
    );
  });

  it('knows its model by the name in the repository, which is no path', () => {
    expect(resolved('model: ./repository')).toMatchObject({
      servedModel: 'a',
      model: join(directory, 'repository'),
    });
    expect(resolved('model: ./r\ncommand: [tritonserver, "{port}"]')).toMatchObject({ servedModel: 'a' });
    expect(
      resolved('served_model_name: ensemble\nurls: [http://gpu:8000]\nprotocol: kserve-http').servedModel,
    ).toBe('ensemble');
  });

  it('has the chat template of a name, of a Jinja file, or of a tokenizer', () => {
    const kserve = 'protocol: kserve-http\nurls: [http://gpu:8000]\nchat_template: ';
    expect(resolved(`${kserve}chatml`).chatTemplate?.source).toContain('<|im_start|>');
    writeFileSync(join(directory, 'chat.jinja'), '{{ messages[0].content }}');
    expect(resolved(`${kserve}./chat.jinja`).chatTemplate).toEqual({
      source: '{{ messages[0].content }}',
      eosToken: '',
    });
    const chat_template = [
      { name: 'tool_use', template: 'x' },
      { name: 'default', template: '{{ eos_token }}' },
    ];
    writeFileSync(
      join(directory, 'tokenizer_config.json'),
      JSON.stringify({ chat_template, eos_token: { content: '</s>' } }),
    );
    expect(resolved(`${kserve}tokenizer_config.json`).chatTemplate).toEqual({
      source: '{{ eos_token }}',
      eosToken: '</s>',
    });
  });

  it.each([
    [
      'protocol: grpc\nurls: [http://gpu:8001]',
      /protocol: found "grpc"; would be right: one of openai, kserve-http, kserve-grpc/,
    ],
    [
      'urls: [grpc://gpu:8001]',
      /urls.*: found grpc:\/\/gpu:8001; would be right with `protocol: kserve-grpc` only/,
    ],
    [
      'urls: [http://gpu:9000]\nchat_template: chatml',
      /chat_template: found with engine "triton" and protocol "openai"/,
    ],
    ['metrics_url: gpu:8002\nurls: [http://gpu:9000]', /metrics_url: /],
    ['replicas: 2', /model: missing: engine "triton" needs the path of a model repository/],
    [
      'protocol: kserve-http\nurls: [http://gpu:8000]\nchat_template: ./nowhere',
      /chat_template: found ".\/nowhere", which is neither one of chatml, llama3, mistral, plain nor a file/,
    ],
  ])('is refused with what would be right: %s', (lines, expected) => {
    expect(complaint(lines)).toMatch(expected);
  });

  it('refuses a template that cannot be read, before anything starts', () => {
    writeFileSync(join(directory, 'bad.jinja'), '{% if %}');
    const lines = 'protocol: kserve-http\nurls: [http://gpu:8000]\nchat_template: bad.jinja';
    expect(complaint(lines)).toMatch(/bad.jinja is not a Jinja template/);
  });

  it('keeps these keys from other engines', () => {
    const text =
      'models:\n  - model_name: a\n    engine: vllm\n    protocol: kserve-http\n    urls: [http://gpu:8000]\n';
    expect(() => parseConfig('a.yaml', text, environment)).toThrow(
      /protocol: found with engine "vllm"; only engine "triton" has it/,
    );
  });
});
