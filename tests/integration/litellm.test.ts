/** A user of LiteLLM brings the configuration that works there: `serve` takes it as it is, `import` turns it into ours. */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Installation } from '../support/serve-harness.ts';
import { startSimulator, stopSimulators } from '../support/simulator-under-test.ts';

const installations: Installation[] = [];
afterEach(async () => {
  for (const installation of installations.splice(0)) await installation[Symbol.asyncDispose]();
  await stopSimulators();
});

const OWN = 'gateway: { port: 0 }\nadmin: { port: 0 }\n';

/** Our own sections say only where it listens; everything else is LiteLLM's. */
function install(litellm: string, env: Record<string, string> = {}): Installation {
  const installation = new Installation(`${OWN}${litellm}`, env);
  installations.push(installation);
  return installation;
}

async function twoEngines(): Promise<[string, string]> {
  const [a, b] = await Promise.all([
    startSimulator(['--model-name', 'first-name']),
    startSimulator(['--model-name', 'second-name']),
  ]);
  return [a.url, b.url];
}

const groupOf = ([a, b]: [string, string]) => `model_list:
  - model_name: group
    litellm_params: { model: hosted_vllm/first-name, api_base: ${a}/v1, rpm: 10 }
  - model_name: group
    litellm_params: { model: hosted_vllm/second-name, api_base: os.environ/SECOND_BASE }
router_settings:
  model_group_alias: { other-name: group }
general_settings:
  master_key: sk-litellm-master
environment_variables:
  SECOND_BASE: ${b}
`;

describe('serve --config config.yaml', () => {
  it('serves a load-balanced group whose engines know the model by different names', async () => {
    const installation = install(groupOf(await twoEngines()));
    const launched = installation.serve();
    await launched.waitFor(/^ready: 2 replicas/m);
    expect(launched.output).toMatch(
      /^not honoured: .*autoglm\.yaml:6:\d+: model_list\[0\]\.litellm_params\.rpm: another deployment of this model has no rpm/m,
    );
    const { gatewayAddress } = installation.record();
    const ask = (model: string, key: string) =>
      fetch(`${gatewayAddress}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}` },
        body: JSON.stringify({ model, max_tokens: 5, messages: [{ role: 'user', content: 'hi' }] }),
      });
    const replicas = new Set<string | null>();
    for (let turn = 0; turn < 6; turn++) {
      const answer = await ask(turn % 2 === 0 ? 'group' : 'other-name', 'sk-litellm-master');
      expect(answer.status).toBe(200);
      replicas.add(answer.headers.get('x-autoglm-replica'));
      await answer.text();
    }
    expect([...replicas].sort()).toEqual(['group/0', 'group/1']);
    expect((await ask('group', 'sk-wrong-key')).status).toBe(401);
    launched.child.kill('SIGTERM');
    expect(await launched.exited).toBe(0);
  });

  it('refuses a file with nothing to serve, and says why of each entry', async () => {
    const installation = install(
      'model_list:\n  - { model_name: a, litellm_params: { model: bedrock/x } }\n',
    );
    const { code, stderr } = await installation.cli(['serve']);
    expect(code).toBe(4);
    expect(stderr).toContain('found no model that can be served here');
    expect(stderr).toContain('provider "bedrock"');
  });
});

describe('a model of Ollama, which lists it with its tag', () => {
  it('is ready by its name without, in a group of its own and in one with another engine', async () => {
    const ollama = await startSimulator(['--dialect', 'ollama', '--model-name', 'llama3']);
    const other = await startSimulator(['--model-name', 'gpt']);
    const installation = install(`model_list:
  - model_name: own
    litellm_params: { model: ollama/llama3, api_base: ${ollama.url} }
  - model_name: mixed
    litellm_params: { model: ollama_chat/llama3, api_base: ${ollama.url} }
  - model_name: mixed
    litellm_params: { model: openai/gpt, api_base: ${other.url}/v1 }
`);
    await installation.serve().waitFor(/^ready: 3 replicas/m);
  });
});

describe('autoglm import litellm', () => {
  it('writes a file that is valid, keeps it from others, and lists what is lost', async () => {
    const installation = install(groupOf(['http://a:1', 'http://b:1']));
    const source = join(installation.dir, 'config.yaml');
    writeFileSync(source, groupOf(['http://a:1', 'http://b:1']));
    const target = join(installation.dir, 'made.yaml');
    const made = await installation.cli(['import', 'litellm', 'config.yaml', '-o', 'made.yaml']);
    expect([made.code, made.stdout]).toEqual([0, `written: ${target}\n`]);
    expect(made.stderr).toContain('1 line is not honoured');
    expect(made.stderr).toContain(`${source}:3:`);
    expect(statSync(target).mode & 0o777).toBe(0o600);
    expect(readFileSync(target, 'utf8')).toContain('line 3: model_list[0].litellm_params.rpm');
    expect((await installation.cli(['validate', 'made.yaml'])).code).toBe(0);
    const again = await installation.cli(['import', 'litellm', 'config.yaml', '-o', 'made.yaml']);
    expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('--force')]);
  });

  it('writes nothing with --dry-run, speaks JSON, and can be strict', async () => {
    const installation = install(groupOf(['http://a:1', 'http://b:1']));
    const args = ['import', 'litellm', installation.configFile, '--dry-run'];
    const { code, stdout } = await installation.cli([...args, '--json', '--strict']);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      written: null,
      notHonoured: [{ line: 6, path: 'model_list[0].litellm_params.rpm' }],
    });
    expect(existsSync(join(installation.dir, 'made.yaml'))).toBe(false);
  });

  it.each([
    ['a file that is not there', 'gone.yaml', 'gone.yaml: there is no such file'],
    ['a file that is no YAML map', 'list.yaml', 'would be right: a map with `model_list`'],
  ])('says what is wrong with %s', async (_name, file, message) => {
    const installation = install(groupOf(['http://a:1', 'http://b:1']));
    writeFileSync(join(installation.dir, 'list.yaml'), '- a\n');
    const { code, stderr } = await installation.cli(['import', 'litellm', file]);
    expect(code).toBe(4);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('    at ');
  });
});
